"""Packs, the index, and blobs out of them (chapters 3, 4 and 5)."""

import heapq
import struct
from collections import OrderedDict
from types import SimpleNamespace

from blake3 import blake3

from . import crypto, records
from .postcard import decode
from .store import LIMIT, Refused, about, hex_of, require

DATA, TREE = 1, 2
BLOBS_AT = {DATA: 1193, TREE: 57}
TRAILER = 24


def blob_name(kind, blob_id):
    return f"{'chunk' if kind == DATA else 'node'} {blob_id.hex()}"


def pack_name(pack_id):
    return f"packs/{pack_id.hex()[:2]}/{pack_id.hex()}"


# Pure pieces

def parse_pack_header(head):
    """Kind, epoch, session and what the pack key comes from."""
    require(len(head) >= 57 and head[:4] == b"NJP1", "not a pack")
    kind = head[4]
    require(kind in BLOBS_AT, f"packs of kind {kind} are not known")
    require(len(head) >= BLOBS_AT[kind], "is too short")
    return SimpleNamespace(kind=kind, epoch=struct.unpack("<I", head[5:9])[0], session=head[9:25],
                           associated=head[:25], seal=head[25:BLOBS_AT[kind]])


def data_pack_key(seal, data_secret, repository_id, epoch, session):
    info = crypto.context("pack key") + repository_id + crypto.u32(epoch) + session
    key = crypto.hpke_open(data_secret, seal, info, "the pack key")
    require(len(key) == 32, "the pack key has the wrong length")
    return key


def tree_pack_key(salt, metadata_key):
    return crypto.derive("tree pack", metadata_key + salt)


def open_blob(sealed, key, offset, repository_id, kind, blob_id):
    return crypto.aead_open(key, crypto.u64(offset) + bytes(4), sealed, repository_id + bytes([kind]) + blob_id,
                            "the blob")


def open_end(sealed, key, number, repository_id, associated):
    """The footer (number 1) or the trailer (2)."""
    return crypto.aead_open(key, bytes(8) + crypto.u32(number), sealed, repository_id + associated,
                            "the footer" if number == 1 else "the trailer")


def decode_payload(encoding, payload, raw_len, bases=()):
    """`encoding` is 0 raw, 1 zstd or 2 delta against the plaintexts `bases`."""
    if encoding == 0:
        plain = payload
    else:
        plain = crypto.zstd_decode(payload, raw_len, prefix=b"".join(bases))
    require(len(plain) == raw_len, f"decodes to {len(plain)} bytes instead of {raw_len}")
    return plain


def table_entries(table, kind, pack_id):
    """The blobs of a table with their offsets, and where they end."""
    n = len(table.ids)
    require(len(table.rows) == n, "the table has not as many rows as ids")
    require(len(table.sketches) in (0, n), "the table has not as many sketches as ids")
    require(len(set(table.ids)) == n, "the table has an id twice")
    require(len(set(table.external_bases)) == len(table.external_bases), "the table has an external base twice")
    entries, offset = [], BLOBS_AT[kind]
    for i, row in enumerate(table.rows):
        require(row.raw_len <= LIMIT.blob, "a blob exceeds the limit")
        require(crypto.TAG <= row.stored_len <= row.raw_len + LIMIT.sealed_overhead,
                "a blob's stored length is not allowed")
        bases, depth, encoding = [], 0, row.encoding.variant
        if encoding == "delta":
            depth, numbers = row.encoding.depth, row.encoding.bases
            require(1 <= depth <= LIMIT.depth, "a delta's depth is not allowed")
            require(1 <= len(numbers) <= LIMIT.bases, "a delta's number of bases is not allowed")
            require(all(b < i or n <= b < n + len(table.external_bases) for b in numbers),
                    "a delta's base is not allowed")
            bases = [table.ids[b] if b < i else table.external_bases[b - n] for b in numbers]
            require(len(set(bases)) == len(bases), "a delta has a base twice")
            require(table.ids[i] not in bases, "a delta is its own base")
        entries.append(SimpleNamespace(
            id=table.ids[i], kind=kind, pack=pack_id, offset=offset, stored_len=row.stored_len, raw_len=row.raw_len,
            encoding=("raw", "zstd", "delta").index(encoding), bases=bases, depth=depth, damage=None))
        offset += row.stored_len
    return entries, offset


