//! Snapshots without what is lost for good.

use std::collections::BTreeSet;

use nightjar_format::ledger::LedgerBody;
use nightjar_format::object::ObjectName;
use nightjar_format::slot::Role;
use nightjar_format::{PackId, SessionId};
use nightjar_repository::repair::LeftOut;
use nightjar_repository::repair::snapshots::{self as mending, SnapshotsPlan};
use nightjar_repository::rewrite::Rewritten;
use nightjar_repository::snapshots::{self, SnapshotInfo};
use nightjar_repository::verify::{Level, VerifyRequest, verify};
use nightjar_repository::{Progress, Repository, RepositoryError, Result, ledger};
use nightjar_testkit::damage::{Damage, names};
use nightjar_testkit::fixture::Fixture;
use nightjar_testkit::generate::noise;

use crate::damage_matrix::packs;
use crate::repair::contents_of;
use crate::rewrite::{Node, Tree, entries, home, stored};

/// So large that it takes several packs.
fn large_home(night: u64) -> Tree {
    let mut tree = home(night);
    tree.insert("before", Node::File(noise(8, 1_500_000)));
    tree.insert("video", Node::File(noise(9, 2_500_000)));
    tree
}

fn planned(repository: &Repository) -> Result<SnapshotsPlan> {
    let list = snapshots::list(repository)?;
    let all: Vec<&SnapshotInfo> = list.snapshots.iter().collect();
    mending::plan(repository, &list, &all, &Progress::default())
}

fn mended(repository: &Repository) -> Result<(SnapshotsPlan, Vec<Rewritten>)> {
    let plan = planned(repository)?;
    let made = mending::execute(repository, &plan, &Progress::default())?;
    Ok((plan, made))
}

/// Findings of a check of these snapshots alone.
fn findings(fixture: &Fixture, snapshots: Vec<SessionId>) -> usize {
    let request = VerifyRequest {
        level: Level::Data,
        snapshots,
        whole_repository: false,
        ..VerifyRequest::default()
    };
    verify(&fixture.open(), &request, &Progress::default()).unwrap().findings.len()
}

fn pack_of(name: &str) -> PackId {
    match ObjectName::parse(name) {
        Some(ObjectName::Pack(id)) => id,
        other => panic!("{other:?}"),
    }
}

fn paths(plan: &SnapshotsPlan, at: usize) -> BTreeSet<String> {
    let left_out = plan.mends[at].left_out.iter();
    left_out.map(|it| String::from_utf8(it.path.clone()).unwrap()).collect()
}

#[test]
fn what_lost_nothing_stays_and_what_did_is_left_out_whole() {
    // Whichever pack is lost, and however.
    let mut lossy = 0;
    for number in 0.. {
        let fixture = Fixture::new(530);
        let old = stored(&fixture, &large_home(1));
        let before = entries(&fixture.open(), old.snapshot.root).unwrap();
        let all = packs(&fixture.store, 1);
        let Some(name) = all.get(number) else { break };
        for is_recorded in [false, true] {
            let fixture = fixture.elsewhere().twin();
            match is_recorded {
                true => {
                    let body = LedgerBody::Damaged { packs: vec![pack_of(name)] };
                    ledger::append(&fixture.open(), &body).unwrap();
                }
                false => Damage::Delete.inflict(&fixture.store, name),
            }
            let stood = contents_of(&fixture.store);
            let plan = planned(&fixture.open()).unwrap();
            assert!(stood == contents_of(&fixture.store), "a plan changed something");
            if plan.mends.is_empty() {
                continue;
            }
            lossy += 1;
            let (plan, made) = mended(&fixture.open()).unwrap();
            let gone = paths(&plan, 0);
            let list = snapshots::list(&fixture.elsewhere().open()).unwrap();
            let new = list.find(&made[0].id.to_string(), None).unwrap();
            assert!(list.snapshots.iter().any(|info| info.id == old.id), "the original stays");
            assert_eq!(new.snapshot.original.map(|it| it.id), Some(old.id));
            let after = entries(&fixture.elsewhere().open(), new.snapshot.root).unwrap();
            let kept: Vec<&String> = before.keys().filter(|path| !gone.contains(*path)).collect();
            assert_eq!(after.keys().collect::<Vec<_>>(), kept);
            for (path, (entry, bytes)) in &after {
                assert!(*bytes == before[path].1, "{path}");
                assert_eq!(entry.name, before[path].0.name);
            }
            let counts = new.snapshot.counts;
            let directories = after.values().filter(|(entry, _)| entry.is_directory()).count();
            assert_eq!(counts.directories, directories as u64);
            assert_eq!(counts.files, (after.len() - directories) as u64);
            assert_eq!(counts.bytes(), after.values().map(|(_, it)| it.len() as u64).sum::<u64>());
            assert_eq!(findings(&fixture, vec![new.id]), 0);
            // Again: it is found, and nothing is made.
            let (plan, again) = mended(&fixture.elsewhere().open()).unwrap();
            assert_eq!((plan.whole, again.len()), (1, 1));
            assert!(again[0].was_there && again[0].id == new.id);
        }
    }
    assert!(lossy > 1, "{lossy}");
}

