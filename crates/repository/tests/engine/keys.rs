//! Who may do what, who is believed, and what a removed or stolen slot can still do.

use std::fs;
use std::sync::Arc;
use std::thread;

use nightjar_codec::sign::SignatureContext;
use nightjar_codec::slot::{
    NewSlot, Protection, SlotKeys, Voucher, key_commitment, seal_keyring, seal_slot,
};
use nightjar_codec::{SecretKey, digest};
use nightjar_format::keyring::{EpochRecord, Keyring};
use nightjar_format::ledger::{LedgerBody, LedgerRecord};
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::record;
use nightjar_format::slot::{Role, SlotLabel, SlotObject};
use nightjar_format::snapshot::Register;
use nightjar_format::{Digest, SessionId, SlotId};
use nightjar_repository::verify::{Level, VerifyRequest, verify};
use nightjar_repository::{Progress, RepositoryError, holds, ledger, slots, snapshots};
use nightjar_storage::Store;
use nightjar_storage::faults::{FaultPlan, FaultStore};
use nightjar_testkit::damage::{copy_of, names, read, write};
use nightjar_testkit::fixture::{Fixture, PASSPHRASE, back_up, cheap, passphrase, restore};
use nightjar_testkit::generate::dump;
use nightjar_testkit::insider::Insider;
use nightjar_testkit::model::{Model, verify_all};

const WRITER: &str = "the writer's passphrase";
const OTHER: &str = "another full slot";

fn first_slot(fixture: &Fixture) -> SlotId {
    fixture.open().keychain().slot()
}

#[test]
fn a_wrong_passphrase_is_told_as_such() {
    let fixture = Fixture::new(31);
    for wrong in ["", "x", "correct horse battery staple "] {
        let error = fixture.open_with(wrong).err().unwrap();
        assert!(matches!(error, RepositoryError::WrongSecret), "{error:?}");
    }
}

#[test]
fn a_write_slot_backs_up_lists_and_checks_but_reads_no_data() {
    let fixture = Fixture::new(32);
    let first = fixture.night(&dump(1, 2 << 20));
    fixture.add_slot(Role::Write, WRITER);
    fixture.world.sleep_until_next_night();
    let mut repository = fixture.elsewhere().open_with(WRITER).unwrap();
    let second = back_up(&repository, &dump(2, 2 << 20)).unwrap();
    let list = snapshots::list(&repository).unwrap();
    assert_eq!(list.findings, [""; 0]);
    assert_eq!(
        list.snapshots.iter().map(|info| info.id).collect::<Vec<_>>(),
        [first.id, second.id]
    );
    let ids = vec![first.id, second.id];
    for level in [Level::Presence, Level::Packs] {
        let request = VerifyRequest {
            level,
            snapshots: ids.clone(),
            whole_repository: true,
            ..VerifyRequest::default()
        };
        let report = verify(&repository, &request, &Progress::default()).unwrap();
        assert_eq!(report.findings, []);
    }

    let forbidden = [
        restore(&repository, &first).map(|_| ()),
        restore(&repository, &second).map(|_| ()),
        verify_all(&repository).map(|_| ()),
        snapshots::forget(&repository, &[first.id], "me", "why"),
        slots::remove(&mut repository, first_slot(&fixture)),
        ledger::append(&repository, &LedgerBody::Condemn { packs: vec![] }).map(|_| ()),
        nightjar_repository::index::sync::rebuild_from_packs(&repository).map(|_| ()),
        {
            let unlock = passphrase("mine");
            let protection = Protection { unlock: &unlock, argon2: cheap() };
            slots::add(&mut repository, Role::Full, "mine", &protection).map(|_| ())
        },
    ];
    for (number, outcome) in forbidden.into_iter().enumerate() {
        assert!(
            matches!(outcome, Err(RepositoryError::RoleForbids { .. })),
            "forbidden thing {number}: {outcome:?}"
        );
    }
    assert!(restore(&fixture.open(), &second).unwrap() == dump(2, 2 << 20));
}

#[test]
fn the_data_key_is_nowhere_in_what_a_write_slot_is_given() {
    let fixture = Fixture::new(33);
    let full = Insider::open(&fixture, first_slot(&fixture), PASSPHRASE);
    let slot = fixture.add_slot(Role::Write, WRITER);
    let writer = Insider::open(&fixture, slot, WRITER);
    assert!(full.keyring.data_secret.is_some());
    assert_eq!(writer.keyring.data_secret, None);
}

