//! Each rule of the protocol, broken: the search finds what is lost, in a scenario in which
//! nothing is lost otherwise (`scenarios.rs`).

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it saw"
)]

use nightjar_model::scenarios::{Scenario, Size};
use nightjar_model::{Invariant, Protocol, Variant};
use stateright::{Checker, HasDiscoveries, Model};

fn assert_breaks(variant: Variant, scenario: &str, invariant: Invariant) {
    let scenario = Scenario::named(scenario).expect("a scenario of that name");
    let protocol = Protocol::new(scenario.configuration(Size::Usual).with(variant));
    let until = HasDiscoveries::AllOf([invariant.name()].into());
    // Breadth first: the path found is the shortest.
    let search = protocol.checker().finish_when(until).spawn_bfs().join();
    let Some(path) = search.discovery(invariant.name()) else {
        panic!("{variant:?}: \"{}\" holds in {}", invariant.name(), scenario.name);
    };
    println!("{variant:?} in {}: \"{}\" does not hold after", scenario.name, invariant.name());
    for step in path.into_actions() {
        println!("  {step:?}");
    }
}

macro_rules! broken {
    ($($name:ident: $variant:ident in $scenario:ident breaks $invariant:ident;)*) => {
        $(#[test]
        fn $name() {
            assert_breaks(Variant::$variant, stringify!($scenario), Invariant::$invariant);
        })*

        #[test]
        fn every_variant_is_tried() {
            assert_eq!(Variant::BROKEN, [$(Variant::$variant),*]);
        }
    };
}

broken! {
    v1_retired_packs_count_as_present: V1 in reuse breaks NothingDangles;
    v1b_retired_ids_are_forgotten: V1b in reuse breaks NothingDangles;
    v2_absent_is_taken_for_never: V2 in reuse breaks NothingDangles;
    v3_retired_packs_are_believed_in: V3 in rounds breaks NothingDangles;
    v4_a_missing_blob_stops_nobody: V4 in pages breaks NothingDangles;
    v5_fences_are_deleted: V5 in reuse breaks NothingDangles;
    v6_index_objects_are_replaced_before_retire: V6 in reuse breaks NothingDangles;
    v7_a_renewal_drops_nothing: V7 in renewals breaks NothingDangles;
    v8_the_mark_of_the_plan_is_used: V8 in reuse breaks NothingDangles;
    v9_the_ledger_is_read_first: V9 in reuse breaks NothingDangles;
    alarm_at_once: AlarmAtOnce in pages breaks NoFalseAlarm;
    bases_unmarked: BasesUnmarked in chains breaks NothingDangles;
    least_depth_anywhere: LeastDepthAnywhere in chains breaks NothingDangles;
    bases_unchecked: BasesUnchecked in bases breaks NothingDangles;
    own_packs_kept: OwnPacksKept in renewals breaks NothingDangles;
    unnoted_ignored: UnnotedIgnored in reuse breaks NothingDangles;
    session_deleted_unfenced: SessionDeletedUnfenced in reuse breaks NothingDangles;
    index_before_pack: IndexBeforePack in two_writers breaks NothingDangles;
    unpublished_cached: UnpublishedCached in two_writers breaks NothingDangles;
    register_before_forget: RegisterBeforeForget in forgetting breaks ReportsAreTrue;
    close_unread: CloseUnread in reuse breaks NothingDangles;
    reinstate_revives: ReinstateRevives in rounds breaks NothingDangles;
    retire_not_read_back: RetireNotReadBack in rounds breaks NothingDangles;
    copies_listed_late: CopiesListedLate in rounds breaks NothingDangles;
    damage_overtaken: DamageOvertaken in damage breaks NothingDangles;
    damaged_reused: DamagedReused in damage breaks NothingDangles;
    bundle_is_listing: BundleIsListing in reuse breaks NothingDangles;
    silent_left_out: SilentLeftOut in reuse breaks EverythingDeadGoes;
    sessions_kept: SessionsKept in reuse breaks EverythingDeadGoes;
    replica_snapshots_first: ReplicaSnapshotsFirst in replica breaks ReplicaIsWhole;
    replica_ledger_first: ReplicaLedgerFirst in replica_behind breaks ReplicaIsWhole;
    replica_ledger_once: ReplicaLedgerOnce in replica_behind breaks ReplicaIsWhole;
    replica_lists_once: ReplicaListsOnce in replica_pages breaks ReplicaIsWhole;
    packs_first: PacksFirst in promotion_behind breaks NothingDangles;
    packs_before_walk: PacksBeforeWalk in promotion_behind breaks NothingDangles;
    back_unwalked: BackUnwalked in promotion_back breaks NothingDangles;
    bases_unwalked: BasesUnwalked in promotion_back breaks NothingDangles;
    nothing_revived: NothingRevived in promotion_back breaks NothingDangles;
    only_back_revived: OnlyBackRevived in promotion_behind breaks NothingDangles;
    promotion_overwrites: PromotionOverwrites in promotion_back breaks NothingDangles;
    promoted_again: PromotedAgain in promotion_twice breaks PromotedOnce;
    survey_kept: SurveyKept in promotion_back breaks NothingDangles;
    late_admitted: LateAdmitted in promotion_late breaks NothingDangles;
    late_records_count: LateRecordsCount in promotion_back breaks NothingDangles;
    absent_reused: AbsentReused in promotion_back breaks NothingDangles;
    absent_stays: AbsentStays in promotion_back breaks NothingDangles;
    lost_store_cached: LostStoreCached in promotion_back breaks NothingDangles;
    lost_collector_goes_on: LostCollectorGoesOn in promotion_late breaks NothingDangles;
    replica_written_to: ReplicaWrittenTo in promotion_late breaks NothingDangles;
}
