"""Writes fuzz/seeds/TARGET/* from format-spec/vectors: valid inputs to begin with.

Where a target chooses a decoder by the first byte, the seed begins with that byte.
"""

import io
import json
import pathlib
import struct
import tarfile

HERE = pathlib.Path(__file__).parent
VECTORS = HERE.parent / "format-spec" / "vectors"


def load(name):
    return json.loads((VECTORS / name).read_text())


def seed(target, name, data, choice=None):
    folder = HERE / "seeds" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes((b"" if choice is None else bytes([choice])) + data)


keys, metadata, packs = load("keys.json"), load("metadata.json"), load("blobs.json")["packs"]

repository = b"NJR1\1\0\1\3hat" + bytes(16) + bytes.fromhex("808001808004808010") + bytes.fromhex("80808008") + b"\1" + bytes(8)
seed("plain_objects", "repository", repository, 0)
for slot in keys["slots"]:
    data = bytes.fromhex(slot["object"])
    seed("plain_objects", f"slot_{slot['role']}", data, 1)
    seed("plain_objects", f"slot_record_{slot['role']}", data[8:-64], 2)
seed("plain_objects", "label", b"\1\5label\4", 3)
seed("plain_objects", "keyring_record", bytes.fromhex(keys["keyring"]["plaintext"]), 4)
seed("plain_objects", "epoch_record", bytes.fromhex(keys["keyring"]["epoch_record"]), 5)
seed("plain_objects", "keyring", bytes.fromhex(keys["keyring"]["object"]), 6)
seed("plain_objects", "replica", b"NJC1\1" + bytes(range(40)), 7)

kinds = (("index", 0), ("sessions", 2), ("snapshots", 3), ("ledger", 4), ("ledger_hold", 4), ("ledger_erased", 4),
         ("ledger_promote", 4), ("checks", 5))
for o, (name, choice) in zip(metadata["objects"], kinds, strict=True):
    seed("records", name, bytes.fromhex(o["record"]), choice)
    seed("framing", f"metadata_{name}", bytes.fromhex(o["object"]), 0)
    seed("object_names", name, o["name"].encode())
seed("records", "footer", b"\1\1" + b"a" * 32 + b"\1" + b"b" * 32 + b"\1\x30\x20\2\1\1\3\1\1\2\3", 1)
seed("records", "footer_of_deltas", b"\1\3" + b"a" * 32 + b"b" * 32 + b"c" * 32 + b"\2" + b"d" * 32 + b"e" * 32
     + b"\3\x30\x20\0\x30\x20\2\1\0\1\x30\x20\2\4\4\0\3\1\x20\0", 1)
seed("object_names", "keyring", b"keyring/00000001-" + b"0f" * 8 + b"/" + b"0f" * 16)
seed("object_names", "pack", b"packs/0f/" + b"0f" * 32)

seed("framing", "payload", bytes(80) + struct.pack("<I", 3) + b"abc" + bytes(5), 1)
for pack in packs:
    data = bytes.fromhex(pack["object"])
    kind = data[4]
    seed("framing", f"pack_{pack['kind']}", data[:1193 if kind == 1 else 57], 2)
    seed("framing", f"trailer_{pack['kind']}", struct.pack("<QBII", 5000, kind, 100, 84), 3)
seed("framing", "length", struct.pack("<Q", 2 * 1_000_000), 4)

reference = b"i" * 32 + b"\x05"
seed("manifests", "list", b"\1\1\0\2" + reference + reference)
seed("manifests", "directory", b"\1\2\1\1\1a" + b"i" * 32)
entry = b"\xa4\3\1\2\1u\1g\4\7" + b"\1\4\7\1\2" + b"\1\3" + b"\1\6user.a\1v"
seed("manifests", "entries", b"\1\2\0\7" + b"".join(
    b"\1" + name + entry + kind for name, kind in (
        (b"a", b"\0\x0a\0\1" + reference + b"\1\5\5\0"),
        (b"b", b"\0\x0a\1" + b"l" * 32 + b"\0\1"),
        (b"c", b"\1" + b"r" * 32),
        (b"d", b"\2\3a/b"),
        (b"e", b"\3"),
        (b"f", b"\4"),
        (b"g", b"\5\1\2"))))

for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form, bufsize=1024) as tar:
        for name, kind, target in (
                ("a", tarfile.REGTYPE, ""), ("b", tarfile.DIRTYPE, ""), ("b/l", tarfile.SYMTYPE, "../a"),
                ("b/h", tarfile.LNKTYPE, "a"), ("f", tarfile.FIFOTYPE, ""), ("d" * 90, tarfile.CHRTYPE, "")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mtime = kind, target, 1_600_000_000
            member.size = 3 if kind == tarfile.REGTYPE else 0
            if form == tarfile.PAX_FORMAT:
                member.pax_headers = {"mtime": "1.5", "SCHILY.xattr.user.n": "v"}
            tar.addfile(member, io.BytesIO(b"abc"))
    seed("tar", f"format_{form}", stream.getvalue())


def sparse_member(records, data):
    """A file whose holes pax records tell."""
    member = tarfile.TarInfo("s")
    member.size = len(data)
    member.pax_headers = records
    return member.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % 512) + bytes(1024)


seed("tar", "sparse_0", sparse_member(
    {"GNU.sparse.size": "2048", "GNU.sparse.numblocks": "1", "GNU.sparse.map": "512,512"}, b"x" * 512))
seed("tar", "sparse_1", sparse_member(
    {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "s", "GNU.sparse.realsize": "2048"},
    b"1\n512\n512\n".ljust(512, b"\0") + b"x" * 512))
