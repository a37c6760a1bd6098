//! The protocol with one rule broken. Each must make an invariant fail: that is how it is known
//! that the rule is needed, and that the search would see its absence.

/// The protocol as written, or with one rule broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Variant {
    /// As format-spec, chapter 13 has it.
    #[default]
    None,
    /// Writers take retired packs for present once no condemn of them is open: one reads the
    /// ledger after Retire, before the pack is gone, and reuses it.
    V1,
    /// Retired pack ids are forgotten after the clean-up: a fenced writer's index object lands
    /// late, and another writer reuses the deleted pack.
    V1b,
    /// A writer whose commit had no answer, and that then reads "absent", deletes its session: the
    /// delayed create lands after its packs were retired.
    V2,
    /// The collector trusts index objects that still list retired packs, and skips a copy.
    V3,
    /// The collector goes on when a live blob is not found: it read the index while an object of
    /// it was being replaced.
    V4,
    /// Fences are tidied away: a fenced writer commits.
    V5,
    /// Index objects are rewritten before Retire: another collector reinstates, and the pack is
    /// there but not listed.
    V6,
    /// A renewal notes a newer head without dropping packs that were closed since.
    V7,
    /// The mark of the plan is used for Retire: what was committed in between is not in it.
    V8,
    /// The ledger is read before the session is created: the collector neither sees the writer
    /// nor waits for it.
    V9,
    /// Damage is reported as soon as a live blob is not found.
    AlarmAtOnce,
    /// The collector looks for live blobs and not for their bases.
    BasesUnmarked,
    /// The collector follows each blob's place of least depth, and then accepts any staying place:
    /// the one that stays may be a delta whose base goes.
    LeastDepthAnywhere,
    /// A writer reuses a blob whose base is in no pack that it may use.
    BasesUnchecked,
    /// A renewal drops others' packs that were closed since, but not the writer's own.
    OwnPacksKept,
    /// A session that has noted nothing yet is taken for one that uses nothing yet.
    UnnotedIgnored,
    /// A silent writer's session is deleted, not fenced.
    SessionDeletedUnfenced,
    /// An index object is published before its pack is durable.
    IndexBeforePack,
    /// A writer reuses what another one on the same machine has put but not published.
    UnpublishedCached,
    /// The register is deleted before the Forget is written.
    RegisterBeforeForget,
    /// A collector closes its round without looking whether it is closed.
    CloseUnread,
    /// A Reinstate takes packs back out of a Retire.
    ReinstateRevives,
    /// A collector deletes packs although no answer to its Retire came.
    RetireNotReadBack,
    /// The copies' index object is published after Retire.
    CopiesListedLate,
    /// A collector retires although a Damaged record came after its mark.
    DamageOvertaken,
    /// Damaged packs count as present.
    DamagedReused,
    /// A bundle is taken for the list of all snapshots.
    BundleIsListing,
    /// Packs of unresolved sessions are left out of the plan, and no silent session is fenced
    /// unless a round is open: they stay for ever.
    SilentLeftOut,
    /// Sessions are not deleted by collectors.
    SessionsKept,
    /// The replicator copies snapshots before what they rest on.
    ReplicaSnapshotsFirst,
    /// The replicator copies the ledger before the packs into which its Retires moved blobs.
    ReplicaLedgerFirst,
    /// The replicator does not read the ledger again before it copies snapshots.
    ReplicaLedgerOnce,
    /// The replicator lists the index once.
    ReplicaListsOnce,
    /// A promoter lists the packs before the registers: a snapshot that comes in between rests on
    /// retired packs that are not revived.
    PacksFirst,
    /// A promoter lists the packs before it walks what is forgotten: a snapshot comes back with a
    /// retired pack that came in between, and is not revived.
    PacksBeforeWalk,
    /// Forgotten snapshots come back as soon as their registers are there.
    BackUnwalked,
    /// Forgotten snapshots come back if their blobs are there, whatever became of the bases.
    BasesUnwalked,
    /// A promotion takes no pack out of a Retire.
    NothingRevived,
    /// A promotion revives what snapshots need that come back, and nothing else: one that is not
    /// forgotten may rest on retired packs, for the record that forgets it was not copied.
    OnlyBackRevived,
    /// The Promote record is put, whatever stands under its number.
    PromotionOverwrites,
    /// Who finds the number of his Promote taken begins anew without looking whether the store is
    /// still a replica.
    PromotedAgain,
    /// Who finds the number of his Promote taken tries the next, with what he found before.
    SurveyKept,
    /// A snapshot does not say in which incarnation it was committed: one that the promotion does
    /// not name counts when it comes late.
    LateAdmitted,
    /// Records do not say of which incarnation they are: those of the lost one count behind its
    /// end.
    LateRecordsCount,
    /// A writer does not look whether the packs are there that an index object lists.
    AbsentReused,
    /// A collector takes packs for staying that are listed, whether they are there or not.
    AbsentStays,
    /// A writer goes by index objects that it read in the lost store.
    LostStoreCached,
    /// A collector of the lost store goes on with its clean-up in the promoted one.
    LostCollectorGoesOn,
    /// A writer commits in a replica: its address led to the source when it began.
    ReplicaWrittenTo,
}

impl Variant {
    /// All but the protocol as written.
    pub const BROKEN: &[Variant] = &[
        Self::V1,
        Self::V1b,
        Self::V2,
        Self::V3,
        Self::V4,
        Self::V5,
        Self::V6,
        Self::V7,
        Self::V8,
        Self::V9,
        Self::AlarmAtOnce,
        Self::BasesUnmarked,
        Self::LeastDepthAnywhere,
        Self::BasesUnchecked,
        Self::OwnPacksKept,
        Self::UnnotedIgnored,
        Self::SessionDeletedUnfenced,
        Self::IndexBeforePack,
        Self::UnpublishedCached,
        Self::RegisterBeforeForget,
        Self::CloseUnread,
        Self::ReinstateRevives,
        Self::RetireNotReadBack,
        Self::CopiesListedLate,
        Self::DamageOvertaken,
        Self::DamagedReused,
        Self::BundleIsListing,
        Self::SilentLeftOut,
        Self::SessionsKept,
        Self::ReplicaSnapshotsFirst,
        Self::ReplicaLedgerFirst,
        Self::ReplicaLedgerOnce,
        Self::ReplicaListsOnce,
        Self::PacksFirst,
        Self::PacksBeforeWalk,
        Self::BackUnwalked,
        Self::BasesUnwalked,
        Self::NothingRevived,
        Self::OnlyBackRevived,
        Self::PromotionOverwrites,
        Self::PromotedAgain,
        Self::SurveyKept,
        Self::LateAdmitted,
        Self::LateRecordsCount,
        Self::AbsentReused,
        Self::AbsentStays,
        Self::LostStoreCached,
        Self::LostCollectorGoesOn,
        Self::ReplicaWrittenTo,
    ];
}
