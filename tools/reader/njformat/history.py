"""Snapshots (chapter 7)."""

from types import SimpleNamespace

from . import records
from .store import Refused, about, ascending, hex_of, require


class Snapshots:
    """Registers. `committed` has the snapshots that exist, by start; `refused` the objects that are not believed."""

    def __init__(self, repository):
        self.committed, self.refused, self.digests = [], [], {}
        for name in repository.store.names("snapshots", hex_of(16)):
            session = bytes.fromhex(name.split("/")[1])
            if session in repository.ledger.forgotten:
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
