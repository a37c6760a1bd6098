"""Tests of the reader against a miniature writer, which shares no code with it:  python test_reader.py"""

import contextlib
import ctypes
import ctypes.util
import hashlib
import hmac
import io
import json
import os
import random
import shutil
import struct
import tempfile
import unittest
from types import SimpleNamespace

import argon2.low_level
import zstandard
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric import ed25519, mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PublicKey, Suite

import nightjar_reader
from njformat import blobs, chunking, crypto, postcard, records, sketches
from njformat.repository import Repository

P = "nightjar format 1: "
RAW, ZSTD, DELTA = 0, 1, 2
FIRST, SECOND, THIRD = (os.urandom(8) for _ in range(3))  # incarnations


# A miniature writer

def vi(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def zz(n):
    return vi(2 * n if n >= 0 else -2 * n - 1)


def vb(b):
    return vi(len(b)) + b


def vs(s):
    return vb(s.encode())


def vec(items):
    return vi(len(items)) + b"".join(items)


def opt(x):
    return b"\0" if x is None else b"\1" + x


def H(c, m, n=32):
    return blake3(m, derive_key_context=P + c).digest(length=n)


def B(m):
    return blake3(m).digest()


def le32(n):
    return struct.pack("<I", n)


def aead(key, nonce, plain, associated):
    return ChaCha20Poly1305(key).encrypt(nonce, plain, associated)


def frame(plain, base=b"", **options):
    d = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if base else None
    return zstandard.ZstdCompressor(dict_data=d, **options).compress(plain)


def pad(total):
    """Zeros that bring an object of `total` bytes to its Padmé length."""
    e = total.bit_length() - 1
    step = 2 ** (e - (e.bit_length()))
    return bytes(-total % step)


class Kem:
    def __init__(self):
        self.seed = os.urandom(32)
        full = hashlib.shake_256(self.seed).digest(96)
        a = mlkem.MLKEM768PrivateKey.from_seed_bytes(full[:64]).public_key()
        b = x25519.X25519PrivateKey.from_private_bytes(full[64:]).public_key()
        self.public = a.public_bytes_raw() + b.public_bytes_raw()
        self.key = MLKEM768X25519PublicKey(a, b)

    def seal(self, plain, info):
        return Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305).encrypt(plain, self.key, info)


class Slot:
    def __init__(self, role, secret, since=1):
        self.role, self.secret, self.since, self.until = role, secret, since, None
        self.kem, self.sign_seed = Kem(), os.urandom(32)
        self.sign = ed25519.Ed25519PrivateKey.from_private_bytes(self.sign_seed)
        self.sign_public = self.sign.public_key().public_bytes_raw()
        self.id = H("slot id", self.kem.public + self.sign_public)[:16]

    def listed(self):
        return (self.id + vi(self.role) + self.sign_public + vi(self.since)
                + opt(self.until and vi(self.until)))


class Writer:
    def __init__(self, root):
        self.root = root
        self.id = os.urandom(16)
        self.dedup = os.urandom(32)
        self.epochs = {}
        self.repository = (b"NJR1\x01" + vec([]) + vec([vs("later")]) + self.id + vi(4096) + vi(16384) + vi(65536)
                           + vi(1 << 20) + b"\1" + FIRST)
        self.put("repository", self.repository)

    def path(self, name):
        return os.path.join(self.root, name)

    def put(self, name, data):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "wb") as f:
            f.write(data)

    def put_slot(self, slot, by, root):
        salt, label_salt = os.urandom(32), os.urandom(32)
        if isinstance(slot.secret, str):
            secret = argon2.low_level.hash_secret_raw(slot.secret.encode(), salt, 2, 64, 1, 32,
                                                      argon2.low_level.Type.ID)
            wrap = vi(0) + vi(64) + vi(2) + vi(1)
        else:
            secret, wrap = H("key file", salt + slot.secret), vi(1)
        anchor = slot.kem.seed + slot.sign_seed + B(self.repository) + root.sign_public
        wrap += salt + H("slot commitment", secret + salt) + vb(
            aead(H("slot wrap", secret + salt), bytes(12), anchor, self.id + slot.id))
        label = b"\1" + vs("a label") + zz(1)
        labelled = slot.since - (slot.role == 0 and slot is not by)
        key = self.epochs[labelled].metadata if labelled in self.epochs else bytes(32)
        record = (b"\1" + slot.id + vi(slot.role) + vb(slot.kem.public) + slot.sign_public + vi(slot.since) + by.id
                  + vb(label_salt + aead(H("slot label", key + label_salt), bytes(12), label, self.id + slot.id))
                  + wrap)
        signature = by.sign.sign((P + "slot").encode() + self.id + record)
        self.put(f"slots/{slot.id.hex()}", b"NJS1" + le32(len(record)) + record + signature)

    def put_epoch(self, n, listed, readers, by):
        e = self.epochs[n] = SimpleNamespace(metadata=os.urandom(32), data=Kem())
        before = self.epochs.get(n - 1)
        e.record = (b"\1" + vi(n) + B(self.repository) + opt(before and B(before.record)) + by.id
                    + vb(e.data.public) + H("key commitment", self.dedup) + H("key commitment", e.metadata)
                    + vec([s.listed() for s in sorted(listed, key=lambda s: s.id)]))
        e.signature = by.sign.sign((P + "epoch").encode() + self.id + e.record)
        for s in readers:
            self.put_keyring(n, s)

    def put_keyring(self, n, slot):
        e = self.epochs[n]
        plain = (b"\1" + vb(e.record) + e.signature + self.dedup + e.metadata
                 + opt(e.data.seed if slot.role == 0 else None))
        info = (P + "keyring").encode() + self.id + le32(n) + slot.id
        self.put(self.keyring_name(n, slot), b"NJK1" + slot.kem.seal(plain, info))

    def keyring_name(self, n, slot):
        return f"keyring/{n:08}-{B(self.epochs[n].record)[:8].hex()}/{slot.id.hex()}"

    def put_metadata(self, name, kind, epoch, by, record, padding=None, sealed_frame=None):
        f = sealed_frame or frame(record)
        n = name.encode()
        header = b"NJM1" + bytes([kind]) + le32(epoch) + os.urandom(32)
        signature = by.sign.sign((P + "signature").encode() + self.id + header + struct.pack("<H", len(n)) + n + f)
        plain = by.id + signature + le32(len(f)) + f
        plain += pad(41 + len(plain) + 16) if padding is None else padding
        key = H("metadata object", self.epochs[epoch].metadata + header[9:])
        data = header + aead(key, bytes(12), plain, self.id + header + n)
        self.put(name, data)
        return B(data)

    def append(self, number, previous, by, body, epoch=2, incarnation=SECOND):
        return self.put_metadata(f"ledger/{number:012}", 4, epoch, by,
                                 b"\1" + incarnation + vi(number) + previous + zz(5) + body)

    def begin(self, n):
        return vi(7) + vi(n) + B(self.epochs[n].record)

    def blob_id(self, kind, plain):
        return blake3(plain, key=H("chunk id" if kind == 1 else "node id", self.dedup)).digest()

    def put_pack(self, kind, epoch, session, blobs, claim=None, padding=None, gap=b""):
        """`blobs`: (plain, encoding) or (plain, DELTA, base plains, depth). Returns the pack's index entry. `claim` is
        the plaintext whose id the first blob gets instead of its own."""
        header = b"NJP1" + bytes([kind]) + le32(epoch) + session
        if kind == 1:
            key = os.urandom(32)
            out = header + self.epochs[epoch].data.seal(
                key, (P + "pack key").encode() + self.id + le32(epoch) + session)
            assert len(out) == 1193
        else:
            salt = os.urandom(32)
            key, out = H("tree pack", self.epochs[epoch].metadata + salt), header + salt
            assert len(out) == 57
        ids = [self.blob_id(kind, b[0]) for b in blobs]
        if claim is not None:
            ids[0] = self.blob_id(kind, claim)
        external, rows = [], []
        for (plain, encoding, *delta), blob_id in zip(blobs, ids):
            if encoding == RAW:
                payload, tail = plain, vi(0)
            elif encoding == ZSTD:
                payload, tail = frame(plain), vi(1)
            else:
                bases = [self.blob_id(kind, b) for b in delta[0]]
                before = ids[:len(rows)]
                external += [b for b in dict.fromkeys(bases) if b not in before + external]
                numbers = [before.index(b) if b in before else len(ids) + external.index(b) for b in bases]
                payload = frame(plain, b"".join(delta[0]))
                tail = vi(2) + vec([vi(number) for number in numbers]) + bytes([delta[1]])
            nonce = struct.pack("<Q", len(out)) + bytes(4)
            sealed = aead(key, nonce, payload, self.id + bytes([kind]) + blob_id)
            out += sealed
            rows.append(vi(len(sealed)) + vi(len(plain)) + tail)
        table = vec(ids) + vec(external) + vec(rows) + vec([vi(1) * 3 for _ in ids] if kind == 1 else [])
        f = frame(b"\1" + table)
        out += gap
        footer = f + (pad(len(out) + len(f) + 16 + 24) if padding is None else padding)
        out += aead(key, bytes(8) + le32(1), footer, self.id + header)
        out += aead(key, bytes(8) + le32(2), le32(len(footer) + 16) + le32(len(f)), self.id + header)
        pack_id = B(out)
        self.put(f"packs/{pack_id.hex()[:2]}/{pack_id.hex()}", out)
        return pack_id + vi(len(out)) + bytes([kind]) + vi(epoch) + table

    def put_index(self, epoch, by, session, packs):
        name = f"index/{os.urandom(16).hex()}"
        self.put_metadata(name, 1, epoch, by, b"\1" + session + vec(packs))
        return name

    # Manifests: each returns the root's id and leaves the nodes in `nodes`

    def _levels(self, node_type, leaves, four_of, upper, nodes):
        level = 0
        while True:
            cut, node = [], []
            for item in leaves:
                node.append(item)
                if len(node) >= 32 and struct.unpack("<I", four_of(item, level))[0] % 256 == 0 or len(node) == 2048:
                    cut.append(node)
                    node = []
            if node or not cut:
                cut.append(node)
            plains = [bytes([1, node_type, level]) + vec([i[0] for i in n]) for n in cut]
            nodes += plains
            if len(plains) == 1:
                return self.blob_id(2, plains[0])
            leaves = [upper(self.blob_id(2, p), n) for p, n in zip(plains, cut)]
            level += 1

    def list_root(self, chunks, nodes):
        """`chunks` are plaintexts."""
        items = [(self.blob_id(1, c) + vi(len(c)), self.blob_id(1, c), len(c)) for c in chunks]

        def upper(node_id, node):
            length = sum(i[2] for i in node)
            return node_id + vi(length), node_id, length

        return self._levels(1, items, lambda i, level: i[1][:4], upper, nodes)

    def directory_root(self, entries, nodes):
        """`entries`: {name: the rest of the entry}"""
        key = H("directory cut", self.dedup)
        items = [(vb(n) + e, n) for n, e in sorted(entries.items())]
        return self._levels(2, items, lambda i, level: blake3(i[1], key=key).digest()[:4],
                            lambda node_id, node: (vb(node[0][1]) + node_id, node[0][1]), nodes)

    def chunks_content(self, chunks):
        return vi(0) + vec([self.blob_id(1, c) + vi(len(c)) for c in chunks])


