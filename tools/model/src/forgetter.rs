//! The forgetter: a record, then the deletion of the register.

use crate::ledger::Record;
use crate::state::Turn;
use crate::store::Request;
use crate::variant::Variant;

/// All steps. It remembers nothing: a register that is left over is deleted by a collector.
pub(crate) fn steps(turn: &mut Turn<'_>) {
    let (configuration, store) = (turn.configuration, &turn.state.store);
    let forgotten = store.sum().forgotten;
    for session in configuration.forgettable.iter() {
        if !store.registers[session].is_committed() {
            continue;
        }
        if configuration.variant == Variant::RegisterBeforeForget {
            turn.send("deletes a register", Request::DeleteRegister(session), |_, _| {});
        }
        // 1. Forget a committed snapshot that was seen. 2. Then delete its register.
        if !forgotten.has(session) {
            let request = Request::Append(store.ledger.head() + 1, Record::Forget(session));
            turn.send("forgets a snapshot", request, |_, _| {});
        } else {
            turn.send("deletes a forgotten register", Request::DeleteRegister(session), |_, _| {});
        }
    }
}
