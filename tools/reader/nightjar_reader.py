#!/usr/bin/env python3
"""Reads Nightjar repositories (format 1), independently of Nightjar.

    nightjar_reader.py REPOSITORY_DIR (--password-file F | --password-env VAR | --key-file F) COMMAND
    nightjar_reader.py vectors DIR      checks test vectors such as those in format-spec/vectors

    list                  the committed, not forgotten snapshots, as a JSON array
    ls SNAPSHOT           every path with type and size
    cat SNAPSHOT [PATH]   a file's bytes (without PATH: of the snapshot's only file)
    check SNAPSHOT        verifies everything the snapshot needs

SNAPSHOT is the beginning of an id, or "latest". Nothing unverified is written to standard output.
"""

import argparse
import json
import os
import sys

from njformat.blobs import Blobs, delta_counts
from njformat.history import Snapshots
from njformat.manifests import Manifests
from njformat.postcard import FormatError
from njformat.records import COUNTS
from njformat.repository import Repository
from njformat.store import LIMIT, Refused
from njformat.vectors import Mismatch, check_directory


def report(message):
    print(f"nightjar_reader: {message}", file=sys.stderr)


def credentials(args):
    """A passphrase loses one line end at its end; a key file is taken as it is."""
    try:
        if args.key_file:
            with open(args.key_file, "rb") as f:
                data = f.read(LIMIT.key_file + 1)
            if len(data) > LIMIT.key_file:
                raise Refused(f"{args.key_file}: is longer than a key file may be")
            return {"key_file": data}
        if args.password_file:
            with open(args.password_file, "rb") as f:
                data = f.read()
            if data.endswith(b"\n"):
                data = data[:-1].removesuffix(b"\r")
            return {"password": data}
    except OSError as e:
        raise Refused(f"{e.filename}: {e.strerror}") from None
    if args.password_env not in os.environ:
        raise Refused(f"{args.password_env}: is not set")
    return {"password": os.environb[args.password_env.encode()]}


def printable(path):
    """A path in one line: backslashes, what does not print and what is not UTF-8 as \\xNN."""
    text = b"/".join(path).decode("utf-8", "surrogateescape")
    return "".join(c if c.isprintable() and c != "\\" else
                   "".join(f"\\x{b:02x}" for b in c.encode("utf-8", "surrogateescape")) for c in text)


class Session:
    """An opened repository and its history; `failed` if something found on the way must end in exit code 1."""

    def __init__(self, args):
        self.repository = Repository(args.repository, **credentials(args))
        self.snapshots = Snapshots(self.repository)
        self.failed = False
        for message in self.repository.warnings:
            report(f"warning: {message}")
        for message in self.repository.ledger.void:
            report(f"warning: void record: {message}")
        for message in self.repository.ledger.tampering:
            self.fail(f"tampering: {message}")

    def fail(self, message):
        report(message)
        self.failed = True

    def blobs(self, args):
        blobs = Blobs(self.repository, args.from_footers)
        for message in blobs.problems:
            report(f"warning: passed over: {message}")
        return blobs


def as_json(snapshot):
    return {
        "id": snapshot.id.hex(), "series": snapshot.series, "started": snapshot.started,
        "finished": snapshot.finished, "counts": {n: getattr(snapshot.counts, n) for n in COUNTS},
        "source": snapshot.source.variant}


def list_snapshots(session, args):
    for message in session.snapshots.refused:
        session.fail(message)
    print(json.dumps([as_json(s) for s in session.snapshots.committed], indent=1))


def ls(session, args):
    snapshot = session.snapshots.find(args.snapshot)
    manifests = Manifests(session.repository, session.blobs(args))
    lines = []
    for path, e in manifests.walk(snapshot.root):
        size = e.kind.size if e.kind.variant == "file" else \
            len(e.kind.target) if e.kind.variant == "symlink" else 0
        lines.append(f"{e.kind.variant}\t{size}\t{printable(path)}\n")
    sys.stdout.buffer.write("".join(lines).encode())
    sys.stdout.buffer.flush()


