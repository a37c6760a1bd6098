#!/usr/bin/env python3
"""Makes the golden repository of format 1 with a nightjar program.

    make_repository.py NIGHTJAR DIRECTORY

writes DIRECTORY/repository, a repository that has met what format 1 knows (two nights of a dump that grows,
five of one that is edited here and there, so that there are deltas of chunks and nodes, on each other and of
several bases; a content list with levels, a tree, a forgotten snapshot, a rewritten one, two held ones, one of
which was released, a size that was accepted, three epochs, a write slot, a removed one; it was a replica and was
promoted), and DIRECTORY/repository.json: how to open it, what its snapshots hold and how many deltas each needs.
Both are part of the format from the day it is released; nothing is overwritten. Needs the packages of
tools/reader.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from blake3 import blake3

READER = pathlib.Path(__file__).resolve().parents[1] / "reader"
sys.path.append(str(READER))
from njformat.blobs import TREE, Blobs  # noqa: E402
from njformat.history import Snapshots  # noqa: E402
from njformat.manifests import Manifests  # noqa: E402
from njformat.repository import Repository  # noqa: E402

PASSPHRASE = b"correct horse battery staple"
REMOVED = b"no longer"
WRITE_KEY = blake3(b"golden: write key").digest(length=64)


def dump(night, rows=26_000):
    """Text like a dump's, which compresses well. The second night changes some rows and adds some."""
    lines = ["-- PostgreSQL database dump", "COPY public.orders (id, customer, state, note) FROM stdin;"]
    note = "a note that is the same in every row and makes it as long as rows are in real tables"
    for row in range(rows + 200 * (night - 1)):
        state = "refunded" if night > 1 and 5000 <= row < 5020 else "delivered"
        lines.append(f"{row}\t{row * 7919 % 1000}\t{state}\t{note}")
    return "\n".join(lines + ["\\.", "-- PostgreSQL database dump complete", ""]).encode()


def shop(night, rows=4_000):
    """A dump of rows that do not compress well. Each night changes some, takes some away, puts some between."""
    def line(row, version):
        note = blake3(f"golden: row {row}, version {version}".encode()).hexdigest()
        return f"{row}\t{row * 7919 % 1000}\t{version}\t{note}"

    lines = ["-- PostgreSQL database dump", "COPY public.shop (id, customer, version, note) FROM stdin;"]
    for row in range(rows):
        here = [line(row, 1)]
        for n in range(2, night + 1):
            what = blake3(f"golden: row {row}, night {n}".encode()).digest()[0]
            if what < 4 and here:
                here[0] = line(row, n)
            elif what == 4:
                here = []
            elif what == 5:
                here.append(line(row, f"new in night {n}"))
        lines += here
    return "\n".join(lines + ["\\.", "-- PostgreSQL database dump complete", ""]).encode()


def write(path, content, mode=0o644, time=1_700_000_000_123_456_789):
    path.write_bytes(content)
    path.chmod(mode)
    os.utime(path, ns=(time, time))


def make_tree(root, night):
    for name in ("sub/deeper", "empty", "many"):
        (root / name).mkdir(parents=True, exist_ok=True)
    write(root / "config", b"night = %d\n" % night, 0o600, 1_700_000_000_000_000_000 + night)
    write(root / "sub" / "noise", blake3(b"golden: noise").digest(length=50_000))
    write(root / "sub" / "deeper" / "nothing", b"")
    write(root / "sub" / "nächster Name\n", b"a name with a line end\n", 0o750)
    with open(root / "sparse", "wb") as f:
        f.seek(1 << 20)
        f.write(b"behind a hole")
    for number in range(300):  # more than one node's worth
        write(root / "many" / f"file {number:03}", b"%d\n" % number)
    os.setxattr(root / "config", "user.golden", b"an attribute")
    if night == 1:
        (root / "link").symlink_to("sub/noise")
        os.link(root / "sub" / "noise", root / "sub" / "same noise")


def described(path):
    """What a restored path must be: kind, and what follows from it. A file's mode comes last."""
    if path.is_symlink():
        return f"symlink {os.readlink(path)}"
    mode = f"{path.stat().st_mode & 0o7777:o}"
    return f"directory {mode}" if path.is_dir() else f"{content(path.read_bytes())} {mode}"


def content(data):
    return f"file {len(data)} {blake3(data).hexdigest()}"


