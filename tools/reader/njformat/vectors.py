"""Checks the test vectors in format-spec/vectors/ with this reader's own means.

Each function takes the contents of one file and raises Mismatch at the first thing that differs.
"""

import json
import os
import struct

from blake3 import blake3

from . import blobs, chunking, crypto, records, repository, sketches, store
from .postcard import FormatError, decode, encode


class Mismatch(Exception):
    """A vector that this reader does not agree with."""


def same(what, found, expected):
    if found != expected:
        shown = [v.hex() if isinstance(v, bytes) else v for v in (found, expected)]
        raise Mismatch(f"{what}: is {shown[0]}, not {shown[1]} as recorded")


def raw(value, *fields):
    """Fields in hexadecimal, as bytes."""
    found = tuple(bytes.fromhex(value[f]) for f in fields)
    return found[0] if len(found) == 1 else found


def refuses(what, f, *args):
    try:
        f(*args)
    except FormatError:
        return
    raise Mismatch(f"{what}: is accepted")


def flipped(data, at=-1):
    out = bytearray(data)
    out[at] ^= 1
    return bytes(out)


def check_keys(file):
    d = file["derived"]
    dedup, metadata, salt = raw(d, "dedup_key", "metadata_key", "salt")
    same("chunk id key", chunking.chunk_id_key(dedup), raw(d, "chunk_id_key"))
    same("node id key", chunking.node_id_key(dedup), raw(d, "node_id_key"))
    same("directory cut key", chunking.directory_cut_key(dedup), raw(d, "directory_cut_key"))
    same("dedup commitment", repository.key_commitment(dedup), raw(d, "dedup_commitment"))
    same("metadata commitment", repository.key_commitment(metadata), raw(d, "metadata_commitment"))
    gear = chunking.gear_table(dedup)
    packed = struct.pack("<256Q", *gear)
    same("gear table", packed, raw(d, "gear_table"))
    same("hash of the gear table", crypto.digest(packed), raw(d, "gear_table_blake3"))
    same("first words of the gear table", [f"{w:016x}" for w in gear[:8]], d["gear_table_first_words"])
    for name in ("metadata object", "tree pack", "slot label"):
        same(f"{name} key", crypto.derive(name, metadata + salt), raw(d, name.replace(" ", "_") + "_key"))
    for number, message in enumerate(file["hpke"]):
        check_hpke(f"hpke {number}", message)
    root = file["slots"][0]
    for slot in file["slots"]:
        check_slot(slot, raw(root, "sign_public"))
    check_keyring(file["keyring"])
    for signed in file["signatures"]:
        check_signature(signed)


def check_hpke(what, m):
    private, public, info, plaintext, enc, ciphertext = raw(
        m, "private", "public", "info", "plaintext", "enc", "ciphertext")
    same(f"{what}: public key", crypto.xwing_public(private), public)
    same(f"{what}: enc's length", len(enc), crypto.ENC)
    same(f"{what}: plaintext", crypto.hpke_open(private, enc + ciphertext, info, what), plaintext)
    refuses(f"{what}: other info", crypto.hpke_open, private, enc + ciphertext, info + b"x", what)
    refuses(f"{what}: damaged", crypto.hpke_open, private, enc + flipped(ciphertext), info, what)
    refuses(f"{what}: damaged enc", crypto.hpke_open, private, flipped(enc, 0) + ciphertext, info, what)
    sealed = crypto.hpke_seal(public, plaintext, info)
    same(f"{what}: sealed here", crypto.hpke_open(private, sealed, info, what), plaintext)


def check_slot(s, root_public):
    what = f"slot {s['slot_id']}"
    repository_id, slot_id = raw(s, "repository_id", "slot_id")
    record, record_bytes, signature = repository.parse_slot(raw(s, "object"), slot_id)
    same(f"{what}: record", encode(records.SLOT, record), record_bytes)
    same(f"{what}: role", record.role.variant, s["role"])
    same(f"{what}: since", record.since_epoch, s["since_epoch"])
    same(f"{what}: added by", record.added_by, raw(s, "added_by"))
    same(f"{what}: keys", (record.kem_public, record.sign_public), raw(s, "kem_public", "sign_public"))
    message = repository.slot_message(repository_id, record_bytes)
    same(f"{what}: signature", crypto.signature_holds(root_public, signature, message), True)
    same(f"{what}: damaged signature", crypto.signature_holds(root_public, flipped(signature), message), False)
    given = {{"passphrase": "password"}.get(k, k): bytes.fromhex(v) for k, v in s["unlock"].items()}
    secret = repository.slot_secret(record.wrap, **given)
    same(f"{what}: commitment", repository.slot_commitment(secret, record.wrap.salt), record.wrap.commitment)
    wrapped = repository.open_wrap(record.wrap, secret, repository_id, slot_id)
    same(f"{what}: private halves", (wrapped.kem_private, wrapped.sign_seed), raw(s, "kem_private", "sign_seed"))
    same(f"{what}: anchor", (wrapped.repository_hash, wrapped.root_public),
         raw(s, "repository_hash", "root_public"))
    same(f"{what}: public halves",
         (crypto.xwing_public(wrapped.kem_private), crypto.ed25519_public(wrapped.sign_seed)),
         raw(s, "kem_public", "sign_public"))
    label = repository.open_label(record, raw(s, "metadata_key"), repository_id)
    same(f"{what}: label", (label.label, label.created), (s["label"]["label"], s["label"]["created"]))
    wrong = repository.slot_secret(record.wrap, **{k: v + b"x" for k, v in given.items()})
    if repository.slot_commitment(wrong, record.wrap.salt) == record.wrap.commitment:
        raise Mismatch(f"{what}: a wrong secret fits")