def delta_counts(entries):
    """What of some entries is stored as deltas."""
    deltas = [e for e in entries if e.bases]
    return {"chunks": sum(e.kind == DATA for e in deltas), "nodes": sum(e.kind == TREE for e in deltas),
            "of_several_bases": sum(len(e.bases) > 1 for e in deltas), "depth": max((e.depth for e in deltas), default=0)}


class Pack:
    """A pack with its key."""

    def __init__(self, repository, pack_id):
        self.repository, self.id, self.name = repository, pack_id, pack_name(pack_id)
        self.size = repository.store.size(self.name)
        with about(self.name):
            require(self.size is not None, "is missing")
            require(self.size <= LIMIT.pack, "is too long")
            h = parse_pack_header(repository.store.read_range(self.name, 0, min(self.size, BLOBS_AT[DATA])))
            self.kind, self.epoch, self.session, self.associated = h.kind, h.epoch, h.session, h.associated
            if h.kind == DATA:
                self.key = data_pack_key(h.seal, repository.data_secret(h.epoch), repository.id, h.epoch, h.session)
            else:
                self.key = tree_pack_key(h.seal, repository.metadata_key(h.epoch))

    def read(self, offset, length):
        return self.repository.store.read_range(self.name, offset, length)

    def check_id(self):
        hasher, at = blake3(), 0
        while at < self.size:
            part = self.read(at, min(1 << 22, self.size - at))
            hasher.update(part)
            at += len(part)
        if hasher.digest() != self.id:
            raise Refused(f"{self.name}: the name is not the object's BLAKE3")

    def footer(self, strict=False):
        """The table in the footer, after checking that the blobs fill the room before it; with `strict`, also that the
        pack has the length that its writer owes it."""
        with about(self.name):
            room = self.size - BLOBS_AT[self.kind] - TRAILER
            require(room >= crypto.TAG, "is too short")
            trailer = open_end(self.read(self.size - TRAILER, TRAILER), self.key, 2, self.repository.id,
                               self.associated)
            sealed_length, length = struct.unpack("<II", trailer)
            require(crypto.TAG <= sealed_length <= room, "the footer's length is not possible")
            start = self.size - TRAILER - sealed_length
            plain = open_end(self.read(start, sealed_length), self.key, 1, self.repository.id, self.associated)
            require(length <= len(plain), "the footer's frame is longer than the footer")
            require(not any(plain[length:]), "the padding is not zero")
            if strict:
                crypto.check_padding(self.size, plain[length:])
            table = decode(records.FOOTER, crypto.zstd_decode(plain[:length], LIMIT.record)).table
            require(table.ids, "has no blob")
            _, end = table_entries(table, self.kind, self.id)
            require(end == start, "the blobs do not end where the footer begins")
        return table


