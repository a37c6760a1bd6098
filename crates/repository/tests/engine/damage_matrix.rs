//! Every kind of damage to every kind of object: `verify` reports it, from a machine that knows
//! the repository and from one that does not, and no restore ever gives wrong bytes.
//!
//! What is exempt, and why nothing a user could lose is hit:
//! - a dead writer's session: nobody needs it;
//! - a check object: it only says what to look at first (`coverage`);
//! - the newest snapshot or ledger record missing, for a machine that has seen neither: the
//!   store shows an older state that once was right (threat model, format-spec chapter 11).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use nightjar_format::object::ObjectName;
use nightjar_format::slot::Role;
use nightjar_format::{SessionId, SlotId};
use nightjar_repository::manifest::walk::TreeWalk;
use nightjar_repository::read::Reader;
use nightjar_repository::snapshots::{self, SnapshotInfo};
use nightjar_repository::{Progress, Repository, RepositoryError, ledger};
use nightjar_storage::Store;
use nightjar_storage::faults::{FaultPlan, FaultStore};
use nightjar_testkit::damage::{Damage, copy_of, keyring_name, names, read};
use nightjar_testkit::fixture::{Fixture, PASSPHRASE, back_up};
use nightjar_testkit::generate::{dump, noise};
use nightjar_testkit::model::{Model, verify_all};

pub(crate) const OTHER: &str = "another full slot";

/// A repository with at least two objects of every kind.
pub(crate) struct Sound {
    pub(crate) fixture: Fixture,
    pub(crate) model: Model,
    pub(crate) snapshots: Vec<SessionId>,
    pub(crate) slots: [SlotId; 2],
}

pub(crate) fn sound() -> Sound {
    let fixture = Fixture::new(91);
    let mut model = Model::default();
    let mut snapshots = Vec::new();
    let mut night = |bytes: &[u8]| {
        let info = fixture.night(bytes);
        model.insert(&info, bytes);
        snapshots.push(info.id);
        info.id
    };
    night(&[noise(1, 1_300_000), dump(1, 500_000)].concat());
    let first = fixture.open().keychain().slot();
    let other = fixture.add_slot(Role::Full, OTHER);
    night(&[noise(1, 1_300_000), dump(2, 500_000)].concat());
    let forgotten = night(&dump(3, 300_000));
    snapshots::forget(&fixture.open(), &[forgotten], "me", "too old").unwrap();
    night(&[noise(4, 1_300_000), dump(2, 500_000)].concat());
    model.remove(forgotten);
    snapshots.retain(|id| *id != forgotten);
    for _ in 0..2 {
        let faults = FaultStore::new(fixture.store.inner(), FaultPlan::stop_after_writes(2));
        let store = Store::over(Arc::new(faults), "memory://dying");
        let dying = fixture.at(store, fixture.world.fresh_cache());
        back_up(&dying.open(), &noise(5, 100_000)).unwrap_err();
    }
    assert!(!model.check(&fixture.open(), None, "before any damage"));
    assert_eq!(ledger::read(&fixture.open()).unwrap().head.number, 2);
    Sound { fixture, model, snapshots, slots: [first, other] }
}

/// What must come to light.
#[derive(Clone, Copy, PartialEq)]
enum Expect {
    /// A finding or an error with the object's name in it.
    Named,
    /// A finding or an error.
    Reported,
    /// Nothing: see above.
    Nothing,
}

struct Case<'a> {
    name: &'a str,
    damage: &'a Damage,
    warm: bool,
    passphrase: &'a str,
}

impl Case<'_> {
    fn label(&self) -> String {
        let cache = if self.warm { "warm cache" } else { "fresh cache" };
        format!("{}, {}, {cache}", self.name, self.damage.label())
    }
}

impl Sound {
    fn damaged(&self, case: &Case<'_>) -> Fixture {
        let store = copy_of(&self.fixture.store);
        case.damage.inflict(&store, case.name);
        let world = &self.fixture.world;
        let cache = match case.warm {
            true => world.copy_of_cache(&self.fixture.cache),
            false => world.fresh_cache(),
        };
        self.fixture.at(store, cache)
    }