#[test]
fn a_directory_that_cannot_be_read_is_left_out_and_named() {
    let mut named = 0;
    for (number, damage) in (0..).flat_map(|it| [(it, Damage::Delete), (it, Damage::Flip(500))]) {
        let fixture = Fixture::new(531);
        let nights = [stored(&fixture, &home(1)).id, stored(&fixture, &home(2)).id];
        let all = packs(&fixture.store, 2);
        let Some(name) = all.get(number) else { break };
        damage.inflict(&fixture.store, name);
        let fixture = fixture.elsewhere();
        let (plan, made) = mended(&fixture.open()).unwrap();
        let told = plan.whole + plan.mends.len() as u64 + plan.left.len() as u64;
        assert_eq!(told, 2, "every snapshot is told of: {plan:?}");
        for new in &made {
            assert!(nights.contains(&new.original));
            let list = snapshots::list(&fixture.open()).unwrap();
            let root = list.find(&new.id.to_string(), None).unwrap().snapshot.root;
            entries(&fixture.open(), root).unwrap();
            if damage == Damage::Delete {
                assert_eq!(findings(&fixture, vec![new.id]), 0);
            }
        }
        let is_directory = |it: &LeftOut| it.is_directory;
        named += plan.mends.iter().filter(|it| it.left_out.iter().any(is_directory)).count();
        named += plan.left.len();
    }
    assert!(named > 0);
}

#[test]
fn whole_snapshots_get_no_successor() {
    let fixture = Fixture::new(532);
    stored(&fixture, &home(1));
    let before = contents_of(&fixture.store);
    let (plan, made) = mended(&fixture.open()).unwrap();
    assert_eq!((plan.whole, plan.mends.len(), made.len()), (1, 0, 0));
    assert!(before == contents_of(&fixture.store));
}

#[test]
fn nothing_is_made_of_which_nothing_is_left() {
    let fixture = Fixture::new(533);
    let info = fixture.night(&noise(1, 600_000));
    for folder in [1, 2] {
        let fixture = fixture.elsewhere().twin();
        packs(&fixture.store, folder)
            .iter()
            .for_each(|it| Damage::Delete.inflict(&fixture.store, it));
        let (plan, made) = mended(&fixture.open()).unwrap();
        assert!(plan.mends.is_empty() && made.is_empty());
        assert!(plan.left[0].object.contains(&info.id.to_string()));
        assert!(plan.left[0].why.contains("nothing would be left"), "{:?}", plan.left);
        assert_eq!(names(&fixture.store, "snapshots").len(), 1);
    }
}

#[test]
fn what_is_condemned_is_not_lost() {
    let fixture = Fixture::new(534);
    stored(&fixture, &home(1));
    let pack = pack_of(&packs(&fixture.store, 1)[0]);
    ledger::append(&fixture.open(), &LedgerBody::Condemn { packs: vec![pack] }).unwrap();
    let error = planned(&fixture.open()).unwrap_err();
    assert!(matches!(error, RepositoryError::Busy(_)), "{error}");
}

#[test]
fn a_write_slot_may_look_and_not_write() {
    let fixture = Fixture::new(535);
    stored(&fixture, &large_home(1));
    fixture.add_slot(Role::Write, "host");
    Damage::Delete.inflict(&fixture.store, &packs(&fixture.store, 1)[0]);
    let before = contents_of(&fixture.store);
    let host = fixture.open_with("host").unwrap();
    assert_eq!(planned(&host).unwrap().mends.len(), 1);
    let error = mended(&host).unwrap_err();
    assert!(matches!(error, RepositoryError::RoleForbids { .. }), "{error}");
    assert!(before == contents_of(&fixture.store));
}
