"""The ledger (chapter 8), which also says when epochs begin (chapter 2) and which incarnation stands (chapter 15)."""

import struct

from . import crypto, records
from .store import LIMIT, Refused, about, ascending, require

ANY_MEMBER = ("damaged", "repaired", "hold")  # all other ledger records need a full member


class Ledger:
    """The records as they follow on one another, each under the epoch and in the incarnation that stand where it
    does: an Epoch record begins the next epoch, a Promote record another incarnation. A record under a later epoch
    shows that an Epoch record was lost: it counts as tampering, not as void. `tampering` and `void` are to be
    reported; `forgotten` are the snapshots that are no more, `incarnations` all that began, in their order."""

    def __init__(self, repository):
        self.repository = repository
        self.tampering, self.void, self.forgotten = [], [], set()
        self.incarnations = [repository.record.incarnation]
        self._epoch, self._promotion, self._previous = 1, None, bytes(32)
        names = repository.store.names("ledger", "[0-9]{12}")
        for number, name in enumerate(names or [""]):
            if name != record_name(number):
                self.tampering.append(f"{record_name(number)}: is missing")
                break
            data = repository.store.read(name, LIMIT.metadata)
            if not self._follow(number, name, data):
                self.tampering.append(f"{name}: does not continue the record before it")
                break
            self._previous = crypto.digest(data)

    def admits(self, snapshot, incarnation):
        """Whether a snapshot that was committed in this incarnation counts since the newest promotion."""
        return incarnation == self.incarnations[-1] or not self._promotion or snapshot in self._promotion.snapshots

    def _follow(self, number, name, data):
        """Takes the object of a record into account. False if it is valid, but of another line."""
        epoch = struct.unpack("<I", data[5:9])[0] if len(data) >= 41 and data[:4] == b"NJM1" else 0
        if epoch > self._epoch:
            self.tampering.append(f"{name}: is sealed under epoch {epoch}, which has not begun there")
            return True
        try:
            record = self._open(number, name, data)
        except Refused as e:
            self.void.append(str(e))
            return True
        if record.previous != self._previous:
            return False
        body = record.body
        if body.variant == "epoch":
            self._begin(name, body)
        elif body.variant == "forget":
            self.forgotten.update(body.snapshots)
        elif body.variant == "promote":
            self.forgotten.difference_update(body.snapshots)
            self.incarnations.append(body.incarnation)
            self._promotion = body
        return True

    def _open(self, number, name, data):
        """The record, if a member signed it who may, where it may stand: all others are void."""
        opened = self.repository.open_metadata(name, records.LEDGER, data)
        record, body = opened.record, opened.record.body
        with about(name):
            require(record.number == number, "says that it stands elsewhere")
            require((body.variant == "open") == (number == 0), "an open record stands first, and only there")
            require(opened.role == "full" or body.variant in ANY_MEMBER,
                    f"slot {opened.signer.hex()} may not write a record of this kind ({body.variant})")
            require(opened.epoch == self._epoch, f"is sealed under epoch {opened.epoch}, which had ended")
            require(record.incarnation == self.incarnations[-1],
                    f"is of incarnation {record.incarnation.hex()}, which does not stand there")
            if body.variant == "epoch":
                require(body.epoch == self._epoch + 1, f"begins epoch {body.epoch} behind epoch {self._epoch}")
            elif body.variant == "erased":
                require(body.up_to < number, "speaks of records that come after it")
            elif body.variant == "promote":
                require(ascending(body.snapshots) and ascending(body.revived), "its lists are not sorted")
        return record

    def _begin(self, name, begun):
        try:
            self.repository.begin_epoch(begun.epoch, begun.digest)
        except Refused as e:
            raise Refused("; ".join([str(e), *self.tampering])) from None
        self._epoch = begun.epoch


def record_name(number):
    return f"ledger/{number:012}"