    /// Everything that is not as it should be in one case.
    fn run(&self, case: &Case<'_>, expect: Expect) -> Vec<String> {
        let fixture = self.damaged(case);
        let label = case.label();
        let mut wrong = Vec::new();
        let mut complain = |what: String| wrong.push(format!("{label}: {what}"));
        let report = catch_unwind(AssertUnwindSafe(|| tell(&fixture, case.passphrase)));
        let Ok(report) = report else {
            return vec![format!("{label}: verify panicked")];
        };
        // Any message may speak of "the repository"; the object is meant here.
        let is_named = match case.name.rsplit_once('/') {
            None => {
                report.contains("repository object") || report.contains("repository is damaged")
            }
            Some((_, id)) => report.contains(id),
        };
        match expect {
            Expect::Nothing => {}
            _ if report.is_empty() => complain("verify reports nothing".into()),
            Expect::Named if !is_named => {
                complain(format!("verify does not name it: {report}"));
            }
            _ => {}
        }
        let again = self.fixture.at(fixture.store.clone(), fixture.cache.clone());
        let restored = catch_unwind(AssertUnwindSafe(|| restore_all(&again)));
        match restored {
            Err(_) => complain("a restore panicked".into()),
            // Nothing is restored: that is not wrong bytes.
            Ok(Err(_)) => {}
            Ok(Ok(restored)) => {
                for (id, outcome) in restored {
                    let expected = self.model.iter().find(|(known, _)| *known == id);
                    match (outcome, expected) {
                        (Ok(bytes), Some((_, expected))) if bytes != expected => {
                            complain(format!("snapshot {id} restores WRONG BYTES"));
                        }
                        // The forget may be what was lost.
                        (_, None) if !case.name.starts_with("ledger/") => {
                            complain(format!("snapshot {id} was never made"));
                        }
                        _ => {}
                    }
                }
            }
        }
        wrong
    }

    /// All damages to one object, with both caches.
    fn matrix(
        &self,
        name: &str,
        passphrase: &str,
        extra: &[Damage],
        expect: impl Fn(&Damage, bool) -> Expect,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        for damage in Damage::BASIC.iter().chain(extra) {
            for warm in [false, true] {
                let case = Case { name, damage, warm, passphrase };
                wrong.extend(self.run(&case, expect(damage, warm)));
            }
        }
        wrong
    }
}

/// What verifying everything tells, as one text; empty if all is well.
fn tell(fixture: &Fixture, passphrase: &str) -> String {
    let verified = fixture.open_with(passphrase).and_then(|repository| verify_all(&repository));
    match verified {
        Ok(report) if report.findings.is_empty() => String::new(),
        Ok(report) => format!("{:?}", report.findings),
        Err(error) => format!("error: {error}"),
    }
}

type Restored = Vec<(SessionId, Result<Vec<u8>, RepositoryError>)>;

/// Restores every snapshot there is.
fn restore_all(fixture: &Fixture) -> Result<Restored, RepositoryError> {
    let repository = fixture.open_with(PASSPHRASE)?;
    let progress = Progress::default();
    let reader = Reader::open(&repository, &progress)?;
    let list = snapshots::list(&repository)?;
    Ok(list.snapshots.iter().map(|info| (info.id, restore_with(&reader, info))).collect())
}

fn restore_with(reader: &Reader<'_>, info: &SnapshotInfo) -> Result<Vec<u8>, RepositoryError> {
    let mut walk = TreeWalk::new(info.snapshot.root);
    let mut bytes = Vec::new();
    while let Some(visited) = walk.next(reader)? {
        if let nightjar_format::manifest::EntryKind::File(file) = visited.entry.kind {
            reader.copy_content(&file.content, file.data_bytes(), &mut bytes)?;
        }
    }
    Ok(bytes)
}

/// A deleted object cannot always be named, any other can.
fn named_unless_deleted(damage: &Damage, _: bool) -> Expect {
    match damage {
        Damage::Delete => Expect::Reported,
        _ => Expect::Named,
    }
}