def cat(session, args):
    snapshot = session.snapshots.find(args.snapshot)
    manifests = Manifests(session.repository, session.blobs(args))
    if args.path is None:
        files = [(p, e) for p, e in manifests.walk(snapshot.root) if e.kind.variant == "file"]
        if len(files) != 1:
            raise Refused(f"{snapshot.name}: has {len(files)} files: name one")
        path, entry = files[0]
    else:
        path = [part for part in os.fsencode(args.path).split(b"/") if part]
        entry = manifests.find(snapshot.root, path)
    name = printable(path)
    if entry.kind.variant != "file":
        raise Refused(f"{name}: is a {entry.kind.variant}, not a file")
    for piece in manifests.bytes_of(name, entry.kind):
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def check(session, args):
    snapshot = session.snapshots.find(args.snapshot)
    blobs = session.blobs(args)
    for message in blobs.problems + session.snapshots.refused:
        session.fail(message)
    used = {}

    def on_use(e):
        used[e.pack, e.offset] = e

    if snapshot.previous:
        seen = session.snapshots.digests.get(snapshot.previous.id)
        if seen not in (None, snapshot.previous.digest):
            session.fail(f"snapshots/{snapshot.previous.id.hex()}: is another than {snapshot.name} followed")
    manifests = Manifests(session.repository, blobs, strict=True, on_use=on_use)
    totals = {"files": 0, "directories": 0, "others": 0, "bytes": 0}
    chunks_seen = {}
    for path, e in manifests.walk(snapshot.root):
        kind = e.kind.variant
        totals["files" if kind == "file" else "directories" if kind == "directory" else "others"] += 1
        if kind != "file":
            continue
        totals["bytes"] += e.kind.size
        try:
            for reference in manifests.file_chunks(printable(path), e.kind):
                if chunks_seen.get(reference.id) != reference.length:
                    manifests.chunk(reference)
                    chunks_seen[reference.id] = reference.length
        except Refused as error:
            session.fail(f"{printable(path)}: {error}")
    packs = sorted({e.pack for e in used.values()})
    for pack_id in packs:
        try:
            pack = blobs.pack(pack_id)
            pack.check_id()
            footer = pack.footer(strict=True)
            for table, by in blobs.tables[pack_id]:
                if table != footer:
                    raise Refused(f"{pack.name}: its footer differs from what {by} says")
        except Refused as error:
            session.fail(str(error))
    if not session.failed:
        print(json.dumps({"snapshot": snapshot.id.hex(), **totals, "blobs": len(used), "packs": len(packs),
                          "deltas": delta_counts(used.values()), "result": "sound"}))


def parser():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("repository", metavar="REPOSITORY_DIR")
    key = p.add_mutually_exclusive_group(required=True)
    key.add_argument("--password-file", metavar="F")
    key.add_argument("--password-env", metavar="VAR")
    key.add_argument("--key-file", metavar="F")
    p.add_argument("--from-footers", action="store_true",
                   help="find blobs by the footers of all packs instead of the index objects")
    commands = p.add_subparsers(dest="command", required=True)
    commands.add_parser("list").set_defaults(run=list_snapshots)
    for name, run in (("ls", ls), ("cat", cat), ("check", check)):
        c = commands.add_parser(name)
        c.add_argument("snapshot")
        if name == "cat":
            c.add_argument("path", nargs="?")
        c.set_defaults(run=run)
    return p


def check_vectors(directory):
    try:
        for name in check_directory(directory):
            print(f"{name}: agrees")
    except Mismatch as e:
        report(e)
        return 1
    return 0


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) == 2 and arguments[0] == "vectors":
        return check_vectors(arguments[1])
    args = parser().parse_args(arguments)
    try:
        session = Session(args)
        args.run(session, args)
    except (Refused, FormatError) as e:
        report(e)
        return 1
    return 1 if session.failed else 0


if __name__ == "__main__":
    sys.exit(main())