#[test]
fn a_removed_slot_is_shut_out_and_the_others_read_old_and_new() {
    let fixture = Fixture::new(34);
    let mut model = Model::default();
    let mut night = |fixture: &Fixture, seed: u64| {
        let bytes = dump(seed, 1 << 20);
        model.insert(&fixture.night(&bytes), &bytes);
    };
    night(&fixture, 1);
    fixture.add_slot(Role::Full, OTHER);
    let removed = fixture.add_slot(Role::Write, WRITER);
    let stolen = Insider::open(&fixture, removed, WRITER);
    night(&fixture, 2);
    slots::remove(&mut fixture.open(), removed).unwrap();
    assert_eq!(fixture.open().keychain().epoch(), 3);
    night(&fixture, 3);

    let error = fixture.open_with(WRITER).err().unwrap();
    assert!(matches!(error, RepositoryError::WrongSecret), "{error:?}");
    let left = names(&fixture.store, "");
    assert!(!left.iter().any(|name| name.contains(&removed.to_string())), "{left:?}");
    for passphrase in [PASSPHRASE, OTHER] {
        let repository = fixture.elsewhere().open_with(passphrase).unwrap();
        assert_eq!(repository.keychain().epoch(), 3);
        model.check(&repository, None, passphrase);
    }
    // Slots added later are given the old epochs' keys too.
    fixture.add_slot(Role::Full, "late");
    model.check(&fixture.elsewhere().open_with("late").unwrap(), None, "late");

    // What it kept of its keys opens nothing new and vouches for nothing new.
    let third = model.iter().map(|(id, _)| id).collect::<Vec<_>>();
    for id in third {
        let name = ObjectName::Snapshot(id);
        let opened = nightjar_codec::metadata::open::<Register>(
            &OldKeys(&stolen),
            MetadataKind::Snapshot,
            &name,
            &read(&fixture.store, &name.to_string()),
        );
        let list = snapshots::list(&fixture.open()).unwrap();
        let info = list.snapshots.iter().find(|info| info.id == id).unwrap();
        let is_new = info.snapshot.started == list.snapshots.last().unwrap().snapshot.started;
        assert_eq!(opened.is_ok(), !is_new, "{name}");
    }
}

/// Opens metadata objects with a removed slot's keys, believing anybody's signature.
struct OldKeys<'a>(&'a Insider);

impl nightjar_codec::metadata::Trust for OldKeys<'_> {
    fn repository(&self) -> nightjar_format::RepositoryId {
        self.0.repository()
    }

    fn metadata_key(&self, epoch: u32) -> Option<&SecretKey> {
        self.0.metadata_key(epoch)
    }

    fn member(&self, _: u32, _: SlotId) -> Option<(Role, [u8; 32])> {
        Some((Role::Full, self.0.anchor.root_public))
    }
}

#[test]
fn the_last_full_slot_cannot_be_removed() {
    let fixture = Fixture::new(35);
    fixture.add_slot(Role::Write, WRITER);
    let error = slots::remove(&mut fixture.open(), first_slot(&fixture)).unwrap_err();
    assert!(matches!(error, RepositoryError::Refused(_)), "{error:?}");
    assert_eq!(slots::list(&fixture.open()).unwrap().len(), 2);
}

/// A slot that `voucher` vouches for, with a keyring made of what `voucher` has.
fn smuggle_in_slot(fixture: &Fixture, voucher: &Insider, role: Role, text: &str) -> SlotId {
    let random = fixture.world.random();
    let keys = SlotKeys::random(random).unwrap();
    let unlock = passphrase(text);
    let slot = seal_slot(
        &voucher.repository(),
        &voucher.anchor,
        &keys,
        &NewSlot {
            role,
            since_epoch: voucher.epoch,
            label: SlotLabel { label: "harmless".into(), created: 0 },
        },
        &Protection { unlock: &unlock, argon2: cheap() },
        &Voucher {
            slot_id: voucher.slot,
            sign_key: &voucher.keys.sign_key(),
            metadata_key: voucher.metadata_key(voucher.epoch).unwrap(),
        },
        random,
    )
    .unwrap();
    let id = slot.record.slot_id;
    let keyring =
        seal_keyring(&voucher.repository(), 1, &slot.record, &voucher.keyring, random).unwrap();
    let attempt = digest::hash(&voucher.keyring.epoch_record).attempt();
    write(&fixture.store, &ObjectName::Keyring(1, attempt, id).to_string(), keyring);
    write(&fixture.store, &ObjectName::Slot(id).to_string(), slot.to_object());
    id
}

