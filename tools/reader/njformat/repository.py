"""Opening a repository: the plain objects, the slot's wrap, the epochs as the ledger has them, who is a member,
sealed metadata objects (chapters 1 and 2); whether the store holds a replica (chapter 15)."""

import struct
from types import SimpleNamespace

from . import crypto, records
from .chunking import chunk_id_key, directory_cut_key, node_id_key
from .ledger import Ledger
from .postcard import FormatError, decode
from .store import LIMIT, MIB, Refused, Store, about, ascending, hex_of, require

METADATA_KINDS = {"index": 1, "sessions": 2, "snapshots": 3, "ledger": 4, "checks": 5}


# Pure pieces

def parse_repository(data):
    require(data[:4] == b"NJR1", "not a repository object")
    r = decode(records.REPOSITORY, data[4:])
    require(ascending(r.required_features) and ascending(r.optional_features), "the features are not sorted")
    require(not r.required_features, f"needs features this reader does not know: {', '.join(r.required_features)}")
    low, average, high = r.chunk_min, r.chunk_avg, r.chunk_max
    require(1 << 10 <= low and low <= average // 2 and 2 * average <= high <= LIMIT.blob
            and 4 << 10 <= average and average & (average - 1) == 0 and low % 2 == 0 == high % 2,
            "the chunk sizes are not allowed")
    require(MIB <= r.pack_target <= 128 * MIB, "the pack target is not allowed")
    return r


def parse_replica(data):
    """`ledger/replica`: of which repository, and the incarnation that begins if it is promoted."""
    require(data[:4] == b"NJC1", "not a replica object")
    return decode(records.REPLICA, data[4:])


def slot_id_of(kem_public, sign_public):
    return crypto.derive("slot id", kem_public + sign_public)[:16]


def parse_slot(data, name_id):
    """A slot object: its record, the record's bytes and the signature, which is not verified here."""
    require(data[:4] == b"NJS1" and len(data) >= 8, "not a slot object")
    length = struct.unpack("<I", data[4:8])[0]
    require(len(data) == 8 + length + 64, "the length of the record does not fit the object")
    raw = data[8:8 + length]
    r = decode(records.SLOT, raw)
    require(len(r.kem_public) == crypto.KEM_PUBLIC, "the KEM public key has the wrong length")
    require(r.slot_id == name_id, "is the object of another slot")
    require(r.slot_id == slot_id_of(r.kem_public, r.sign_public), "the id does not belong to the keys")
    require(r.since_epoch >= 1, "epochs count from 1")
    return r, raw, data[8 + length:]


def slot_message(repository_id, raw):
    return crypto.context("slot") + repository_id + raw


def slot_secret(wrap, password=None, key_file=None):
    """The secret that protects a slot, or None if it is of another kind than what was given."""
    if wrap.variant == "passphrase" and password is not None:
        require(wrap.memory_kib <= LIMIT.argon_kib and wrap.passes <= LIMIT.argon_passes
                and wrap.lanes <= LIMIT.argon_lanes, "the Argon2 parameters exceed the limits")
        require(wrap.passes >= 1 and wrap.lanes >= 1 and wrap.memory_kib >= 8 * wrap.lanes,
                "the Argon2 parameters are not possible")
        return crypto.argon2id(password, wrap.salt, wrap.memory_kib, wrap.passes, wrap.lanes)
    if wrap.variant == "key file" and key_file is not None:
        return crypto.derive("key file", wrap.salt + key_file)
    return None


def slot_commitment(secret, salt):
    return crypto.derive("slot commitment", secret + salt)


def open_wrap(wrap, secret, repository_id, slot_id):
    plain = crypto.aead_open(crypto.derive("slot wrap", secret + wrap.salt), crypto.ZERO_NONCE, wrap.ciphertext,
                             repository_id + slot_id, "the wrap")
    require(len(plain) == 128, "the wrap has the wrong length")
    return SimpleNamespace(kem_private=plain[:32], sign_seed=plain[32:64], repository_hash=plain[64:96],
                           root_public=plain[96:])


def open_label(slot, metadata_key, repository_id):
    require(len(slot.label) >= 32 + crypto.TAG, "the label is too short")
    salt = slot.label[:32]
    plain = crypto.aead_open(crypto.derive("slot label", metadata_key + salt), crypto.ZERO_NONCE, slot.label[32:],
                             repository_id + slot.slot_id, "the label")
    return decode(records.LABEL, plain)


