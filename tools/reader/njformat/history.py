"""Snapshots and the ledger (chapters 7 and 8)."""

from types import SimpleNamespace

from . import crypto, records
from .repository import Refused, about, ascending, hex_of, require

ANY_MEMBER = ("damaged", "repaired")  # all other ledger records need a full member


class Ledger:
    """All records of all incarnations. `tampering` and `void` are to be reported; `forgotten` are the snapshots that
    any valid Forget, or any valid checkpoint, names."""

    def __init__(self, repository):
        self.repository = repository
        self.tampering, self.void, self.forgotten = [], [], set()
        self.records = {}  # (incarnation, number): record of a valid object
        self._digests = {}
        incarnations = {}
        for name in repository.store.names("ledger", hex_of(8), "[0-9]{12}"):
            _, incarnation, number = name.split("/")
            incarnations.setdefault(bytes.fromhex(incarnation), []).append(int(number))
        for incarnation, numbers in sorted(incarnations.items()):
            self._read_incarnation(incarnation, sorted(numbers))
        self._follow_incarnations()
        for r in self.records.values():
            if r.body.variant == "forget":
                self.forgotten.update(r.body.snapshots)
            elif r.body.variant == "checkpoint":
                self.forgotten.update(r.body.forgotten)

    def _read_incarnation(self, incarnation, numbers):
        previous, epoch = bytes(32), 0
        for expected, number in enumerate(numbers):
            name = f"ledger/{incarnation.hex()}/{number:012}"
            if number != expected:
                self.tampering.append(f"ledger/{incarnation.hex()}/{expected:012}: is missing")
                return
            opened, digest = self._read_record(name, incarnation, number)
            if opened is not None:
                if opened.record.previous != previous:
                    self.tampering.append(f"{name}: does not continue the record before it")
                    return
                if opened.epoch < epoch:
                    self.void.append(f"{name}: is sealed under epoch {opened.epoch}, which had ended")
                else:
                    epoch = opened.epoch
                    self._take(name, incarnation, number, opened.record)
            self._digests[incarnation, number] = previous = digest

    def _take(self, name, incarnation, number, record):
        if record.body.variant == "epoch":
            keyring = self.repository.epochs.get(record.body.epoch)
            if keyring is None or crypto.digest(keyring.epoch_record) != record.body.digest:
                self.tampering.append(f"{name}: names another epoch {record.body.epoch} than the keyring")
        self.records[incarnation, number] = record

    def _read_record(self, name, incarnation, number):
        try:
            opened = self.repository.open_metadata(name, records.LEDGER)
            r = opened.record
            with about(name):
                require((r.incarnation, r.number) == (incarnation, number), "says that it stands elsewhere")
                require((r.body.variant == "open") == (number == 0), "an open record stands first, and only there")
                require(opened.role == "full" or r.body.variant in ANY_MEMBER,
                        f"slot {opened.signer.hex()} may not write a record of this kind ({r.body.variant})")
                if r.body.variant == "checkpoint":
                    check_state(r.body)
            return opened, opened.digest
        except Refused as e:
            self.void.append(str(e))
            return None, crypto.digest(self.repository.store.read(name, 64 << 20))

    def _follow_incarnations(self):
        """The current incarnation is the one that no other has for its parent."""
        first = self.repository.record.incarnation
        parents = {}
        for (incarnation, number), r in self.records.items():
            if number == 0:
                parents[incarnation] = r.body.parent
        if first not in parents:
            self.tampering.append(f"ledger/{first.hex()}/{0:012}: is missing or void")
        for incarnation, parent in parents.items():
            name = f"ledger/{incarnation.hex()}/{0:012}"
            if (parent is None) != (incarnation == first):
                self.tampering.append(f"{name}: only the first incarnation has no parent")
            elif parent is not None:
                position = parent.position.incarnation, parent.position.number
                if self._digests.get(position) != parent.digest:
                    self.tampering.append(f"{name}: its parent is missing or another")
        followed = [p.position.incarnation for p in parents.values() if p]
        for incarnation in sorted(set(followed)):
            if followed.count(incarnation) > 1:
                self.tampering.append(f"ledger/{incarnation.hex()}: is the parent of several incarnations")


def check_state(s):
    for ids in [s.retired, s.damaged, s.forgotten, s.fences, [c.number for c in s.condemned],
                [c.id for c in s.catalogue]] + [c.packs for c in s.condemned]:
        require(ascending(ids), "the checkpoint's state is not sorted")


class Snapshots:
    """Registers. `committed` has the snapshots that exist, by start; `refused` the objects that are not believed."""

    def __init__(self, repository, ledger):
        self.committed, self.refused, self.digests = [], [], {}
        for name in repository.store.names("snapshots", hex_of(16)):
            session = bytes.fromhex(name.split("/")[1])
            if session in ledger.forgotten:
                continue
            try:
                opened = repository.open_metadata(name, records.REGISTER)
                register = opened.record.register
                if register.variant != "committed":
                    continue
                with about(name):
                    require(ascending([x.key for x in register.labels]), "the labels are not sorted")
            except Refused as e:
                self.refused.append(str(e))
                continue
            self.committed.append(SimpleNamespace(id=session, name=name, signer=opened.signer, **vars(register)))
            self.digests[session] = opened.digest
        self.committed.sort(key=lambda s: (s.started, s.id))

    def find(self, prefix):
        if prefix == "latest":
            if not self.committed:
                raise Refused("snapshots: there is none")
            return self.committed[-1]
        found = [s for s in self.committed if s.id.hex().startswith(prefix.lower())]
        if len(found) != 1:
            for message in self.refused:
                if message.startswith(f"snapshots/{prefix.lower()}"):
                    raise Refused(message)
            raise Refused(f"snapshots/{prefix}: " + ("names several snapshots" if found else "there is no such one"))
        return found[0]
