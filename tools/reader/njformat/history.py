"""Snapshots (chapter 7)."""

from types import SimpleNamespace

from . import records
from .store import Refused, about, ascending, hex_of, require


class Snapshots:
    """Registers. `committed` has the snapshots that exist, by start, `forgotten` what a replica still has of others;
    `refused` the objects that are not believed."""

    def __init__(self, repository):
        ledger = repository.ledger
        self.committed, self.forgotten, self.refused, self.digests = [], [], [], {}
        for name in repository.store.names("snapshots", hex_of(16)):
            session = bytes.fromhex(name.split("/")[1])
            is_forgotten = session in ledger.forgotten
            if is_forgotten and not repository.is_replica:
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
            if not ledger.admits(session, register.incarnation):
                repository.warn(f"{name}: is of incarnation {register.incarnation.hex()}, and no promotion names it")
                continue
            if is_forgotten:
                repository.warn(f"{name}: is forgotten, and still in this replica")
            (self.forgotten if is_forgotten else self.committed).append(
                SimpleNamespace(id=session, name=name, signer=opened.signer, **vars(register)))
            self.digests[session] = opened.digest
        self.committed.sort(key=lambda s: (s.started, s.id))

    def find(self, prefix):
        if prefix == "latest":
            if not self.committed:
                raise Refused("snapshots: there is none")
            return self.committed[-1]
        found = [s for s in self.committed + self.forgotten if s.id.hex().startswith(prefix.lower())]
        if len(found) != 1:
            for message in self.refused:
                if message.startswith(f"snapshots/{prefix.lower()}"):
                    raise Refused(message)
            raise Refused(f"snapshots/{prefix}: " + ("names several snapshots" if found else "there is no such one"))
        return found[0]