#[test]
fn a_slot_that_a_write_slot_vouches_for_is_not_believed() {
    let fixture = Fixture::new(36);
    let bytes = dump(1, 1 << 20);
    fixture.night(&bytes);
    let writer = fixture.add_slot(Role::Write, WRITER);
    let writer = Insider::open(&fixture, writer, WRITER);
    for role in [Role::Full, Role::Write] {
        let text = format!("smuggled {role}");
        let smuggled = smuggle_in_slot(&fixture, &writer, role, &text);
        let listed = slots::list(&fixture.open()).unwrap();
        assert!(!listed.iter().any(|slot| slot.id == smuggled), "{listed:?}");
        assert!(!fixture.open().keychain().members().any(|member| member.slot_id == smuggled));
        // What it signs is not believed either.
        let smuggled = Insider::open(&fixture, smuggled, &text);
        let forged = forge_snapshot(&fixture, &smuggled);
        let list = snapshots::list(&fixture.open()).unwrap();
        assert!(!list.snapshots.iter().any(|info| info.id == forged));
        assert!(list.findings.iter().any(|finding| finding.contains(&forged.to_string())));
        let opened = fixture.elsewhere().open_with(&text);
        let error = opened.err().unwrap();
        assert!(matches!(error, RepositoryError::NotAdmitted { .. }), "{error:?}");
    }
}

/// The newest snapshot again under another name, signed by `signer`.
fn forge_snapshot(fixture: &Fixture, signer: &Insider) -> SessionId {
    let mut snapshot = snapshots::list(&fixture.open()).unwrap().snapshots[0].snapshot.clone();
    snapshot.labels.clear();
    let id = SessionId(fixture.world.random().array());
    let register = Register::Committed(Box::new(snapshot));
    signer.write(MetadataKind::Snapshot, &ObjectName::Snapshot(id), &register);
    id
}

#[test]
fn a_slot_cannot_take_another_ones_place() {
    let fixture = Fixture::new(37);
    let victim = fixture.add_slot(Role::Full, OTHER);
    let writer = fixture.add_slot(Role::Write, WRITER);
    // Its own object with a higher role: the signature does not hold.
    let name = ObjectName::Slot(writer).to_string();
    let mut object = SlotObject::from_object(&read(&fixture.store, &name)).unwrap();
    object.record.role = Role::Full;
    object.record_bytes = record::encode(&object.record);
    write(&fixture.store, &name, object.to_object());
    let members = fixture.open();
    let role = members.keychain().members().find(|m| m.slot_id == writer).map(|m| m.role);
    assert_ne!(role, Some(Role::Full));
    // Its object under another's name.
    let victims = ObjectName::Slot(victim).to_string();
    write(&fixture.store, &victims, object.to_object());
    let listed = slots::list(&fixture.open()).unwrap();
    assert!(!listed.iter().any(|slot| slot.role == Role::Full && slot.id == writer));
}

#[test]
fn an_epoch_that_a_write_slot_makes_is_refused() {
    let fixture = Fixture::new(38);
    let writer = fixture.add_slot(Role::Write, WRITER);
    let insider = Insider::open(&fixture, writer, WRITER);
    let random = fixture.world.random();
    let current: EpochRecord = record::decode(&insider.keyring.epoch_record).unwrap();
    let metadata_key = SecretKey::random(random);
    let epoch_record = record::encode(&EpochRecord {
        epoch: 2,
        previous: Some(digest::hash(&insider.keyring.epoch_record)),
        created_by: writer,
        metadata_commitment: key_commitment(&metadata_key),
        ..current
    });
    let message = [insider.repository().as_bytes().as_slice(), &epoch_record].concat();
    let keyring = Keyring {
        signature: insider.keys.sign_key().sign(SignatureContext::Epoch, &message),
        epoch_record,
        metadata_key: *metadata_key.expose(),
        ..insider.keyring.clone()
    };
    let first = first_slot(&fixture);
    let name = ObjectName::Slot(first).to_string();
    let victim = SlotObject::from_object(&read(&fixture.store, &name)).unwrap().record;
    let object = seal_keyring(&insider.repository(), 2, &victim, &keyring, random).unwrap();
    let made = digest::hash(&keyring.epoch_record);
    write(&fixture.store, &ObjectName::Keyring(2, made.attempt(), first).to_string(), object);
    assert_eq!(fixture.open().keychain().epoch(), 1);
    // Nor when it says in the ledger that the epoch begins.
    let head = ledger::read(&fixture.open()).unwrap();
    let forged = LedgerRecord {
        incarnation: head.head.incarnation,
        number: head.head.number + 1,
        previous: head.head_digest,
        time: 0,
        body: LedgerBody::Epoch { epoch: 2, digest: made },
    };
    let name = ObjectName::Ledger(forged.number);
    insider.write(MetadataKind::Ledger, &name, &forged);
    let repository = fixture.open();
    assert_eq!(repository.keychain().epoch(), 1);
    assert!(!ledger::read(&repository).unwrap().findings.is_empty());
    // A void record stops nobody.
    fixture.add_slot(Role::Full, OTHER);
    assert_eq!(fixture.open().keychain().epoch(), 2);
}

