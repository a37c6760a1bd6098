"""The ledger (chapter 8), which also says when epochs begin (chapter 2)."""

import struct

from . import crypto, records
from .store import LIMIT, Refused, about, hex_of, require

ANY_MEMBER = ("damaged", "repaired", "hold")  # all other ledger records need a full member


class Ledger:
    """All records of all incarnations, each under the epoch that stands where it does: an Epoch record begins the
    next. A record under a later one shows that an Epoch record was lost: it counts as tampering, not as void.
    `tampering` and `void` are to be reported; `forgotten` are the snapshots that any valid Forget names."""

    def __init__(self, repository):
        self.repository = repository
        self.tampering, self.void, self.forgotten = [], [], set()
        self.records = {}  # (incarnation, number): record of a valid object
        self._after = {}   # the same: digest of the object, and the epoch that stands behind it
        self._ended = {}   # incarnation: the epoch that stands at its end
        self._numbers = {}
        for name in repository.store.names("ledger", hex_of(8), "[0-9]{12}"):
            _, incarnation, number = name.split("/")
            self._numbers.setdefault(bytes.fromhex(incarnation), []).append(int(number))
        self._follow_incarnations()
        for r in self.records.values():
            if r.body.variant == "forget":
                self.forgotten.update(r.body.snapshots)

    def _follow_incarnations(self):
        """From the first one to those that have it for their parent, and so on."""
        first = self.repository.record.incarnation
        if not self._read_incarnation(first, 1):
            self.tampering.append(f"{record_name(first, 0)}: is missing or void")
        parents, waiting = {}, sorted(set(self._numbers) - {first})
        while waiting:
            for incarnation in waiting:
                parent = self._parent_of(incarnation)
                if parent is not None and parent in self._after:
                    break
            else:
                break
            waiting.remove(incarnation)
            if self._after[parent][1] < self._ended[parent[0]]:
                # Whoever was removed since could have written it.
                self.tampering.append(f"{record_name(incarnation, 0)}: its parent stands before the newest epoch there")
                continue
            if self._read_incarnation(incarnation, self._after[parent][1]):
                parents[incarnation] = parent[0]
                if self.records[incarnation, 0].body.parent.digest != self._after[parent][0]:
                    self.tampering.append(f"{record_name(incarnation, 0)}: its parent is another")
        for incarnation in waiting:
            self._leave_out(incarnation)
        followed = list(parents.values())
        for incarnation in sorted(set(followed)):
            if followed.count(incarnation) > 1:
                self.tampering.append(f"ledger/{incarnation.hex()}: is the parent of several incarnations")

    def _parent_of(self, incarnation):
        """The position an incarnation follows on, if its open record can be read."""
        opened = self._open(incarnation, 0)[0]
        parent = opened and opened.record.body.variant == "open" and opened.record.body.parent
        return (parent.position.incarnation, parent.position.number) if parent else None

    def _leave_out(self, incarnation):
        name = record_name(incarnation, 0)
        opened, data, problem = self._open(incarnation, 0)
        if epoch_of(data) is not None and epoch_of(data) > max(self.repository.epochs):
            self.tampering.append(f"{name}: is sealed under epoch {epoch_of(data)}, which has not begun")
        elif opened is None:
            self.void.append(problem)
        elif opened.record.body.variant == "open" and opened.record.body.parent is None:
            self.tampering.append(f"{name}: only the first incarnation has no parent")
        else:
            self.tampering.append(f"{name}: its parent is missing")

    def _read_incarnation(self, incarnation, epoch):
        """`epoch` stands where it begins. Whether its open record is valid."""
        previous = bytes(32)
        for expected, number in enumerate(sorted(self._numbers.get(incarnation, []))):
            name = record_name(incarnation, number)
            if number != expected:
                self.tampering.append(f"{record_name(incarnation, expected)}: is missing")
                break
            opened, data, problem = self._open(incarnation, number)
            if opened is not None and opened.epoch == epoch and opened.record.previous != previous:
                self.tampering.append(f"{name}: does not continue the record before it")
                break
            sealed_under = epoch_of(data)
            if sealed_under is not None and sealed_under > epoch:
                self.tampering.append(f"{name}: is sealed under epoch {sealed_under}, which has not begun there")
            elif problem is not None:
                self.void.append(problem)
            elif sealed_under < epoch:
                self.void.append(f"{name}: is sealed under epoch {sealed_under}, which had ended")
            elif opened.record.body.variant != "epoch":
                self.records[incarnation, number] = opened.record
            elif opened.record.body.epoch != epoch + 1:
                self.void.append(f"{name}: begins epoch {opened.record.body.epoch} behind epoch {epoch}")
            else:
                self.records[incarnation, number] = opened.record
                epoch += 1
                self._begin(epoch, name, opened.record.body.digest)
            previous = crypto.digest(data)
            self._after[incarnation, number] = previous, epoch
        self._ended[incarnation] = epoch
        return (incarnation, 0) in self.records

    def _begin(self, epoch, name, digest):
        try:
            if not self.repository.begin_epoch(epoch, digest):
                self.tampering.append(f"{name}: begins another epoch {epoch} than another incarnation")
        except Refused as e:
            raise Refused("; ".join([str(e), *self.tampering])) from None

    def _open(self, incarnation, number):
        """A record that a member signed who may, or None; the object; and why it is void."""
        name = record_name(incarnation, number)
        data = self.repository.store.read(name, LIMIT.metadata)
        try:
            opened = self.repository.open_metadata(name, records.LEDGER, data)
            r = opened.record
            with about(name):
                require((r.incarnation, r.number) == (incarnation, number), "says that it stands elsewhere")
                require((r.body.variant == "open") == (number == 0), "an open record stands first, and only there")
                require(opened.role == "full" or r.body.variant in ANY_MEMBER,
                        f"slot {opened.signer.hex()} may not write a record of this kind ({r.body.variant})")
                require(r.body.variant != "erased" or r.body.up_to < number, "speaks of records that come after it")
            return opened, data, None
        except Refused as e:
            return None, data, str(e)


def record_name(incarnation, number):
    return f"ledger/{incarnation.hex()}/{number:012}"


def epoch_of(data):
    """The epoch that a metadata object names."""
    return struct.unpack("<I", data[5:9])[0] if len(data) >= 41 and data[:4] == b"NJM1" else None