def meta(kind, mode=0o644):
    return (vi(mode) + vi(1) + vi(2) + vb(b"u") + vb(b"") + zz(-5) + vi(7)
            + opt(zz(9) + vi(1) + vi(2)) + opt(None) + vec([vb(b"user.a") + vb(b"\0")]) + kind)


def file_kind(size, content, holes=()):
    return vi(0) + vi(size) + content + vec([vi(o) + vi(n) for o, n in holes]) + b"\0"


def snapshot(root, started, source, previous=None, incarnation=SECOND):
    return (b"\1" + vi(1) + vs("series") + zz(started) + zz(started + 1) + vs("host") + vs("user") + vs("program")
            + vec([vs("k") + vs("v")]) + source + b"".join(vi(n) for n in range(16)) + root + opt(previous) + opt(None)
            + incarnation)


def forget(x):
    return vi(4) + vec([x]) + vs("who") + vs("why") + b"\1"


def promote(incarnation, snapshots, revived=()):
    return vi(13) + incarnation + vec(snapshots) + vec(revived) + vs("who") + vs("why")


STDIN = vi(0) + vs("dump.sql") + b"\0"


def build(root):
    """A repository with what chapters 1 to 8 allow, in small."""
    w = Writer(root)
    rng = random.Random(1)
    w.first = Slot(0, "correct horse")
    w.keyed = Slot(0, b"\0key file\n", since=2)  # what epoch 2 was made for
    w.write = Slot(1, "a host's own")           # added in epoch 1, by its slot object alone
    w.fresh = Slot(1, "a new host's", since=2)  # the same in epoch 2
    w.gone = Slot(0, "gone by epoch 2")
    w.put_epoch(1, [w.first, w.gone], [w.first, w.keyed, w.write, w.fresh], w.first)
    w.gone.until = 2
    for s, by in ((w.first, w.first), (w.keyed, w.first), (w.write, w.first)):
        w.put_slot(s, by, w.first)
    w.put_epoch(2, [w.first, w.write, w.gone, w.keyed], [w.first, w.keyed, w.write, w.fresh], w.first)
    w.put_slot(w.fresh, w.keyed, w.first)

    # Snapshot A, epoch 1, written by the write slot: one file in a list of two levels, with deltas.
    s1 = os.urandom(16)
    words = [bytes(rng.randrange(97, 123) for _ in range(rng.randrange(3, 12))) for _ in range(300)]
    chunks = [b" ".join(rng.choices(words, k=12)) + b"%d\n" % i for i in range(3000)]
    base, near, nearer = chunks[:3]
    near = base + b"near" + os.urandom(2)
    nearer = near + b"nearer"
    chunks[1:3] = near, nearer
    w.dump = b"".join(chunks)
    blobs = [(base, ZSTD), (near, DELTA, [base], 1)] + [(c, RAW if i % 2 else ZSTD) for i, c in enumerate(chunks[3:])]
    packs1 = [w.put_pack(1, 1, s1, blobs)]
    packs1.append(w.put_pack(1, 1, s1, [(nearer, DELTA, [near, base], 2)]))
    nodes = []
    content = vi(1) + w.list_root(chunks, nodes)
    assert len(nodes) > 2
    root_a = w.directory_root({b"dump.sql": meta(file_kind(len(w.dump), content))}, nodes)
    packs1.append(w.put_pack(2, 1, s1, [(n, ZSTD) for n in nodes[:-1]] + [(nodes[-1], RAW)]))
    w.index1 = w.put_index(1, w.write, s1, packs1)
    w.a = s1
    digest_a = w.put_metadata(f"snapshots/{s1.hex()}", 3, 1, w.write,
                              snapshot(root_a, 1000, STDIN, incarnation=FIRST))

    # Snapshot B, epoch 2: a tree, with every kind, a sparse file and a directory of two levels.
    s2 = os.urandom(16)
    sparse = [b"abcdefgh" * 3, b"0123456789"]
    w.sparse = bytes(5) + sparse[0][:10] + bytes(7) + sparse[0][10:] + sparse[1] + bytes(3)
    holes = [(0, 5), (15, 7), (46, 2), (48, 1)]
    nodes = []
    many = {b"f%04d" % i: meta(vi(3)) for i in range(2100)}
    many[b"\xff\n"] = meta(vi(3))
    sub = w.directory_root(many, nodes)
    empty = w.directory_root({}, nodes)
    root_b = w.directory_root({
        b"sparse": meta(file_kind(len(w.sparse), w.chunks_content(sparse), holes)),
        b"empty": meta(file_kind(0, w.chunks_content([]))),
        b"hole": meta(file_kind(9, w.chunks_content([]), [(0, 9)])),
        b"many": meta(vi(1) + sub, 0o755), b"none": meta(vi(1) + empty),
        b"link": meta(vi(2) + vb(b"to")), b"sock": meta(vi(4)),
        b"tty": meta(vi(5) + vi(4) + vi(1)), b"disk": meta(vi(6) + vi(8) + vi(0))}, nodes)
    unique = list(dict.fromkeys(nodes))
    packs2 = [w.put_pack(1, 2, s2, [(sparse[1], RAW), (sparse[0], DELTA, [sparse[1]], 1)]),
              w.put_pack(2, 2, s2, [(n, ZSTD) for n in unique])]
    w.put_index(2, w.fresh, s2, packs2)
    w.b = s2
    w.put_metadata(f"snapshots/{s2.hex()}", 3, 2, w.fresh,
                   snapshot(root_b, 2000, vi(2) + vec([vb(b"/srv")]), s1 + digest_a, FIRST))

    # A forgotten snapshot and a fence.
    w.c = os.urandom(16)
    w.put_metadata(f"snapshots/{w.c.hex()}", 3, 2, w.write, snapshot(root_b, 3000, STDIN, incarnation=FIRST))
    w.put_metadata(f"snapshots/{os.urandom(16).hex()}", 3, 2, w.first, b"\1" + vi(0) + vs("gave up"))

    # The ledger: an epoch, a promotion, void records of a write slot and of a removed one.
    held, by, why = vec([w.a]), vs("who"), vs("why")
    w.head = 0, bytes(32)
    for number, (signer, epoch, body) in enumerate((
            (w.first, 1, vi(0)),
            (w.first, 1, vi(8) + w.write.id),
            (w.gone, 1, vi(7) + vi(3) + bytes(32)),              # not the next
            (w.first, 1, w.begin(2)),
            (w.keyed, 2, forget(w.c)),
            (w.write, 2, forget(w.a)),
            (w.write, 2, vi(5) + vec([bytes(32)])),
            (w.gone, 1, forget(w.b)),                            # removed, with its old keys
            (w.gone, 1, vi(7) + vi(2) + bytes(32)),
            (w.first, 2, promote(SECOND, sorted([w.a, w.b]), [bytes(32), b"\1" * 32])),
            (w.keyed, 2, vi(8) + w.fresh.id),
            (w.write, 2, vi(9) + held + opt(zz(7)) + by + why),
            (w.write, 2, vi(10) + held + by + why),              # only a full slot may
            (w.first, 2, vi(10) + held + by + why),
            (w.first, 2, vi(11) + vs("dump.sql") + zz(6) + by + why),
            (w.first, 2, vi(12) + vi(4) + vi(1) + vi(300) + opt(zz(9)) + by))):
        digest = w.append(number, w.head[1], signer, body, epoch, FIRST if number < 10 else SECOND)
        w.head = number, digest

    # What another attempt at epoch 2 left, which is never looked at.
    w.put(f"keyring/{2:08}-{bytes(8).hex()}/{w.first.id.hex()}", b"another attempt")

    os.makedirs(w.path("snapshots/.tmp"))
    w.put("packs/zz/not ours", b"")
    return w