#[test]
fn a_forget_that_a_write_slot_signs_forgets_nothing() {
    let fixture = Fixture::new(39);
    let bytes = dump(1, 1 << 20);
    let info = fixture.night(&bytes);
    let writer = fixture.add_slot(Role::Write, WRITER);
    let writer = Insider::open(&fixture, writer, WRITER);
    let head = ledger::read(&fixture.open()).unwrap();
    let number = head.head.number + 1;
    let forged = LedgerRecord {
        incarnation: head.head.incarnation,
        number,
        previous: head.head_digest,
        time: 0,
        body: LedgerBody::Forget {
            snapshots: vec![info.id],
            who: "the owner".into(),
            why: "old".into(),
            erase: false,
        },
    };
    let name = ObjectName::Ledger(number);
    writer.write(MetadataKind::Ledger, &name, &forged);
    for fixture in [fixture.clone(), fixture.elsewhere()] {
        let repository = fixture.open();
        let list = snapshots::list(&repository).unwrap();
        assert_eq!(list.snapshots.len(), 1, "the forged record was obeyed");
        let told = |text: &String| text.contains(&name.to_string()) && text.contains("write");
        assert!(list.findings.iter().any(told), "{:?}", list.findings);
        let report = verify_all(&repository).unwrap();
        assert!(report.findings.iter().any(|f| told(&f.problem)), "{:?}", report.findings);
        assert!(restore(&repository, &info).unwrap() == bytes);
    }
    // Nor can it keep a full slot from its work: a void record stops nobody.
    snapshots::forget(&fixture.open(), &[info.id], "me", "why").unwrap();
    assert_eq!(snapshots::list(&fixture.open()).unwrap().snapshots.len(), 0);
}

#[test]
fn a_ledger_record_of_a_full_slot_that_does_not_follow_on_is_reported() {
    let fixture = Fixture::new(40);
    let info = fixture.night(&dump(1, 1 << 20));
    let insider = Insider::open(&fixture, first_slot(&fixture), PASSPHRASE);
    let head = ledger::read(&fixture.open()).unwrap().head;
    let name = ObjectName::Ledger(head.number + 1);
    let record = LedgerRecord {
        incarnation: head.incarnation,
        number: head.number + 1,
        previous: Digest([7; 32]),
        time: 0,
        body: LedgerBody::Damaged { packs: vec![] },
    };
    insider.write(MetadataKind::Ledger, &name, &record);
    let findings = ledger::read(&fixture.open()).unwrap().findings;
    assert!(findings.iter().any(|it| it.contains(&name.to_string())), "{findings:?}");
    let list = snapshots::list(&fixture.open()).unwrap();
    assert_eq!(list.snapshots[0].id, info.id);
}

/// Two snapshots, the first of them forgotten, so that there are two ledger records.
fn with_history(seed: u64) -> (Fixture, nightjar_testkit::fixture::Fixture) {
    let fixture = Fixture::new(seed);
    let first = fixture.night(&dump(1, 1 << 20));
    let before = fixture.at(copy_of(&fixture.store), fixture.cache.clone());
    fixture.night(&dump(2, 1 << 20));
    snapshots::forget(&fixture.open(), &[first.id], "me", "too old").unwrap();
    (fixture, before)
}