def check_keyring(k):
    repository_id, slot_id, kem_private = raw(k, "repository_id", "slot_id", "kem_private")
    keyring = repository.open_keyring(raw(k, "object"), kem_private, repository_id, k["epoch"], slot_id)
    same("keyring: plaintext", encode(records.KEYRING, keyring), raw(k, "plaintext"))
    same("keyring: keys", (keyring.dedup_key, keyring.metadata_key, keyring.data_secret),
         raw(k, "dedup_key", "metadata_key", "data_secret"))
    same("keyring: epoch record", keyring.epoch_record, raw(k, "epoch_record"))
    same("keyring: signature", keyring.signature, raw(k, "signature"))
    record = decode(records.EPOCH, keyring.epoch_record)
    same("epoch: data public key", record.data_public, crypto.xwing_public(keyring.data_secret))
    same("epoch: data public key", record.data_public, raw(k, "data_public"))
    same("epoch: dedup commitment", record.dedup_commitment, repository.key_commitment(keyring.dedup_key))
    same("epoch: metadata commitment", record.metadata_commitment,
         repository.key_commitment(keyring.metadata_key))
    message = crypto.context("epoch") + repository_id + keyring.epoch_record
    same("epoch: signature", crypto.signature_holds(raw(k, "root_public"), keyring.signature, message), True)
    refuses("keyring: another epoch", repository.open_keyring, raw(k, "object"), kem_private, repository_id,
            k["epoch"] + 1, slot_id)


def check_signature(s):
    what = f"signature under {s['context']}"
    seed, public, message, signature = raw(s, "seed", "public", "message", "signature")
    same(f"{what}: public key", crypto.ed25519_public(seed), public)
    for context in ("signature", "slot", "epoch"):
        holds = crypto.signature_holds(public, signature, crypto.context(context) + message)
        same(f"{what}, checked as {context}", holds, context == s["context"])