class Out:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err


class ReaderCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.mkdtemp()
        cls.root = os.path.join(cls.temporary, "repository")
        cls.w = build(cls.root)
        for name, data in (("password", b"correct horse\n"), ("wrong", b"battery staple\n"),
                           ("key", b"\0key file\n"), ("write", b"a host's own")):
            with open(os.path.join(cls.temporary, name), "wb") as f:
                f.write(data)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.temporary)

    def setUp(self):
        self.copy = os.path.join(self.temporary, "copy")
        shutil.copytree(self.root, self.copy)
        self.w.root = self.copy
        self.addCleanup(shutil.rmtree, self.copy)

    def run_reader(self, *args, key=("--password-file", "password")):
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8", newline=""), io.StringIO()
        option = [key[0], os.path.join(self.temporary, key[1])]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = nightjar_reader.main([self.copy, *option, *args])
        out.flush()
        return Out(code, out.buffer.getvalue(), err.getvalue())

    def good(self, *args, **more):
        r = self.run_reader(*args, **more)
        self.assertEqual(r.code, 0, r.err)
        return r

    def bad(self, *args, says="", empty=True, **more):
        r = self.run_reader(*args, **more)
        self.assertEqual(r.code, 1)
        self.assertIn(says, r.err)
        if empty:
            self.assertEqual(r.out, b"")
        return r


class EndToEnd(ReaderCase):
    def test_list(self):
        r = self.good("list")
        found = json.loads(r.out)
        self.assertEqual([s["id"] for s in found], [self.w.a.hex(), self.w.b.hex()])
        self.assertEqual(found[0]["counts"]["bytes_added"], 15)
        self.assertEqual(found[0]["counts"]["chunks_delta"], 11)
        self.assertEqual([s["source"] for s in found], ["standard input", "paths"])
        self.assertIn("may not write a record of this kind", r.err)
        self.assertEqual(r.err.count("which had ended"), 2)
        self.assertIn("begins epoch 3 behind epoch 1", r.err)
        self.assertEqual(len(r.err.splitlines()), 5)

    def test_cat(self):
        for key in (("--password-file", "password"), ("--key-file", "key")):
            for more in ((), ("--from-footers",)):
                self.assertEqual(self.good(*more, "cat", self.w.a.hex()[:9], key=key).out, self.w.dump)
        self.assertEqual(self.good("cat", "latest", "/sparse").out, self.w.sparse)
        self.assertEqual(self.good("cat", "latest", "hole").out, bytes(9))
        self.assertEqual(self.good("cat", "latest", "empty").out, b"")
        self.bad("cat", "latest", says="3 files")
        self.bad("cat", "latest", "many", says="directory")
        self.bad("cat", "latest", "sparse/x", says="not in the snapshot")
        self.bad("cat", self.w.c.hex(), says="no such")

    def test_ls(self):
        lines = self.good("ls", "latest").out.decode().splitlines()
        self.assertEqual(len(lines), 9 + 2101)
        self.assertIn(f"file\t{len(self.w.sparse)}\tsparse", lines)
        self.assertIn("symlink\t2\tlink", lines)
        self.assertIn("fifo\t0\tmany/\\xff\\x0a", lines)

    def test_check(self):
        for s in (self.w.a.hex(), "latest"):
            for more in ((), ("--from-footers",)):
                self.assertEqual(json.loads(self.good(*more, "check", s).out)["result"], "sound")

    def test_credentials(self):
        os.environ["NJ_TEST"] = "correct horse"
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            self.assertEqual(nightjar_reader.main([self.copy, "--password-env", "NJ_TEST", "list"]), 0)
        self.bad("list", key=("--password-file", "wrong"), says="opens none of the 3")
        self.bad("list", key=("--key-file", "password"), says="opens none of the 1")

    def test_write_slot_reads_trees_only(self):
        key = ("--password-file", "write")
        self.good("ls", "latest", key=key)
        self.bad("cat", "latest", "sparse", key=key, says="write slot cannot read")

    def test_label(self):
        r = Repository(self.copy, password=b"correct horse")
        from njformat.repository import label_epoch, open_label
        self.assertEqual(len(r._slots), 4)
        for slot, _, _ in r._slots:
            self.assertEqual(open_label(slot, r.epochs[label_epoch(slot)].metadata_key, r.id).label, "a label")