def keyring_info(repository_id, epoch, slot_id):
    return crypto.context("keyring") + repository_id + crypto.u32(epoch) + slot_id


def keyring_name(epoch, record_digest, slot_id):
    """An attempt at an epoch is known by the beginning of its record's hash."""
    return f"keyring/{epoch:08}-{record_digest[:8].hex()}/{slot_id.hex()}"


def open_keyring(data, kem_private, repository_id, epoch, slot_id):
    require(data[:4] == b"NJK1", "not a keyring object")
    plain = crypto.hpke_open(kem_private, data[4:], keyring_info(repository_id, epoch, slot_id), "the keyring")
    return decode(records.KEYRING, plain)


def key_commitment(key):
    return crypto.derive("key commitment", key)


def metadata_message(repository_id, header, name, frame):
    encoded = name.encode()
    return crypto.context("signature") + repository_id + header + crypto.u16(len(encoded)) + encoded + frame


def unseal_metadata(data, name, kind, repository_id, metadata_key_of):
    """Header, signer, signature, epoch and frame of a metadata object; the signature is not verified here."""
    require(len(data) >= 41 + crypto.TAG + 84 and data[:4] == b"NJM1", "not a metadata object")
    require(data[4] == kind, f"is of kind {data[4]}, not {kind}")
    epoch = struct.unpack("<I", data[5:9])[0]
    key = crypto.derive("metadata object", metadata_key_of(epoch) + data[9:41])
    plain = crypto.aead_open(key, crypto.ZERO_NONCE, data[41:], repository_id + data[:41] + name.encode(),
                             "the object")
    length = struct.unpack("<I", plain[80:84])[0]
    require(84 + length <= len(plain), "the frame is longer than the object")
    crypto.check_padding(len(data), plain[84 + length:])
    return SimpleNamespace(header=data[:41], signer=plain[:16], signature=plain[16:80], epoch=epoch,
                           frame=plain[84:84 + length])


def label_epoch(slot):
    """The epoch under whose metadata key a slot's label is sealed: a full slot's own epoch begins after it was
    added, except the root's."""
    return slot.since_epoch - 1 if slot.role.variant == "full" and slot.added_by != slot.slot_id else slot.since_epoch


def check_epoch_slots(record, before):
    """The list of slots is sorted, and repeats that of the epoch before, but for `until`, which may be set now. Nobody
    who is new in it was a full member before: so whoever knows a later epoch's members finds the same ledger."""
    slots = record.slots
    require(ascending([s.slot_id for s in slots]), "the slots are not sorted by id")
    if before is not None:
        now = {s.slot_id: s for s in slots}
        for old in before.slots:
            new = now.pop(old.slot_id, None)
            require(new is not None, f"slot {old.slot_id.hex()} is no longer listed")
            require((new.role, new.sign_public, new.since) == (old.role, old.sign_public, old.since)
                    and (new.until == old.until or old.until is None and new.until == record.epoch),
                    f"slot {old.slot_id.hex()} is listed differently from before")
        for new in now.values():
            early = record.epoch - 1 if new.role.variant == "write" else record.epoch
            require(early <= new.since <= record.epoch, f"slot {new.slot_id.hex()} did not come in with it")


def listed_members(record, epoch):
    """{slot id: (role, signing key)} of the members of `epoch`, by an epoch record of it or a later one."""
    return {s.slot_id: (s.role.variant, s.sign_public) for s in record.slots
            if s.since <= epoch and (s.until is None or s.until > epoch)}


def vouched_for(newest, slot_objects, repository_id):
    """The same of the write slots that were added since the newest epoch, whose record is given."""
    listed, full = {s.slot_id for s in newest.slots}, {
        slot_id: key for slot_id, (role, key) in listed_members(newest, newest.epoch).items() if role == "full"}
    return {r.slot_id: (r.role.variant, r.sign_public) for r, raw, signature in slot_objects
            if r.role.variant == "write" and r.since_epoch == newest.epoch and r.slot_id not in listed
            and r.added_by in full
            and crypto.signature_holds(full[r.added_by], signature, slot_message(repository_id, raw))}