def stream(description):
    """The bytes that an input describes."""
    length = description["length"]
    if "repeat" in description:
        unit = bytes.fromhex(description["repeat"])
        data = (unit * (length // len(unit) + 1))[:length]
    else:
        label = description.get("label") or description["letters"]
        data = blake3(label.encode()).digest(length=length) if length else b""
    if "letters" in description:
        data = bytes(97 + (b & 15) for b in data)
    for edit in description.get("edits", ()):
        data = data[:edit["at"]] + raw(edit, "insert") + data[edit["at"] + edit["remove"]:]
    return data


def check_chunker(file):
    gear = chunking.gear_table(raw(file, "dedup_key"))
    masks = {m["average"]: (int(m["strict"], 16), int(m["loose"], 16)) for m in file["masks"]}
    same("masks", masks, chunking.MASKS)
    for cut in file["cuts"]:
        sizes = cut["minimum"], cut["average"], cut["maximum"]
        ends = chunking.cut_points(stream(cut["input"]), gear, *sizes)
        same(f"cut points of {cut['input']} with {sizes}", ends, cut["ends"])


def check_sketches(file):
    c = sketches.constants(raw(file, "dedup_key"))
    same("constants", [f"{w:016x}" for w in c], file["constants"])
    for s in file["sketches"]:
        same(f"sketch of {s['input']}", sketches.sketch(stream(s["input"]), c), s["sketch"])


def check_ids(file):
    dedup = raw(file, "dedup_key")
    for i in file["ids"]:
        plaintext = raw(i, "plaintext")
        same("chunk id", crypto.keyed(chunking.chunk_id_key(dedup), plaintext), raw(i, "chunk"))
        same("node id", crypto.keyed(chunking.node_id_key(dedup), plaintext), raw(i, "node"))


def check_blobs(file):
    for pack in file["packs"]:
        check_pack(pack)


class OnePack:
    """What blobs.Pack asks of a repository, for one pack in memory."""

    def __init__(self, value):
        self.value, self.store = value, self
        self.id, self.object = raw(value, "repository_id", "object")

    def size(self, name):
        return len(self.object)

    def read_range(self, name, offset, length):
        return self.object[offset:offset + length]

    def data_secret(self, epoch):
        return raw(self.value, "data_secret")

    def metadata_key(self, epoch):
        return raw(self.value, "metadata_key")


def check_pack(p):
    what = f"{p['kind']} pack"
    pack = blobs.Pack(OnePack(p), raw(p, "pack_id"))
    repository_id, dedup = raw(p, "repository_id", "dedup_key")
    pack.check_id()
    same(f"{what}: kind", pack.kind, {"data": blobs.DATA, "tree": blobs.TREE}[p["kind"]])
    same(f"{what}: epoch and session", (pack.epoch, pack.session), (p["epoch"], raw(p, "session")))
    same(f"{what}: key", pack.key, raw(p, "pack_key"))
    entries, _ = blobs.table_entries(pack.footer(), pack.kind, pack.id)
    same(f"{what}: number of blobs", len(entries), len(p["blobs"]))
    id_key = (chunking.chunk_id_key if pack.kind == blobs.DATA else chunking.node_id_key)(dedup)
    elsewhere = raw(p, "elsewhere")
    known = {crypto.keyed(id_key, elsewhere): elsewhere}
    for e, b in zip(entries, p["blobs"]):
        this = f"{what}: blob at {e.offset}"
        bases = [bytes.fromhex(base) for base in b["bases"]]
        same(this, (e.id, e.offset, e.encoding, e.bases, e.depth),
             (raw(b, "id"), b["offset"], ("raw", "zstd", "delta").index(b["encoding"]), bases, b["depth"]))
        sealed = pack.read(e.offset, e.stored_len)
        same(f"{this}: sealed", sealed, raw(b, "sealed"))
        payload = blobs.open_blob(sealed, pack.key, e.offset, repository_id, e.kind, e.id)
        same(f"{this}: payload", payload, raw(b, "payload"))
        refuses(f"{this}: moved", blobs.open_blob, sealed, pack.key, e.offset + 1, repository_id, e.kind, e.id)
        refuses(f"{this}: of the other kind", blobs.open_blob, sealed, pack.key, e.offset, repository_id,
                3 - e.kind, e.id)
        plain = blobs.decode_payload(e.encoding, payload, e.raw_len, [known[base] for base in e.bases])
        same(f"{this}: plaintext", plain, raw(b, "plaintext"))
        same(f"{this}: id", crypto.keyed(id_key, plain), e.id)
        known[e.id] = plain
    same(f"{what}: depths", [e.depth for e in entries], [0, 0, 0, 1, 2, 3, 4, 5, 0, 1])
    same(f"{what}: numbers of bases", [len(e.bases) for e in entries], [0, 0, 0, 1, 1, 1, 2, 4, 0, 1])


def check_metadata(file):
    repository_id, key, signer, public = raw(file, "repository_id", "metadata_key", "signer", "sign_public")
    same("signer's public key", crypto.ed25519_public(raw(file, "sign_seed")), public)
    schemas = {1: records.INDEX, 2: records.SESSION, 3: records.REGISTER, 4: records.LEDGER, 5: records.CHECK}
    for o in file["objects"]:
        name, kind = o["name"], o["kind"]

        def unseal(data, name=name, kind=kind):
            return repository.unseal_metadata(data, name, kind, repository_id, lambda epoch: key)

        opened = unseal(raw(o, "object"))
        same(f"{name}: epoch and signer", (opened.epoch, opened.signer), (file["epoch"], signer))
        message = repository.metadata_message(repository_id, opened.header, name, opened.frame)
        same(f"{name}: signature", crypto.signature_holds(public, opened.signature, message), True)
        record = crypto.zstd_decode(opened.frame, store.LIMIT.record)
        same(f"{name}: record", record, raw(o, "record"))
        decoded = decode(schemas[kind], record)
        same(f"{name}: record, encoded again", encode(schemas[kind], decoded), record)
        if kind == 3:
            same(f"{name}: counts", vars(decoded.register.counts), file["counts"])
        refuses(f"{name}: damaged", unseal, flipped(raw(o, "object")))
        refuses(f"{name}: under another name", unseal, raw(o, "object"), name[:-1] + "x")


def check_padme(file):
    for length, padded in file["lengths"]:
        same(f"padded length of {length}", crypto.padme(length), padded)


CHECKS = {"keys.json": check_keys, "chunker.json": check_chunker, "sketches.json": check_sketches,
          "ids.json": check_ids, "blobs.json": check_blobs, "metadata.json": check_metadata, "padme.json": check_padme}


def check_directory(directory):
    """Yields the name of every file as it proves right; raises Mismatch."""
    for name, check in CHECKS.items():
        try:
            with open(os.path.join(directory, name), encoding="utf-8") as f:
                check(json.load(f))
        except (FormatError, store.Refused, KeyError, OSError, ValueError) as e:
            raise Mismatch(f"{name}: {type(e).__name__}: {e}") from e
        except Mismatch as e:
            raise Mismatch(f"{name}: {e}") from None
        yield name