class Damage(ReaderCase):
    def test_every_object(self):
        """One byte altered anywhere never changes what is put out, and is noticed where it matters."""
        rng = random.Random(2)
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = os.path.join(self.copy, os.path.relpath(os.path.join(folder, name), self.root))
                with open(path, "rb") as f:
                    data = f.read()
                for at in {0, len(data) - 1, rng.randrange(len(data))} if data else ():
                    altered = bytearray(data)
                    altered[at] ^= 1 << rng.randrange(8)
                    with open(path, "wb") as f:
                        f.write(altered)
                    r = self.run_reader("cat", self.w.a.hex())
                    with self.subTest(path=path, at=at):
                        self.assertTrue(self.w.dump.startswith(r.out))
                        self.assertTrue(r.code == 1 or r.out == self.w.dump)
                        if "/packs/" in path or "/index/" in path:
                            snapshot_of = [self.run_reader("check", s.hex()).code for s in (self.w.a, self.w.b)]
                            self.assertIn(1, snapshot_of)
                with open(path, "wb") as f:
                    f.write(data)

    def test_missing(self):
        w = self.w
        for epoch, says in ((2, "the slot was removed"), (1, "keyring/00000001")):
            os.remove(w.path(w.keyring_name(epoch, w.first)))
            self.bad("list", says=says)
        w.put_keyring(1, w.first)
        w.put_keyring(2, w.first)
        os.remove(w.path(f"ledger/{1:012}"))
        self.bad("list", says="tampering", empty=False)
        self.bad("list", key=("--key-file", "key"), says="is missing")  # a member since epoch 2, which is lost
        shutil.rmtree(w.path("ledger"))
        self.bad("list", says=f"ledger/{0:012}: is missing", empty=False)

    def test_lost_index(self):
        os.remove(self.w.path(self.w.index1))
        self.bad("cat", self.w.a.hex(), says="in no pack")
        self.assertEqual(self.good("--from-footers", "cat", self.w.a.hex()).out, self.w.dump)

    def test_renamed(self):
        w = self.w
        shutil.copy(w.path(f"snapshots/{w.a.hex()}"), w.path(f"snapshots/{'0' * 32}"))
        self.bad("list", says="does not decrypt", empty=False)

    def test_features(self):
        w = self.w
        with open(w.path("repository"), "rb") as f:
            data = f.read()
        w.put("repository", data[:5] + vec([vs("fancy")]) + data[6:])
        self.bad("list", says="fancy")
        w.put("repository", data + b"\0")
        self.bad("list", says="behind the record")
        w.put("repository", data[:5] + b"\x80\x00" + data[6:])
        self.bad("list", says="overlong")
        w.put("repository", data[:-1] + bytes([data[-1] ^ 1]))
        self.bad("list", says="not the object that the slot was made for")

    def test_padding(self):
        w, name = self.w, f"snapshots/{os.urandom(16).hex()}"
        record = snapshot(bytes(32), 1, STDIN)
        used = 41 + 84 + len(frame(record)) + 16
        for padding in (pad(used) + bytes(32), b"\1" + pad(used)[1:] if pad(used) else b"\1"):
            w.put_metadata(name, 3, 2, w.first, record, padding=padding)
            self.bad("list", says="padding", empty=False)

    def test_records(self):
        w, name = self.w, f"snapshots/{os.urandom(16).hex()}"
        record = snapshot(bytes(32), 1, STDIN)
        for altered, says in ((record + b"\0", "behind the record"), (record[:-1], "too early"),
                              (b"\2" + record[1:], "version 2"), (record[:1] + b"\x81\0" + record[2:], "overlong"),
                              (record[:1] + b"\2", "variant 2"), (record[:-9] + b"\2" + record[-8:], "option")):
            w.put_metadata(name, 3, 2, w.first, altered)
            self.bad("list", says=says, empty=False)
        for f in (frame(record) + b"\0", frame(record, write_content_size=False), frame(record) * 2):
            w.put_metadata(name, 3, 2, w.first, b"", sealed_frame=f)
            self.bad("list", says="zstd", empty=False)

    def test_strangers(self):
        w, name = self.w, f"snapshots/{os.urandom(16).hex()}"
        record = snapshot(bytes(32), 1, STDIN)
        w.put_metadata(name, 3, 2, Slot(0, ""), record)
        self.bad("list", says="not a member", empty=False)
        w.put_metadata(name, 3, 2, w.gone, record)     # removed by epoch 2
        self.bad("list", says="not a member", empty=False)
        w.put_metadata(name, 3, 1, w.gone, record)     # but a member of epoch 1
        self.good("list")
        stranger = Slot(0, "correct horse")            # brings itself in
        w.put_slot(stranger, stranger, stranger)
        w.put_metadata(name, 3, 2, stranger, record)
        self.bad("list", empty=False)
        os.remove(w.path(f"slots/{stranger.id.hex()}"))
        late = Slot(1, "late", since=2)
        w.put_slot(late, w.write, w.first)             # a write slot may not add one
        w.put_metadata(name, 3, 2, late, record)
        self.bad("list", says="not a member", empty=False)
        w.put_slot(late, w.gone, w.first)              # nor one that is gone
        self.bad("list", says="not a member", empty=False)
        w.put_slot(late, w.keyed, w.first)
        self.good("list")
        for false in (Slot(1, "early"), Slot(0, "full", since=2), Slot(1, "future", since=3)):
            w.put_slot(false, w.keyed, w.first)        # a slot object does that for new write slots only
            w.put_metadata(name, 3, 2, false, record)
            self.bad("list", says="not a member", empty=False)

    def test_ledger(self):
        w = self.w
        number, digest = w.head
        w.append(number + 1, digest, w.first, vi(7) + vi(2) + bytes(32))
        self.assertIn("begins epoch 2 behind epoch 2", self.good("list").err)
        w.append(number + 1, digest, w.first, vi(7) + vi(4) + bytes(32))
        self.assertIn("begins epoch 4 behind epoch 2", self.good("list").err)
        w.append(number + 1, digest, w.first, vi(7) + vi(3) + bytes(32))
        self.bad("list", says="though epoch 3 has begun: the slot was removed")
        w.append(number + 1, digest, w.write, vi(7) + vi(3) + bytes(32))
        self.assertIn("may not write", self.good("list").err)
        w.append(number + 1, digest, w.write, vi(8) + w.fresh.id)
        self.assertIn("may not write", self.good("list").err)
        w.append(number + 1, digest, w.gone, vi(7) + vi(3) + bytes(32), epoch=1)
        self.assertIn("which had ended", self.good("list").err)
        w.append(number + 1, bytes(32), w.gone, vi(6) + vec([]), epoch=1)
        self.good("list")                              # void: what it continues is nothing to anyone
        w.append(number + 1, bytes(32), w.first, vi(6) + vec([]))
        self.bad("list", says="does not continue", empty=False)
        os.remove(w.path(f"ledger/{number + 1:012}"))
        self.good("list")

    def test_lost_epoch(self):
        """What follows an Epoch record that is void is sealed under an epoch that nobody began."""
        w = self.w
        w.put(f"ledger/{3:012}", b"junk")
        self.bad("list", says="epoch 2, which has not begun")  # and one who was removed begins an epoch 2
        w.put(f"ledger/{8:012}", b"junk")
        self.bad("list", says="epoch 2, which has not begun", empty=False)
        self.bad("list", key=("--key-file", "key"), says="is not the member that the newest epoch knows, 1; ledger/")

    def test_epochs(self):
        w = self.w
        everyone, readers = [w.first, w.write, w.gone, w.keyed, w.fresh], [w.first]
        number, digest = w.head

        def epoch(listed, by, recorder=w.first):
            """An attempt at epoch 3, begun in the ledger instead of the one before."""
            w.put_epoch(3, listed, readers, by)
            return w.append(number + 1, digest, recorder, w.begin(3))

        w.put_epoch(3, everyone, readers, w.write)     # until the ledger has it, nobody looks at it
        self.good("list")
        epoch(everyone, w.write)
        self.bad("list", says="not a full member")
        epoch(everyone, w.gone)
        self.bad("list", says="not a full member")
        stranger = Slot(0, "")                         # an epoch that lists its own maker
        epoch(everyone + [stranger], stranger)
        self.bad("list", says="not a full member")
        epoch(everyone[:3], w.first)
        self.bad("list", says="no longer listed")
        for name, value in (("role", 0), ("since", 2), ("until", 2), ("until", 4), ("sign_public", bytes(32))):
            kept = getattr(w.write, name)
            setattr(w.write, name, value)
            epoch(everyone, w.first)
            self.bad("list", says="listed differently")
            setattr(w.write, name, kept)
        w.gone.until = None                            # nobody comes back
        epoch(everyone, w.first)
        self.bad("list", says="listed differently")
        w.gone.until = 2
        for false in (Slot(0, "", since=2), Slot(1, ""), Slot(1, "", since=4)):
            epoch(everyone + [false], w.first)         # nobody was here all the time
            self.bad("list", says="did not come in with it")
        w.epochs[2].record, kept = b"x", w.epochs[2].record
        epoch(everyone, w.first)
        self.bad("list", says="does not continue")
        w.epochs[2].record = kept
        epoch(everyone, w.first, stranger)             # begun by nobody
        self.assertIn("not a member", self.good("list").err)
        epoch(everyone, w.first)
        name = w.keyring_name(3, w.first)
        with open(w.path(name), "rb") as f:
            keyring = f.read()
        w.put_epoch(3, everyone, readers, w.first)     # another one under this one's name
        shutil.copy(w.path(w.keyring_name(3, w.first)), w.path(name))
        self.bad("list", says="another epoch record")
        w.put(name, keyring)
        self.good("list")
        head = epoch(everyone, w.first)
        self.good("list")
        self.bad("list", key=("--key-file", "key"), says="the slot was removed")
        w.append(number + 2, head, w.first, forget(w.a))
        self.assertIn("under epoch 2, which had ended", self.good("list").err)
        w.append(number + 2, head, w.first, forget(w.a), epoch=3)
        self.assertEqual(len(json.loads(self.good("list").out)), 1)
        w.append(number + 1, digest, w.first, w.begin(3), epoch=3)
        self.bad("list", says="epoch 3, which has not begun", empty=False)

    def test_first_epoch(self):
        """Its keyring is named by nothing: the one that the root signed is it."""
        w = self.w
        kept = w.epochs[1]
        w.put_epoch(1, [w.first], [w.first], w.keyed)
        self.assertIn("was not created by the root", self.good("list").err)
        w.put_epoch(1, [w.first], [w.first], w.first)
        self.bad("list", says="several first epochs")
        os.remove(w.path(w.keyring_name(1, w.first)))
        w.epochs[1] = kept
        name = w.keyring_name(1, w.first)
        other = f"keyring/{1:08}-{bytes(8).hex()}/{w.first.id.hex()}"
        os.makedirs(os.path.dirname(w.path(other)))
        os.rename(w.path(name), w.path(other))
        self.bad("list", says="another epoch record")

    def test_foreign_session(self):
        """A pack may be listed by another session than wrote it: a collector gathers."""
        w = self.w
        session, plain = os.urandom(16), b"\1\2\0" + vec([vb(b"only here") + meta(vi(3))])
        entry = w.put_pack(2, 2, session, [(plain, RAW)])
        name = f"snapshots/{session.hex()}"
        w.put_metadata(name, 3, 2, w.first, snapshot(w.blob_id(2, plain), 9000, STDIN))
        w.put_index(2, w.first, os.urandom(16), [entry])
        self.good("check", session.hex())
        self.good("--from-footers", "check", session.hex())

    def test_packs(self):
        """Packs whose writer lied: a false id, a table that differs, a gap, false padding, a false name."""
        w = self.w
        for says, more in (("not what its id says", {"claim": b"y" * 10}), ("do not end where", {"gap": bytes(9)}),
                           ("padding", {"padding": bytes(700)}), ("padding", {"padding": b"\1" * 30}),
                           ("differs", {}), ("BLAKE3", {})):
            session = os.urandom(16)
            chunk = b"y" * 10 if says.startswith("not") else b"z" * 10
            plain = b"\1\2\0" + vec([vb(b"f") + meta(file_kind(10, w.chunks_content([chunk])))])
            entry = w.put_pack(1, 2, session, [(b"z" * 10, RAW)], **more)
            path = f"packs/{entry.hex()[:2]}/{entry[:32].hex()}"
            if says == "differs":
                entry = entry[:-4] + vec([])  # without the sketches that the footer has
            if says == "BLAKE3":
                false = os.urandom(32)
                os.makedirs(w.path(f"packs/{false.hex()[:2]}"), exist_ok=True)
                os.rename(w.path(path), w.path(f"packs/{false.hex()[:2]}/{false.hex()}"))
                entry, path = false + entry[32:], f"packs/{false.hex()[:2]}/{false.hex()}"
            index = w.put_index(2, w.first, session, [entry, w.put_pack(2, 2, session, [(plain, ZSTD)])])
            name = f"snapshots/{session.hex()}"
            w.put_metadata(name, 3, 2, w.first, snapshot(w.blob_id(2, plain), 9000, STDIN))
            self.bad("check", session.hex(), says=says)
            for o in (path, index, name):
                os.remove(w.path(o))

    def test_tables(self):
        w = self.w
        session = os.urandom(16)
        pack = bytes(32) + vi(4096) + bytes([2]) + vi(2)
        row, one = vi(20) + vi(4), vec([bytes(32)])

        def delta(*bases, depth=1):
            return row + vi(2) + vec([vi(b) for b in bases]) + bytes([depth])

        for table, says in (
                (vec([bytes(32)] * 2) + vec([]) + vec([row + vi(0)] * 2) + vec([]), "twice"),
                (vec([bytes(32)]) + vec([]) + vec([]) + vec([]), "rows"),
                (one + vec([]) + vec([delta(0)]) + vec([]), "base is not allowed"),
                (one + vec([]) + vec([delta(1)]) + vec([]), "base is not allowed"),
                (one + vec([b"\1" * 32]) + vec([delta(1, 2)]) + vec([]), "base is not allowed"),
                (one + vec([b"\1" * 32]) + vec([delta(1, depth=0)]) + vec([]), "depth"),
                (one + vec([b"\1" * 32]) + vec([delta(1, depth=33)]) + vec([]), "depth"),
                (one + vec([b"\1" * 32]) + vec([delta()]) + vec([]), "number of bases"),
                (one + vec([bytes([n]) * 32 for n in range(1, 6)]) + vec([delta(1, 2, 3, 4, 5)]) + vec([]),
                 "number of bases"),
                (one + vec([b"\1" * 32]) + vec([delta(1, 1)]) + vec([]), "a base twice"),
                (vec([bytes(32), b"\1" * 32]) + vec([bytes(32)]) + vec([row + vi(0), delta(0, 2)]) + vec([]),
                 "a base twice"),
                (one + vec([bytes(32)]) + vec([delta(1)]) + vec([]), "its own base"),
                (vec([bytes(32)]) + vec([]) + vec([row + vi(3)]) + vec([]), "variant 3"),
                (vec([bytes(32)]) + vec([]) + vec([vi(15) + vi(4) + vi(0)]) + vec([]), "stored length"),
                (vec([bytes(32)]) + vec([]) + vec([vi(9999) + vi(4) + vi(0)]) + vec([]), "exceed their pack")):
            name = w.put_index(2, w.first, session, [pack + table])
            self.assertIn(says, self.good("ls", "latest").err)
            os.remove(w.path(name))

    def test_trees(self):
        """Directories and lists that are signed, but not as the format has them."""
        w = self.w
        chunk = b"x" * 10
        ok = meta(file_kind(10, w.chunks_content([chunk])))

        def leaf(*entries):
            return b"\1\2\0" + vec([vb(n) + e for n, e in entries])

        def upper(first, of):
            return b"\1\2\1" + vec([vb(first) + w.blob_id(2, of)])

        short_list = b"\1\1\0" + vec([w.blob_id(1, chunk) + vi(10)])
        false_list = b"\1\1\1" + vec([w.blob_id(2, short_list) + vi(11)])
        for nodes, says in (
                ([leaf((b"b", ok), (b"a", ok))], "sorted"), ([leaf((b"a", ok), (b"a", ok))], "twice"),
                ([leaf((b"..", ok))], "not allowed"), ([leaf((b"a/b", ok))], "not allowed"),
                ([leaf((b"a", meta(vi(3), 0o10000)))], "permission"),
                ([leaf((b"a", meta(file_kind(11, w.chunks_content([chunk])))))], "make its size"),
                ([leaf((b"a", meta(file_kind(9, w.chunks_content([]), [(5, 4), (0, 5)]))))], "overlap"),
                ([leaf((b"a", meta(file_kind(90, w.chunks_content([chunk] * 9)))))], "too many chunks"),
                ([b"\1\1\0" + vec([])], "another type"), ([b"\1\2\x10" + vec([])], "level"),
                ([b"\1\2\1" + vec([])], "empty"),
                ([upper(b"b", leaf((b"a", ok))), leaf((b"a", ok))], "as first"),
                ([upper(b"a", leaf((b"a", ok))), leaf((b"a", ok))], "should not exist"),
                ([leaf((b"a", meta(file_kind(10, vi(1) + w.blob_id(2, short_list))))), short_list], "in the entry"),
                ([leaf((b"a", meta(file_kind(11, vi(1) + w.blob_id(2, false_list))))), false_list, short_list],
                 "which has 10")):
            session = os.urandom(16)
            packs = [w.put_pack(2, 2, session, [(n, ZSTD) for n in nodes]),
                     w.put_pack(1, 2, session, [(chunk, RAW)])]
            index = w.put_index(2, w.first, session, packs)
            name = f"snapshots/{session.hex()}"
            w.put_metadata(name, 3, 2, w.first, snapshot(w.blob_id(2, nodes[0]), 9000, STDIN))
            self.bad("check", session.hex(), says=says)
            os.remove(w.path(name))
            os.remove(w.path(index))