class Repository:
    """An opened repository. `warnings` are things to report that do not hinder reading."""

    def __init__(self, root, password=None, key_file=None):
        self.store = Store(root)
        self.warnings = []
        with about("repository"):
            whole = self.store.read("repository", LIMIT.small)
            self.record = parse_repository(whole)
        self.id = self.record.repository_id
        self.hash = crypto.digest(whole)
        self._slots = self._read_slots()
        self._unlock(password, key_file)
        self.epochs, self.members = {}, {}
        self._begin_first_epoch()
        begun = Ledger(self)  # which calls `begin_epoch`
        self._find_members(begun.tampering)
        self.ledger = Ledger(self)  # again: only now it is known who was a member when
        self.is_replica = self._is_replica()
        dedup = self.epochs[1].dedup_key
        self.id_key = {1: chunk_id_key(dedup), 2: node_id_key(dedup)}
        self.directory_cut_key = directory_cut_key(dedup)

    def warn(self, message):
        self.warnings.append(message)

    def _read_slots(self):
        slots = []
        for name in self.store.names("slots", hex_of(16)):
            try:
                with about(name):
                    slots.append(parse_slot(self.store.read(name, LIMIT.small), bytes.fromhex(name[6:])))
            except Refused as e:
                self.warn(str(e))
        return slots

    def _unlock(self, password, key_file):
        tried = 0
        for r, _, _ in self._slots:
            name = f"slots/{r.slot_id.hex()}"
            try:
                with about(name):
                    secret = slot_secret(r.wrap, password, key_file)
            except Refused as e:
                self.warn(str(e))
                continue
            if secret is None:
                continue
            tried += 1
            if slot_commitment(secret, r.wrap.salt) != r.wrap.commitment:
                continue
            with about(name):
                keys = open_wrap(r.wrap, secret, self.id, r.slot_id)
                require(crypto.xwing_public(keys.kem_private) == r.kem_public, "the KEM keys do not fit each other")
                require(crypto.ed25519_public(keys.sign_seed) == r.sign_public,
                        "the signing keys do not fit each other")
            with about("repository"):
                require(keys.repository_hash == self.hash, "is not the object that the slot was made for")
            self.slot, self.keys = r, keys
            return
        raise Refused(f"slots: the passphrase or key file opens none of the {tried} slots that it could" if tried
                      else "slots: no slot is of this kind")

    def _begin_first_epoch(self):
        """Its keyring is found by name; no ledger record names it, but the root signed it."""
        own = self.slot.slot_id
        names = self.store.names("keyring", f"{1:08}-{hex_of(8)}", own.hex())
        believed, failures = [], []
        for name in names:
            try:
                believed.append(self._open_epoch(1, name, None))
            except Refused as e:
                failures.append(e)
        if not names:
            raise Refused(f"keyring/{1:08}-*/{own.hex()}: is not there: the slot was removed, or never quite added")
        if not believed:
            raise failures[0]
        if len({k.digest for k in believed}) > 1:
            raise Refused(f"keyring/{1:08}-*/{own.hex()}: the root made several first epochs")
        for failure in failures:
            self.warn(str(failure))
        self._take_epoch(1, believed[0])

    def begin_epoch(self, epoch, digest):
        """Takes up the epoch after the newest one, as the ledger has it, unless that was done before."""
        if epoch in self.epochs:
            return
        name = keyring_name(epoch, digest, self.slot.slot_id)
        if self.store.size(name) is None:
            raise Refused(f"{name}: is not there, though epoch {epoch} has begun: the slot was removed")
        self._take_epoch(epoch, self._open_epoch(epoch, name, self.epochs[epoch - 1], digest))

    def _take_epoch(self, epoch, keyring):
        self.epochs[epoch] = keyring
        self.members[epoch] = listed_members(keyring.record, epoch)

    def _open_epoch(self, epoch, name, previous, digest=None):
        with about(name):
            keyring = open_keyring(self.store.read(name, LIMIT.keyring), self.keys.kem_private, self.id, epoch,
                                   self.slot.slot_id)
            keyring.digest = crypto.digest(keyring.epoch_record)
            require(name == keyring_name(epoch, keyring.digest, self.slot.slot_id) and digest in (None, keyring.digest),
                    "holds another epoch record than its name or the ledger says")
            with about(f"{name}: epoch record"):
                keyring.record = decode(records.EPOCH, keyring.epoch_record)
            self._check_epoch(epoch, keyring.record, keyring, previous)
        return keyring

    def _check_epoch(self, epoch, record, keyring, previous):
        require(record.epoch == epoch, f"is of epoch {record.epoch}")
        require(record.repository_hash == self.hash, "was made for another repository object")
        if previous is None:
            require(record.previous is None, "the first epoch has no previous one")
            # The root: created_by is listed as a full slot with the key that the wrap anchors.
            by = next((s for s in record.slots if s.slot_id == record.created_by), None)
            require(by is not None and by.role.variant == "full" and by.sign_public == self.keys.root_public,
                    "was not created by the root")
            signer = self.keys.root_public
        else:
            require(record.previous == previous.digest,
                    "does not continue the epoch before it")
            member = listed_members(previous.record, epoch - 1).get(record.created_by)
            require(member is not None and member[0] == "full",
                    f"slot {record.created_by.hex()}, which made it, is not a full member of the epoch before")
            signer = member[1]
        require(crypto.signature_holds(signer, keyring.signature,
                                       crypto.context("epoch") + self.id + keyring.epoch_record),
                "the signature does not hold")
        check_epoch_slots(record, previous and previous.record)
        require(key_commitment(keyring.dedup_key) == record.dedup_commitment, "the dedup key is another")
        require(key_commitment(keyring.metadata_key) == record.metadata_commitment, "the metadata key is another")
        require(previous is None or keyring.dedup_key == previous.dedup_key, "the dedup key has changed")
        require(len(record.data_public) == crypto.KEM_PUBLIC, "the public data key has the wrong length")
        if self.slot.role.variant == "full":
            require(keyring.data_secret is not None, "a full slot's keyring lacks the data secret")
            require(crypto.xwing_public(keyring.data_secret) == record.data_public,
                    "the data secret does not fit the public data key")
        else:
            require(keyring.data_secret is None, "a write slot's keyring has a data secret")

    def _find_members(self, tampering):
        last = max(self.epochs)
        record = self.epochs[last].record
        self.members = {epoch: listed_members(record, epoch) for epoch in self.epochs}
        newest = self.members[last]
        newest.update(vouched_for(record, self._slots, self.id))
        for r, _, _ in self._slots:
            if r.slot_id not in newest:
                self.warn(f"slots/{r.slot_id.hex()}: makes nobody a member of the newest epoch")
            elif newest[r.slot_id] != (r.role.variant, r.sign_public):
                self.warn(f"slots/{r.slot_id.hex()}: says something else than the newest epoch's record")
        mine = newest.get(self.slot.slot_id)
        if mine != (self.slot.role.variant, self.slot.sign_public):
            raise Refused("; ".join([f"slots/{self.slot.slot_id.hex()}: is not the member that the newest epoch "
                                     f"knows, {last}", *tampering]))

    def _is_replica(self):
        """Until it is promoted. A marker that cannot be read marks a replica."""
        name = "ledger/replica"
        if self.store.size(name) is None:
            return False
        try:
            with about(name):
                return parse_replica(self.store.read(name, LIMIT.small)).incarnation not in self.ledger.incarnations
        except Refused as e:
            self.warn(str(e))
            return True

    def metadata_key(self, epoch):
        if epoch not in self.epochs:
            raise FormatError(f"is sealed for epoch {epoch}, which has not begun")
        return self.epochs[epoch].metadata_key

    def data_secret(self, epoch):
        if epoch not in self.epochs:
            raise FormatError(f"is sealed for epoch {epoch}, which has not begun")
        secret = self.epochs[epoch].data_secret
        require(secret is not None, "is a data pack, which a write slot cannot read")
        return secret

    def open_metadata(self, name, schema, data=None):
        """A metadata object that a member signed: record, signer, role and the digest of the object. `data` is the
        object if it was read before."""
        kind = METADATA_KINDS[name.split("/")[0]]
        with about(name):
            if data is None:
                data = self.store.read(name, LIMIT.metadata)
            o = unseal_metadata(data, name, kind, self.id, self.metadata_key)
            member = self.members[o.epoch].get(o.signer)
            require(member is not None, f"slot {o.signer.hex()}, which signed it, is not a member of its epoch")
            require(crypto.signature_holds(member[1], o.signature,
                                           metadata_message(self.id, o.header, name, o.frame)),
                    "the signature does not hold")
            record = decode(schema, crypto.zstd_decode(o.frame, LIMIT.record))
        return SimpleNamespace(record=record, signer=o.signer, role=member[0], epoch=o.epoch,
                               digest=crypto.digest(data))
