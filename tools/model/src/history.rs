//! Sources of replicas that are promoted: what each holds at every moment of a history that is
//! written down, for what writers and collectors may do there is the matter of other scenarios.

use std::sync::Arc;

use crate::ledger::Record;
use crate::set::Set;
use crate::store::{Register, Request, Store};

/// A source that begins with these packs, each in an index object of its own, and with these
/// snapshots, and is served these requests then.
pub fn of(packs: &[usize], snapshots: &[usize], then: &[Request]) -> Arc<[Store]> {
    let mut store = Store::default();
    for pack in packs {
        store.serve(Request::PutPack(*pack));
        store.serve(Request::PutIndex(Set::one(*pack)));
    }
    for session in snapshots {
        store.serve(Request::CreateRegister(*session, Register::Committed));
    }
    let mut moments = vec![store.clone()];
    for request in then {
        assert!(store.serve(*request), "the history refuses {request:?}");
        moments.push(store.clone());
    }
    moments.into()
}

/// A round that retires one pack, and moves what lives in it to another, if that is given.
pub fn round(number: usize, pack: usize, moved: Option<usize>) -> Vec<Request> {
    let gone = Set::one(pack);
    let mut round = vec![Request::Append(number, Record::Condemn(gone))];
    round.extend(moved.map(Request::PutPack));
    round.extend(moved.map(|copies| Request::PutIndex(Set::one(copies))));
    round.extend([
        Request::Append(number + 1, Record::Retire(number, gone)),
        Request::DeletePack(pack),
        Request::DeleteIndex(gone),
    ]);
    round
}