class Incarnations(ReaderCase):
    def setUp(self):
        super().setUp()
        self.number, self.digest = self.w.head

    def append(self, by, body, **more):
        self.number += 1
        self.digest = self.w.append(self.number, self.digest, by, body, **more)

    def put_snapshot(self, incarnation):
        session = os.urandom(16)
        self.w.put_metadata(f"snapshots/{session.hex()}", 3, 2, self.w.first,
                            snapshot(bytes(32), 9000, STDIN, incarnation=incarnation))
        return session

    def listed(self, *expected, but=()):
        """What is listed, and what is reported as being of another incarnation."""
        r = self.good("list")
        self.assertEqual({s["id"] for s in json.loads(r.out)}, {s.hex() for s in expected})
        self.assertEqual({line.split(": ")[2] for line in r.err.splitlines() if "no promotion names it" in line},
                         {f"snapshots/{s.hex()}" for s in but})
        return r.err

    def test_promotion(self):
        w = self.w
        second, third = self.put_snapshot(SECOND), self.put_snapshot(THIRD)
        first = self.put_snapshot(FIRST)               # as A and B, but too late
        self.listed(w.a, w.b, second, but=[first, third])
        self.append(w.first, forget(w.a))
        self.append(w.first, forget(w.b))
        self.listed(second, but=[first, third])
        self.append(w.keyed, promote(THIRD, sorted([w.a, first])))
        self.listed(w.a, first, third, but=[second])
        self.assertEqual(self.good("cat", w.a.hex()).out, w.dump)
        self.bad("cat", second.hex(), says="there is no such one")
        self.append(w.first, forget(first), incarnation=THIRD)
        self.listed(w.a, third, but=[second])
        self.append(w.first, promote(bytes(8), [w.c]), incarnation=THIRD)
        self.listed(w.c, but=[w.a, third, second])     # A came back: it is not forgotten, but of no account

    def test_void(self):
        """What a program or a slot says that should not."""
        w = self.w
        for by, body, more, says in (
                (w.first, forget(w.a), {"incarnation": FIRST}, f"is of incarnation {FIRST.hex()}"),
                (w.first, forget(w.a), {"incarnation": THIRD}, f"is of incarnation {THIRD.hex()}"),
                (w.first, promote(THIRD, []), {"incarnation": FIRST}, f"is of incarnation {FIRST.hex()}"),
                (w.gone, promote(THIRD, []), {"epoch": 1}, "sealed under epoch 1, which had ended"),
                (w.gone, promote(THIRD, []), {"epoch": 1, "incarnation": FIRST}, "which had ended"),
                (w.gone, promote(THIRD, []), {}, "not a member of its epoch"),
                (w.write, promote(THIRD, []), {}, "may not write a record of this kind (promote)"),
                (w.first, promote(THIRD, sorted([w.a, w.b], reverse=True)), {}, "not sorted"),
                (w.first, promote(THIRD, [w.a, w.a]), {}, "not sorted"),
                (w.first, promote(THIRD, [], [b"\1" * 32, bytes(32)]), {}, "not sorted"),
                (w.first, vi(0), {}, "an open record stands first")):
            self.append(by, body, **more)
            self.assertIn(f"warning: void record: ledger/{self.number:012}: ", self.listed(w.a, w.b))
            self.assertIn(says, self.listed(w.a, w.b).splitlines()[-1])
        self.append(w.first, forget(w.a))              # each kept its number
        self.listed(w.b)
        self.digest = bytes(32)
        self.append(w.first, forget(w.b), incarnation=FIRST)
        self.listed(w.b)                               # void: what it continues is nothing to anyone
        self.append(w.first, promote(THIRD, []))
        self.listed(but=[w.b])
        self.digest = bytes(32)
        self.append(w.first, forget(w.b), incarnation=THIRD)
        self.bad("list", says="does not continue", empty=False)

    def test_epochs(self):
        """They go on counting; none that another incarnation began has begun here."""
        w = self.w
        w.put_epoch(3, [w.first, w.write, w.gone, w.keyed, w.fresh], [w.first], w.first)
        self.append(w.first, promote(THIRD, [w.a]))
        before = self.number, self.digest
        self.append(w.first, w.begin(3))
        self.listed(w.a, but=[w.b])
        self.append(w.first, forget(w.a), incarnation=THIRD)
        self.listed(but=[w.b])                         # under epoch 2, which still stands
        self.append(w.first, forget(w.a), incarnation=THIRD, epoch=3)
        self.bad("list", says="epoch 3, which has not begun", empty=False)
        os.remove(w.path(f"ledger/{self.number:012}"))
        self.number, self.digest = before
        self.append(w.first, w.begin(3), incarnation=THIRD)
        self.append(w.first, forget(w.a), incarnation=THIRD, epoch=3)
        self.listed(but=[w.b])
        self.assertEqual(Repository(self.copy, password=b"correct horse").ledger.incarnations, [FIRST, SECOND, THIRD])

    def test_replica(self):
        """What is forgotten and still there can be read in a replica, until that is promoted."""
        w = self.w
        self.append(w.first, forget(w.b))
        cat, marker = ("cat", w.b.hex(), "sparse"), b"NJC1\1" + B(w.repository) + THIRD
        self.bad(*cat, says="no such")
        for data, says in ((marker, ""), (marker + b"\0", "behind the record"), (marker[:-8], "too early"),
                           (b"NJC2" + marker[4:], "not a replica object")):
            w.put("ledger/replica", data)
            self.assertEqual(self.good(*cat).out, w.sparse)
            self.assertEqual(self.good("cat", "latest").out, w.dump)
            err = self.listed(w.a, but=[w.c])
            self.assertIn(f"snapshots/{w.b.hex()}: is forgotten, and still in this replica", err)
            self.assertIn(says, err)
        w.put("ledger/replica", marker[:-8] + SECOND)
        self.bad(*cat, says="no such")
        w.put("ledger/replica", marker)
        self.append(w.first, promote(THIRD, [w.a]))
        self.assertNotIn("replica", self.listed(w.a))
        self.bad(*cat, says="no such")