#[test]
fn a_store_that_shows_an_older_state_is_reported_by_who_has_seen_the_newer() {
    let (fixture, before) = with_history(41);
    assert_eq!(verify_all(&fixture.open()).unwrap().findings, []);
    let repository = before.open();
    let report = verify_all(&repository).unwrap();
    let all = format!("{:?}", report.findings);
    assert!(all.contains("older state"), "{all}");
    assert!(all.contains("is gone, and no ledger record forgets it"), "{all}");
    // It is not forgotten by being seen once.
    let again = verify_all(&before.open()).unwrap();
    assert_eq!(again.findings, report.findings);
    // Nor is anything built upon it.
    let id = snapshots::list(&repository).unwrap().snapshots[0].id;
    let error = snapshots::forget(&repository, &[id], "me", "why").unwrap_err();
    assert!(matches!(error, RepositoryError::Tampered(_)), "{error:?}");
}

#[test]
fn a_missing_snapshot_is_reported_even_by_who_never_saw_it() {
    let fixture = Fixture::new(42);
    let first = fixture.night(&dump(1, 1 << 20));
    fixture.night(&dump(2, 1 << 20));
    fixture.store.delete(&ObjectName::Snapshot(first.id).to_string()).unwrap();
    let report = verify_all(&fixture.elsewhere().open()).unwrap();
    let told = report.findings.iter().any(|it| it.problem.contains(&first.id.to_string()));
    assert!(told, "{:?}", report.findings);
}

#[test]
fn the_newest_snapshot_is_missed_by_who_saw_it() {
    let fixture = Fixture::new(43);
    fixture.night(&dump(1, 1 << 20));
    let second = fixture.night(&dump(2, 1 << 20));
    fixture.store.delete(&ObjectName::Snapshot(second.id).to_string()).unwrap();
    let report = verify_all(&fixture.open()).unwrap();
    let told = report.findings.iter().any(|it| it.problem.contains(&second.id.to_string()));
    assert!(told, "{:?}", report.findings);
}

#[test]
fn a_repository_object_of_another_repository_is_refused() {
    let (fixture, other) = (Fixture::new(44), Fixture::new(45));
    write(&fixture.store, "repository", read(&other.store, "repository"));
    let error = fixture.try_open().err().unwrap();
    assert!(error.is_damage(), "{error:?}");
    assert!(fs::read_dir(&fixture.cache).is_ok());
}

#[test]
fn a_slot_whose_adding_was_cut_off_is_told_so_and_nobody_cries_tampering() {
    let fixture = Fixture::new(47);
    for role in [Role::Full, Role::Write] {
        let mut told = 0;
        for writes in 0.. {
            let twin = fixture.twin();
            let plan = FaultPlan::stop_after_writes(writes);
            let faults = Arc::new(FaultStore::new(twin.store.inner(), plan));
            let failing = twin.at(Store::over(faults, "memory://faulty"), twin.cache.clone());
            let unlock = passphrase("cut off");
            let protection = Protection { unlock: &unlock, argon2: cheap() };
            let added = slots::add(&mut failing.open(), role, "cut off", &protection);
            let opened = twin.elsewhere().open_with("cut off").err();
            assert_eq!(verify_all(&twin.elsewhere().open()).unwrap().findings, []);
            match (added, opened) {
                (Ok(_), None) => break,
                (Err(_), Some(RepositoryError::WrongSecret)) => {}
                (Err(_), Some(RepositoryError::NotAdmitted { .. })) => told += 1,
                // The object of a write slot is enough (format-spec, chapter 2).
                (Err(_), None) if role == Role::Write => {}
                (added, opened) => panic!("after {writes} writes: {added:?}, {opened:?}"),
            }
        }
        assert!(told > 0 || role == Role::Write, "no attempt got as far as the slot object");
    }
}

/// Whoever makes an epoch lists the write slots whose objects it sees.
#[test]
fn slots_that_are_added_at_once_all_have_access() {
    let fixture = Fixture::new(48);
    for round in 0..15 {
        let add = |role: Role| {
            let text = format!("{role} {round} {:?}", thread::current().id());
            fixture.elsewhere().add_slot(role, &text);
            text
        };
        let texts: Vec<String> = thread::scope(|scope| {
            let roles = [Role::Write, Role::Full, Role::Write];
            let add = &add;
            let adding = roles.map(|role| scope.spawn(move || add(role)));
            adding.into_iter().map(|adding| adding.join().unwrap()).collect()
        });
        for text in texts {
            fixture.elsewhere().open_with(&text).unwrap();
        }
        assert_eq!(verify_all(&fixture.open()).unwrap().findings, [], "round {round}");
    }
}