class Blobs:
    """Where blobs lie, and their plaintexts. `problems` are index objects and packs that were passed over; `tables`
    has for each pack every list of its blobs that somebody gives, with who does."""

    CACHE = 64 << 20

    def __init__(self, repository, from_footers=False):
        self.repository = repository
        self.entries, self.tables, self.problems = {}, {}, []
        self._packs, self._cache, self._cached = {}, OrderedDict(), 0
        if from_footers:
            self._read_footers()
        else:
            self._read_index()

    def _add(self, pack_id, table, entries, by):
        known = self.tables.setdefault(pack_id, [])
        if any(table == other for other, _ in known):
            return
        known.append((table, by))
        for e in entries:
            self.entries.setdefault((e.kind, e.id), []).append(e)

    def _read_index(self):
        store = self.repository.store
        for name in store.names("index", hex_of(16)):
            try:
                opened = self.repository.open_metadata(name, records.INDEX)
                by = f"{name}, signed by slot {opened.signer.hex()}"
                with about(by):
                    self._read_index_object(opened.record, by)
            except Refused as e:
                self.problems.append(str(e))

    def _read_index_object(self, index, by):
        for p in index.packs:
            require(p.kind in BLOBS_AT, f"packs of kind {p.kind} are not known")
            entries, end = table_entries(p.table, p.kind, p.pack_id)
            require(p.size <= LIMIT.pack and end + crypto.TAG + TRAILER <= p.size, "the blobs exceed their pack")
            size = self.repository.store.size(pack_name(p.pack_id))
            if size is None:  # a pack that is gone holds nothing
                continue
            if size != p.size:
                self.problems.append(f"{pack_name(p.pack_id)}: has {size} bytes, not {p.size} as {by} says")
                continue
            self._add(p.pack_id, p.table, entries, by)

    def _read_footers(self):
        for name in self.repository.store.names("packs", hex_of(1), hex_of(32)):
            pack_id = bytes.fromhex(name[-64:])
            if name != pack_name(pack_id):
                continue
            try:
                pack = self._packs[pack_id] = Pack(self.repository, pack_id)
                table = pack.footer()
                with about(name):
                    entries, _ = table_entries(table, pack.kind, pack_id)
                self._add(pack_id, table, entries, "its footer")
            except Refused as e:
                self.problems.append(str(e))

    def pack(self, pack_id):
        if pack_id not in self._packs:
            self._packs[pack_id] = Pack(self.repository, pack_id)
        return self._packs[pack_id]

    def read(self, kind, blob_id, on_use=None):
        """The plaintext of a blob; `on_use` is told every entry of its support."""
        while True:
            support = self._support(kind, blob_id)
            plain = {}
            for e in support:
                try:
                    plain[e.id] = self._cache.get((kind, e.id))
                    if plain[e.id] is None:
                        plain[e.id] = self._decode(e, [plain[b] for b in e.bases])
                except Refused as error:
                    e.damage = str(error)
                    break
            else:
                break
        for e in support:
            self._remember((kind, e.id), plain[e.id])
            if on_use:
                on_use(e)
        return plain[blob_id]

    def _support(self, kind, blob_id):
        """The entries that a blob is decoded from, each behind its bases. Of every blob this is the one of least depth;
        where that is damaged, or some of what it rests on was lost, another. An entry is settled when all its bases
        are, and the least depth first: so none waits for itself, and each is looked at once."""
        seen = self._reachable(kind, blob_id)
        entries = [e for found in seen.values() for e in found if not e.damage]
        missing = [len(e.bases) for e in entries]
        needed_by = {}
        for i, e in enumerate(entries):
            for b in e.bases:
                needed_by.setdefault(b, []).append(i)
        ready = [(0, e.pack, e.offset, i) for i, e in enumerate(entries) if not e.bases]
        heapq.heapify(ready)
        settled, steps, too_deep = {}, {}, []
        while ready and blob_id not in settled:
            e = entries[heapq.heappop(ready)[-1]]
            down = max((steps[b] + 1 for b in e.bases), default=0)
            if e.id in settled:
                continue
            if down > LIMIT.depth:
                too_deep.append(f"{blob_name(kind, e.id)}: lies above more than {LIMIT.depth} deltas")
                continue
            settled[e.id], steps[e.id] = e, down
            for i in needed_by.get(e.id, ()):
                missing[i] -= 1
                if missing[i] == 0:
                    heapq.heappush(ready, (entries[i].depth, entries[i].pack, entries[i].offset, i))
        if blob_id not in settled:
            reasons = [f"{blob_name(kind, b)}: is in no pack" for b, found in seen.items() if not found]
            reasons += [e.damage for found in seen.values() for e in found if e.damage] + too_deep
            raise Refused("; ".join(reasons or [f"{blob_name(kind, blob_id)}: its bases are made against each other"]))
        support = {blob_id}
        for e in reversed(settled.values()):
            if e.id in support:
                support.update(e.bases)
        if len(support) > LIMIT.support:
            raise Refused(f"{blob_name(kind, blob_id)}: rests on more than {LIMIT.support} blobs")
        return [e for e in settled.values() if e.id in support]

    def _reachable(self, kind, blob_id):
        """A blob and whatever its entries, those of its bases, and so on, may need: for each id its entries."""
        seen, unseen = {}, [blob_id]
        while unseen:
            this = unseen.pop()
            if this not in seen:
                seen[this] = self.entries.get((kind, this), ())
                unseen += [b for e in seen[this] if not e.damage for b in e.bases]
        return seen

    def _decode(self, e, bases):
        with about(f"{blob_name(e.kind, e.id)} in {pack_name(e.pack)} at {e.offset}"):
            pack = self.pack(e.pack)
            require(pack.kind == e.kind, "the pack is of the other kind")
            payload = open_blob(pack.read(e.offset, e.stored_len), pack.key, e.offset, self.repository.id, e.kind,
                                e.id)
            plain = decode_payload(e.encoding, payload, e.raw_len, bases)
            require(crypto.keyed(self.repository.id_key[e.kind], plain) == e.id, "its content is not what its id says")
        return plain

    def _remember(self, key, plain):
        old = self._cache.pop(key, b"")
        self._cache[key] = plain
        self._cached += len(plain) - len(old)
        while self._cached > self.CACHE:
            self._cached -= len(self._cache.popitem(last=False)[1])