class Deltas(ReaderCase):
    def publish(self, *packs):
        """Packs of chunks, listed in one index object; their entries."""
        entries = [self.w.put_pack(1, 2, bytes(16), blobs) for blobs in packs]
        self.w.put_index(2, self.w.first, bytes(16), entries)
        return entries

    def snapshot_of(self, *chunks):
        w, session = self.w, os.urandom(16)
        content = file_kind(sum(map(len, chunks)), w.chunks_content(chunks))
        root = b"\1\2\0" + vec([vb(b"f") + meta(content)])
        w.put_index(2, w.first, session, [w.put_pack(2, 2, session, [(root, ZSTD)])])
        w.put_metadata(f"snapshots/{session.hex()}", 3, 2, w.first, snapshot(w.blob_id(2, root), 9000, STDIN))
        return session.hex()

    def lose(self, entry):
        os.remove(self.w.path(f"packs/{entry.hex()[:2]}/{entry[:32].hex()}"))

    def damage(self, entry):
        """The first blob."""
        with open(self.w.path(f"packs/{entry.hex()[:2]}/{entry[:32].hex()}"), "r+b") as f:
            f.seek(1200)
            f.write(b"damage")

    def used(self, chunk):
        """The packs and depths of the entries that a chunk is decoded from, and how many blobs were decoded."""
        found = blobs.Blobs(Repository(self.copy, password=b"correct horse"))
        used, decoded, decode = set(), [], found._decode
        found._decode = lambda e, bases: decoded.append(e.id) or decode(e, bases)
        self.assertEqual(found.read(1, self.w.blob_id(1, chunk), lambda e: used.add((e.pack, e.depth))), chunk)
        return used, len(decoded)

    def test_several_bases(self):
        """One to four, in the same pack, before and behind, and in another; an empty one; joined in their order."""
        old = [random.Random(n).randbytes(4000) for n in range(4)]
        new = [old[0][:2000] + b"1" + old[0][2000:], old[0][3000:] + b"2" + old[1][:3000],
               old[2][3900:] + old[1] + old[0][:100], b"4".join(o[1000:3000] for o in old), old[3][9:]]
        self.assertLess(len(frame(new[2], old[2] + old[1] + old[0])), 60)
        self.publish([(old[0], RAW), (new[0], DELTA, [old[0]], 1), (new[1], DELTA, old[:2], 1), (old[1], RAW),
                      (new[2], DELTA, [old[2], old[1], old[0]], 1), (b"", RAW), (new[4], DELTA, [b"", old[3]], 1)],
                     [(old[2], ZSTD), (old[3], DELTA, [old[2]], 1), (new[3], DELTA, old, 2)])
        session = self.snapshot_of(*new)
        for more in ((), ("--from-footers",)):
            self.assertEqual(self.good(*more, "cat", session).out, b"".join(new))
            report = json.loads(self.good(*more, "check", session).out)
            self.assertEqual(report["blobs"], 5 + 5 + 1)
            self.assertEqual(report["deltas"], {"chunks": 6, "nodes": 0, "of_several_bases": 4, "depth": 2})

    def test_a_base_is_missing(self):
        a, b, c = (bytes([n]) * 50 for n in b"abc")
        there, gone = self.publish([(a, RAW), (c, DELTA, [a, b], 1)], [(b, RAW)])
        session = self.snapshot_of(c)
        self.good("cat", session)
        self.lose(gone)
        self.bad("cat", session, says=f"chunk {self.w.blob_id(1, b).hex()}: is in no pack")
        self.publish([(b, RAW)])
        self.assertEqual(self.good("cat", session).out, c)

    def test_a_base_listed_twice(self):
        a, b = b"a" * 50, b"a" * 50 + b"b"
        self.publish([(a, RAW)])
        self.publish([(b, DELTA, [a, a], 1)])
        self.assertIn("a delta has a base twice", self.bad("cat", self.snapshot_of(b), says="in no pack").err)

    def test_circles(self):
        """They are not followed; the entry of least depth is used, another one where that is damaged or lost."""
        a, b, c = b"a" * 50, b"a" * 50 + b"b", b"c" * 50
        first, second = self.publish([(b, DELTA, [c, a], 1), (c, RAW)], [(a, DELTA, [c, b], 1)])
        session = self.snapshot_of(b)
        self.bad("cat", session, says="made against each other")
        third, = self.publish([(a, RAW)])
        self.assertEqual(self.good("cat", session).out, b)
        self.assertEqual(self.used(b), ({(first[:32], 1), (first[:32], 0), (third[:32], 0)}, 3))
        self.assertEqual(self.used(a), ({(third[:32], 0)}, 1))
        fourth, = self.publish([(b, ZSTD)])
        self.assertEqual(self.used(b), ({(fourth[:32], 0)}, 1))
        self.lose(third)                  # two writers at once: each blob has a delta against the other
        self.assertEqual(self.used(a), ({(second[:32], 1), (fourth[:32], 0), (first[:32], 0)}, 3))
        self.publish([(a, RAW)])
        self.damage(fourth)
        self.assertEqual(self.good("cat", session).out, b)

    def test_depths_that_lie(self):
        """What was there when a delta was made may be lost: its depth is then less than that of its base."""
        a, b, c = b"a" * 50, b"a" * 50 + b"b", b"a" * 50 + b"c"
        packs = self.publish([(c, DELTA, [b], 1)], [(b, DELTA, [a], 7)], [(a, RAW)], [(c, DELTA, [a], 3)])
        first, second, third, fourth = (p[:32] for p in packs)
        self.assertEqual(self.used(c), ({(fourth, 3), (third, 0)}, 2))
        self.lose(packs[3])
        self.assertEqual(self.used(c), ({(first, 1), (second, 7), (third, 0)}, 3))

    def test_depth_and_work(self):
        """32 steps, each with two bases that both need the two below: 2³² ways, but 66 blobs."""
        levels = [[b"%d %d" % (n, side) + b"." * 90 for side in (0, 1)] for n in range(34)]
        packs = [[(chunk, DELTA, below, min(n, 32)) for chunk in level]
                 for n, (level, below) in enumerate(zip(levels[1:], levels), 1)]
        self.publish([(chunk, RAW) for chunk in levels[0]], *packs)
        self.assertEqual(self.used(levels[32][0])[1], 65)
        self.good("check", self.snapshot_of(*levels[32]))
        self.bad("cat", self.snapshot_of(levels[33][0]), says="above more than 32 deltas")
        self.publish([(levels[9][0], RAW)])  # one such way less is not enough
        self.bad("cat", self.snapshot_of(levels[33][1]), says="above more than 32 deltas")
        self.publish([(levels[9][1], RAW)])
        self.assertEqual(self.used(levels[33][0])[1], 1 + 2 * 24)

    def test_support(self):
        """256 blobs and no more, each counted once."""
        leaves = [b"leaf %d" % n * 9 for n in range(172)]
        for n, more in ((171, ""), (172, "x")):
            layer, depth, pack = leaves[:n], 0, []
            for count in (64, 16, 4, 1):
                depth += 1
                above = [b"%d of %d%s" % (i, depth, more.encode()) * 9 for i in range(count)]
                pack += [(chunk, DELTA, layer[i::count], depth) for i, chunk in enumerate(above)]
                layer = above
            self.publish([(chunk, ZSTD) for chunk in leaves], pack)
            if n == 171:
                self.assertEqual(self.used(layer[0])[1], 256)
            else:
                self.bad("cat", self.snapshot_of(layer[0]), says="rests on more than 256 blobs")