#[test]
fn a_record_that_is_missing_stops_whoever_would_append() {
    let fixture = Fixture::new(49);
    for number in 0..3 {
        let info = fixture.night(&dump(number, 200_000));
        snapshots::forget(&fixture.open(), &[info.id], "me", "why").unwrap();
    }
    let last = fixture.night(&dump(9, 200_000));
    assert!(!fixture.open().is_history_altered());
    fixture.store.delete(&ObjectName::Ledger(2).to_string()).unwrap();
    for fixture in [fixture.clone(), fixture.elsewhere()] {
        let repository = fixture.open();
        assert!(repository.is_history_altered());
        let told = |it: &String| it.contains("ledger records 2 to 3 are missing");
        assert!(repository.history_findings().iter().any(told));
        assert!(snapshots::list(&repository).unwrap().findings.iter().any(told));
        let ids = [last.id];
        for outcome in [
            snapshots::forget(&repository, &ids, "me", "why"),
            holds::hold(&repository, &ids, None, "me", "why").map(drop),
            holds::release(&repository, &ids, "me", "why").map(drop),
        ] {
            assert!(matches!(outcome, Err(RepositoryError::Tampered(_))), "{outcome:?}");
        }
    }
}

#[test]
fn a_snapshot_that_was_exchanged_is_told_by_who_never_saw_it() {
    let fixture = Fixture::new(50);
    let first = fixture.night(&dump(1, 200_000));
    let second = fixture.night(&dump(2, 200_000));
    let writer = fixture.add_slot(Role::Write, WRITER);
    let writer = Insider::open(&fixture, writer, WRITER);
    // It may write, so it overwrites the first with something else that it signs.
    let forged = Register::Committed(Box::new(second.snapshot.clone()));
    let name = ObjectName::Snapshot(first.id);
    writer.write(MetadataKind::Snapshot, &name, &forged);
    let repository = fixture.elsewhere().open();
    let list = snapshots::list(&repository).unwrap();
    let told = |it: &String| it.contains(&name.to_string()) && it.contains(&second.id.to_string());
    assert!(list.findings.iter().any(told), "{:?}", list.findings);
    assert_eq!(list.exchanged, [first.id].into());
    let report = verify_all(&repository).unwrap();
    assert!(report.findings.iter().any(|it| told(&it.problem)), "{:?}", report.findings);
}

#[test]
fn a_slot_that_was_added_meanwhile_is_not_taken_for_nobody() {
    let fixture = Fixture::new(51);
    let info = fixture.night(&dump(1, 200_000));
    let opened = fixture.open();
    fixture.add_slot(Role::Write, WRITER);
    holds::hold(&fixture.open_with(WRITER).unwrap(), &[info.id], None, "host", "why").unwrap();
    // To who was there before, its hold would be void.
    let error = snapshots::forget(&opened, &[info.id], "me", "why").unwrap_err();
    assert!(matches!(error, RepositoryError::KeysChanged), "{error:?}");
    let error = snapshots::list(&opened).unwrap_err();
    assert!(matches!(error, RepositoryError::KeysChanged), "{error:?}");
    let error = snapshots::forget(&fixture.open(), &[info.id], "me", "why").unwrap_err();
    assert!(matches!(error, RepositoryError::Refused(_)), "{error:?}");
}

#[test]
fn a_slot_whose_object_is_damaged_does_not_keep_others_out() {
    let fixture = Fixture::new(52);
    let info = fixture.night(&dump(1, 200_000));
    let writer = fixture.add_slot(Role::Write, WRITER);
    holds::hold(&fixture.open_with(WRITER).unwrap(), &[info.id], None, "host", "why").unwrap();
    write(&fixture.store, &ObjectName::Slot(writer).to_string(), vec![1; 100]);
    let repository = fixture.open();
    // What it signed cannot be checked any more, and is told.
    assert_eq!(repository.history_findings().len(), 1, "{:?}", repository.history_findings());
    assert_eq!(snapshots::list(&repository).unwrap().snapshots.len(), 1);
}

#[test]
fn a_fence_that_has_gone_is_no_lost_snapshot() {
    let fixture = Fixture::new(53);
    fixture.night(&dump(1, 200_000));
    let insider = Insider::first(&fixture);
    let name = ObjectName::Snapshot(SessionId([9; 16]));
    let fence = Register::Fence { reason: "it was dead".into() };
    insider.write(MetadataKind::Snapshot, &name, &fence);
    assert_eq!(snapshots::list(&fixture.open()).unwrap().findings, [""; 0]);
    fixture.store.delete(&name.to_string()).unwrap();
    assert_eq!(snapshots::list(&fixture.open()).unwrap().findings, [""; 0]);
}