pub(crate) fn assert_nothing_wrong(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn damage_to_the_repository_object_is_reported() {
    let sound = sound();
    let foreign = Damage::Replace(read(&Fixture::new(92).store, "repository"));
    let named = |_: &Damage, _| Expect::Named;
    let wrong = sound.matrix("repository", PASSPHRASE, &[foreign], named);
    assert_nothing_wrong(wrong);
}

#[test]
fn damage_to_a_slot_is_reported() {
    let sound = sound();
    let [own, other] = sound.slots.map(|slot| ObjectName::Slot(slot).to_string());
    let mut wrong = Vec::new();
    for (name, swapped) in [(&own, &other), (&other, &own)] {
        let swap = [Damage::Swap(swapped.clone())];
        wrong.extend(sound.matrix(name, PASSPHRASE, &swap, named_unless_deleted));
    }
    assert_nothing_wrong(wrong);
}

#[test]
fn damage_to_a_keyring_is_reported_to_its_owner() {
    let sound = sound();
    let [own, other] = sound.slots;
    let name = |epoch, slot| keyring_name(&sound.fixture.store, epoch, slot);
    let mut wrong = Vec::new();
    for (epoch, slot, passphrase) in
        [(1, own, PASSPHRASE), (2, own, PASSPHRASE), (1, other, OTHER), (2, other, OTHER)]
    {
        let extra = [
            Damage::Swap(name(epoch, if slot == own { other } else { own })),
            Damage::Swap(name(3 - epoch, slot)),
            Damage::Replace(read(&sound.fixture.store, &name(3 - epoch, slot))),
        ];
        wrong.extend(sound.matrix(&name(epoch, slot), passphrase, &extra, named_unless_deleted));
    }
    assert_nothing_wrong(wrong);
}

#[test]
fn damage_to_a_missing_keyring_of_another_slot_is_reported() {
    let sound = sound();
    let name = keyring_name(&sound.fixture.store, 2, sound.slots[1]);
    let mut wrong = Vec::new();
    for warm in [false, true] {
        let case = Case { name: &name, damage: &Damage::Delete, warm, passphrase: PASSPHRASE };
        wrong.extend(sound.run(&case, Expect::Reported));
    }
    assert_nothing_wrong(wrong);
}

/// The packs of a kind, told by the clear byte in their header.
pub(crate) fn packs(store: &Store, kind: u8) -> Vec<String> {
    let packs = names(store, "packs").into_iter();
    packs.filter(|name| read(store, name)[4] == kind).collect()
}

fn packs_matrix(kind: u8) {
    let sound = sound();
    let packs = packs(&sound.fixture.store, kind);
    assert!(packs.len() >= 3, "{packs:?}");
    let swap =
        [Damage::Swap(packs[1].clone()), Damage::Replace(read(&sound.fixture.store, &packs[1]))];
    assert_nothing_wrong(sound.matrix(&packs[0], PASSPHRASE, &swap, |_, _| Expect::Named));
}

#[test]
fn damage_to_a_data_pack_is_reported() {
    packs_matrix(1);
}

#[test]
fn damage_to_a_tree_pack_is_reported() {
    packs_matrix(2);
}

#[test]
fn damage_to_an_index_object_is_reported() {
    let sound = sound();
    let index = names(&sound.fixture.store, "index");
    let swap =
        [Damage::Swap(index[1].clone()), Damage::Replace(read(&sound.fixture.store, &index[1]))];
    assert_nothing_wrong(sound.matrix(&index[0], PASSPHRASE, &swap, named_unless_deleted));
}

#[test]
fn damage_to_a_dead_session_harms_nothing() {
    let sound = sound();
    let sessions = names(&sound.fixture.store, "sessions");
    assert_eq!(sessions.len(), 2);
    let swap = [Damage::Swap(sessions[1].clone())];
    let nothing = |_: &Damage, _| Expect::Nothing;
    assert_nothing_wrong(sound.matrix(&sessions[0], PASSPHRASE, &swap, nothing));
}

#[test]
fn damage_to_a_snapshot_is_reported() {
    let sound = sound();
    let names: Vec<String> =
        sound.snapshots.iter().map(|id| ObjectName::Snapshot(*id).to_string()).collect();
    let mut wrong = Vec::new();
    for (name, other) in [(&names[0], &names[1]), (&names[2], &names[0])] {
        let bytes = read(&sound.fixture.store, other);
        let extra = [Damage::Swap(other.clone()), Damage::Replace(bytes)];
        let is_newest = *name == names[2];
        wrong.extend(sound.matrix(name, PASSPHRASE, &extra, |damage, warm| match damage {
            Damage::Delete if is_newest && !warm => Expect::Nothing,
            _ => Expect::Named,
        }));
    }
    assert_nothing_wrong(wrong);
}

#[test]
fn damage_to_a_ledger_record_is_reported() {
    let sound = sound();
    let names = names(&sound.fixture.store, "ledger");
    assert_eq!(names.len(), 3);
    let mut wrong = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let other = &names[(number + 1) % 3];
        let bytes = read(&sound.fixture.store, other);
        let extra = [Damage::Swap(other.clone()), Damage::Replace(bytes)];
        wrong.extend(sound.matrix(name, PASSPHRASE, &extra, |damage, warm| match damage {
            Damage::Delete if number == 2 && !warm => Expect::Nothing,
            Damage::Delete => Expect::Reported,
            _ => Expect::Named,
        }));
    }
    assert_nothing_wrong(wrong);
}

#[test]
fn a_repository_without_any_damage_is_reported_as_sound() {
    let sound = sound();
    let open = |fixture: &Fixture| -> Repository { fixture.open() };
    assert_eq!(verify_all(&open(&sound.fixture)).unwrap().findings, []);
    assert_eq!(verify_all(&open(&sound.fixture.elsewhere())).unwrap().findings, []);
}