class Primitives(unittest.TestCase):
    def test_postcard(self):
        for schema, good, bad in (
                (postcard.U32, b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\x1f"),
                (postcard.U64, b"\xff" * 9 + b"\x01", b"\xff" * 9 + b"\x02"),
                (postcard.U64, b"\x80\x01", b"\x80\x00"), (postcard.U64, b"\0", b"\x80" * 10 + b"\0"),
                (postcard.BOOL, b"\1", b"\2"), (postcard.STRING, b"\2\xc3\xa9", b"\1\xc3"),
                (postcard.BYTES, b"\1x", b"\2x"), (postcard.BYTES, b"\0", b"\0\0")):
            postcard.decode(schema, good)
            with self.assertRaises(postcard.FormatError):
                postcard.decode(schema, bad)
        for n in (0, -1, 1, -2 ** 63, 2 ** 63 - 1):
            self.assertEqual(postcard.decode(postcard.I64, zz(n)), n)

    def test_padme(self):
        self.assertEqual([crypto.padme(n) for n in (2, 3, 8, 9, 15, 17, 100, 1000, 1 << 20, (1 << 20) + 1)],
                         [2, 3, 8, 10, 16, 18, 104, 1024, 1 << 20, (1 << 20) + (1 << 15)])
        for n in range(2, 5000):
            self.assertEqual(crypto.padme(n), n + len(pad(n)))

    def test_chunking(self):
        """The two-byte form of the 2020 paper cuts where the plain form does."""
        gear = chunking.gear_table(bytes(32))
        data = random.Random(3).randbytes(1 << 20)
        ends = chunking.cut_points(data, gear, 4096, 16384, 65535 - 1)
        self.assertGreater(len(ends), 30)
        start = 0
        for end in ends:
            n = min(len(data) - start, 65534)
            h, length = 0, n
            if len(data) - start <= 4096:
                length = len(data) - start
            else:
                for i in range(4096, n - 1, 2):
                    mask = chunking.MASKS[16384][i >= 16384]
                    h = (4 * h + 2 * gear[data[start + i]]) % 2 ** 64
                    if h & (2 * mask) == 0:
                        length = i
                        break
                    h = (h + gear[data[start + i + 1]]) % 2 ** 64
                    if h & mask == 0:
                        length = i + 1
                        break
            self.assertEqual(end - start, length)
            start = end
        self.assertEqual(start, len(data))

    def test_sketch(self):
        """An edit that strikes no sampled window changes nothing; other content shares nothing."""
        c = sketches.constants(bytes(32))
        data = random.Random(5).randbytes(20000)
        found = sketches.sketch(data, c)
        self.assertEqual(len(set(found)), 3)
        places = sketches.sampled(data, c)
        self.assertLess(abs(len(places) - 156), 60)
        free = next(p for p in range(32, 20000) if not any(p - 34 <= s <= p + 2 for s in places))
        self.assertEqual(sketches.sketch(data[:free] + bytes([data[free] ^ 1]) + data[free + 1:], c), found)
        other = sketches.sketch(random.Random(6).randbytes(20000), c)
        self.assertFalse(set(found) & set(other))
        self.assertEqual(sketches.sketch(data[:2047], c), [0, 0, 0])
        self.assertNotIn(0, sketches.sketch(bytes(2048), c))

    def test_small_order(self):
        p, d = 2 ** 255 - 19, -121665 * pow(121666, -1, 2 ** 255 - 19)

        def add(a, b):
            k = d * a[0] * b[0] * a[1] * b[1]
            return ((a[0] * b[1] + b[0] * a[1]) * pow(1 + k, -1, p) % p,
                    (a[1] * b[1] + a[0] * b[0]) * pow(1 - k, -1, p) % p)

        for y in crypto._SMALL_ORDER_Y:
            xx = (y * y - 1) * pow(d * y * y + 1, -1, p) % p
            x = pow(xx, (p + 3) // 8, p)
            if x * x % p != xx:
                x = x * pow(2, (p - 1) // 4, p) % p
            self.assertEqual(x * x % p, xx)
            point = (x, y)
            for _ in range(3):
                point = add(point, point)
            self.assertEqual(point, (0, 1))
        self.assertFalse(crypto.signature_holds(b"\1" + bytes(31), b"\1" + bytes(63), b"anything"))

    def test_hpke(self):
        """The library's HPKE against RFC 9180 and X-Wing done by hand, and a key pair of the published vectors."""
        public = crypto.xwing_public(bytes.fromhex("447cfc23de31102101a1b5aec0897a31f24670946f8e67345df7099b7c26e626"))
        self.assertEqual(len(public), 1216)
        self.assertTrue(public.hex().startswith("d9ac25bc9b3516188ead3a40cfe439f4"))
        self.assertTrue(public.hex().endswith("80222d89e91788afe88208fb423c3ef8cda69"))
        k = Kem()
        sealed = k.seal(b"plain", b"info")
        full = hashlib.shake_256(k.seed).digest(96)
        a = mlkem.MLKEM768PrivateKey.from_seed_bytes(full[:64])
        b = x25519.X25519PrivateKey.from_private_bytes(full[64:])
        ct_x = sealed[1088:1120]
        shared = hashlib.sha3_256(
            a.decapsulate(sealed[:1088]) + b.exchange(x25519.X25519PublicKey.from_public_bytes(ct_x)) + ct_x
            + k.public[1184:] + b"\\.//^\\").digest()
        suite = b"HPKE" + struct.pack(">HHH", 0x647A, 1, 3)

        def extract(salt, label, ikm):
            return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")

        def expand(prk, label, info, length):
            return hmac.digest(prk, struct.pack(">H", length) + b"HPKE-v1" + suite + label + info + b"\1",
                               "sha256")[:length]

        context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", b"info")
        secret = extract(shared, b"secret", b"")
        plain = ChaCha20Poly1305(expand(secret, b"key", context, 32)).decrypt(
            expand(secret, b"base_nonce", context, 12), sealed[1120:], b"")
        self.assertEqual(plain, b"plain")
        self.assertEqual(crypto.hpke_open(k.seed, sealed, b"info", ""), b"plain")

    def test_ref_prefix(self):
        """Frames made with ZSTD_CCtx_refPrefix decode with the prefix as raw-content dictionary."""
        name = ctypes.util.find_library("zstd")
        if not name:
            self.skipTest("no libzstd")
        lib = ctypes.CDLL(name)
        lib.ZSTD_createCCtx.restype = ctypes.c_void_p
        for f in ("ZSTD_CCtx_refPrefix", "ZSTD_compress2"):
            getattr(lib, f).restype = ctypes.c_size_t
        rng = random.Random(4)
        for size in (1, 7, 8, 100, 70000, 3 << 20):
            base = rng.randbytes(size)
            plain = base[size // 2:] + b"new" + base[:size // 2] + rng.randbytes(9)
            context = ctypes.c_void_p(lib.ZSTD_createCCtx())
            lib.ZSTD_CCtx_refPrefix(context, base, ctypes.c_size_t(len(base)))
            out = ctypes.create_string_buffer(size + 65536)
            n = lib.ZSTD_compress2(context, out, ctypes.c_size_t(len(out)), plain, ctypes.c_size_t(len(plain)))
            lib.ZSTD_freeCCtx(context)
            self.assertEqual(crypto.zstd_decode(out.raw[:n], len(plain), prefix=base), plain)
            if size == 70000:
                self.assertLess(n, 300)

    def test_zstd_bounds(self):
        f, empty = frame(b"x" * 1000), frame(b"")
        self.assertEqual(len(crypto.zstd_decode(f, 1000)), 1000)
        self.assertEqual(crypto.zstd_decode(empty, 0), b"")
        for limit, data in ((999, f), (1000, f + b"\0"), (2000, f + f), (1000, f[:-1]), (1000, b"\0" + f), (0, f),
                            (1000, frame(b"x" * 1000, write_content_size=False)), (1000, f + empty),
                            (1000, empty + f), (9, empty[:-1]), (9, empty + b"\0")):
            with self.assertRaises(postcard.FormatError):
                crypto.zstd_decode(data, limit)
        with self.assertRaises(postcard.FormatError):
            crypto.zstd_decode(b"\x50\x2a\x4d\x18" + bytes(4) + frame(b"x"), 10)

    def test_session_record(self):
        raw = (b"\1" + bytes(16) + vs("host") + vi(7) + zz(1) + zz(2) + vi(3) + opt(bytes(8) + vi(300)))
        self.assertEqual(postcard.decode(records.SESSION, raw).noted.number, 300)

    def test_check_record(self):
        raw = b"\1" + vec([bytes(32) + opt(zz(-5)) + opt(None)]) + vec([bytes(16) + zz(300)])
        check = postcard.decode(records.CHECK, raw)
        self.assertEqual((check.packs[0].packs, check.packs[0].data, check.snapshots[0].walked), (-5, None, 300))


if __name__ == "__main__":
    unittest.main()