class Maker:
    def __init__(self, program, scratch):
        self.program, self.repository, self.scratch = program, scratch / "repository", scratch
        self.snapshots = []
        for name, secret in (("passphrase", PASSPHRASE), ("removed", REMOVED), ("write.key", WRITE_KEY)):
            write(scratch / name, secret, 0o600)

    def run(self, *args, secret="passphrase", stdin=None, directory=None):
        option = "--key-file" if secret.endswith(".key") else "--password-file"
        line = [self.program, "--json", "-r", self.repository, option, self.scratch / secret,
                "--cache-dir", self.scratch / f"cache of {secret}", *args]
        done = subprocess.run(line, input=stdin, check=True, capture_output=True, cwd=directory)
        return json.loads(done.stdout) if done.stdout else None

    def store_dump(self, name, data):
        made = self.run("snapshot", "create", "--stdin", name, stdin=data)
        self.note(made, name, {name: content(data)})

    def store_tree(self, night):
        root = self.scratch / "tree"
        make_tree(root, night)
        made = self.run("snapshot", "create", root.name, "--series", "tree", "--label", f"night={night}",
                        secret="write.key", directory=self.scratch)
        paths = [root, *sorted(root.rglob("*"))]
        self.note(made, "tree", {str(p.relative_to(self.scratch)): described(p) for p in paths})

    def note(self, made, series, entries):
        self.snapshots.append({"id": made["id"], "series": series, "entries": entries})

    def rewrite(self, snapshot, path):
        """Takes a path out of a snapshot, whose place another takes. Returns the id of the one that goes."""
        old = snapshot["id"]
        done = self.run("snapshot", "rewrite", old, "--exclude", "/" + path, "--reason", "it had to go")
        snapshot["id"] = done["snapshots"][0]["snapshot"]
        del snapshot["entries"][path]
        return old

    def move(self, repository):
        """To a replica, which is promoted."""
        self.run("replicate", repository.resolve())
        self.repository = repository.resolve()
        self.run("replica", "promote", "--reason", "a golden drill")

    def read(self, snapshot):
        """What the independent reader says of a snapshot."""
        line = [sys.executable, "-B", READER / "nightjar_reader.py", self.repository, "--password-file",
                self.scratch / "passphrase", "check", snapshot]
        return json.loads(subprocess.run(line, check=True, stdout=subprocess.PIPE).stdout)

    def slot(self, label):
        return next(s["id"] for s in self.run("key", "list") if s["label"] == label)


def what_is_missing(repository, snapshots):
    """The keys decide where streams, lists and directories are cut: by bad luck, nowhere."""
    r = Repository(str(repository), password=PASSPHRASE)
    blobs = Blobs(r)
    for snapshot in Snapshots(r).committed:
        name = {"dump.sql": b"dump.sql", "tree": b"many"}.get(snapshot.series)
        for path, entry in Manifests(r, blobs).walk(snapshot.root):
            if path[-1] != name:
                continue
            node = entry.kind.root if name == b"many" else entry.kind.content.id
            if blobs.read(TREE, node)[2] == 0:
                yield f"more than one node for {name.decode()}"
    for what, least in (("chunks", 50), ("nodes", 2), ("of_several_bases", 2), ("depth", 3)):
        if max(s["deltas"][what] for s in snapshots) < least:
            yield f"deltas: {what}"


def make(program, repository):
    """The repository, and what is to be said of it."""
    cheap = ("--argon2-memory", "1MiB")
    with tempfile.TemporaryDirectory() as scratch:
        m = Maker(program, pathlib.Path(scratch))
        m.run("init", "--chunk-size", "4KiB", "--pack-size", "1MiB", "--label", "golden", *cheap)
        m.store_dump("dump.sql", dump(1))
        m.run("key", "add", "--role", "write", "--label", "host", "--new-key-file", m.scratch / "write.key")
        m.store_tree(1)
        for night in (1, 2):
            m.store_dump("shop.sql", shop(night))
        m.run("key", "add", "--role", "full", "--label", "to be removed", "--new-password-file",
              m.scratch / "removed", *cheap)
        m.store_dump("dump.sql", dump(2))
        m.store_tree(2)
        m.run("key", "remove", m.slot("to be removed"))
        for night in (3, 4, 5):
            m.store_dump("shop.sql", shop(night))
        held, released = m.snapshots[0]["id"], m.snapshots[1]["id"]
        m.run("snapshot", "hold", held, released, "--until", "2100-01-01", "--reason", "golden", secret="write.key")
        m.run("snapshot", "release", released, "--reason", "it need not be kept")
        m.run("snapshot", "accept", held, "--reason", "it is as large as it should be")
        made = m.run("snapshot", "create", "--stdin", "mistake", stdin=b"to be forgotten")
        m.run("snapshot", "forget", made["id"], "--reason", "a golden mistake")
        rewritten = m.rewrite([s for s in m.snapshots if s["series"] == "tree"][-1], "tree/config")
        m.move(repository)
        m.run("snapshot", "create", "--name", "late.sql", "--", "printf", "in the third epoch")
        late = m.run("snapshot", "list")[-1]
        m.note(late, "late.sql", {"late.sql": content(b"in the third epoch")})
        for snapshot in m.snapshots:
            snapshot["deltas"] = m.read(snapshot["id"])["deltas"]
        return {
            "about": "What format-spec/vectors/repository holds: \"file\", size, BLAKE3, mode (of a tree's files); "
                     "\"directory\", mode; \"symlink\", target. \"deltas\" are those that a snapshot needs.",
            "passphrase": PASSPHRASE.decode(), "removed_passphrase": REMOVED.decode(),
            "write_key_file": WRITE_KEY.hex(), "epochs": 3, "forgotten": [made["id"], rewritten], "held": [held],
            "snapshots": m.snapshots}


def main():
    program, directory = sys.argv[1], pathlib.Path(sys.argv[2])
    repository, expected = directory / "repository", directory / "repository.json"
    if repository.exists() or expected.exists():
        sys.exit(f"{repository} or {expected} is there already: the golden repository is never made twice")
    for _ in range(20):
        what = make(program, repository)
        missing = list(what_is_missing(repository, what["snapshots"]))
        if not missing:
            expected.write_text(json.dumps(what, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
            return
        shutil.rmtree(repository)
        print(f"there should be {', '.join(missing)}: once more", file=sys.stderr)
    sys.exit("it is not luck alone: see above")


if __name__ == "__main__":
    main()
