//! Which packs are to go. Decides, and does nothing.
//!
//! A pack of which nothing is alive goes. One of which something is alive goes if that is worth
//! moving the rest: the cheapest first, measured in bytes moved for each byte freed, until what is
//! left unused is within the bound. And packs of about the same small size go once there are enough
//! of them to become one: as in a log-structured merge tree (O'Neil et al., 1996), a blob moves at
//! most once for every factor of [`FACTOR`] between its pack's size and a full one.

use std::collections::BTreeMap;

use nightjar_format::PackId;
use nightjar_format::blob::BlobKind;

/// How far to go.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// What may stay unused, in thousandths of what packs take.
    pub unused_permille: u32,
    /// Most bytes to move; any number without.
    pub move_bytes: Option<u64>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { unused_permille: 50, move_bytes: None }
    }
}

/// A pack, and what is alive in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PackUse {
    pub(super) pack: PackId,
    pub(super) kind: BlobKind,
    /// Bytes of the object.
    pub(super) size: u64,
    /// Bytes that its blobs take.
    pub(super) stored_bytes: u64,
    /// Bytes that live ones take.
    pub(super) live_bytes: u64,
    /// How many are alive.
    pub(super) live_blobs: u64,
    /// It is recorded as damaged: what is alive in it cannot all be moved.
    pub(super) damaged: bool,
}

impl PackUse {
    fn unused(&self) -> u64 {
        self.stored_bytes.saturating_sub(self.live_bytes)
    }
}

/// Why a pack goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No snapshot needs anything in it.
    Dead,
    /// No index object lists it: its writer died before it could.
    Unlisted,
    /// Much of it is needed by no snapshot; the rest moves.
    Unused,
    /// It is small; what it holds moves into a larger one.
    Small,
}

impl Reason {
    /// Why, for people to read.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Dead => "needed by no snapshot",
            Self::Unlisted => "left behind by writers that died",
            Self::Unused => "too much of them unused; the rest moves",
            Self::Small => "small ones, which become larger ones",
        }
    }

    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Unlisted => "unlisted",
            Self::Unused => "unused",
            Self::Small => "small",
        }
    }
}

/// What goes, and what that costs and brings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Packs that go.
    pub packs: BTreeMap<PackId, Reason>,
    /// Bytes of the packs that go, by reason: how many packs, their bytes.
    pub by_reason: BTreeMap<Reason, (u64, u64)>,
    /// Bytes that move to other packs.
    pub moved_bytes: u64,
    /// Blobs that move.
    pub moved_blobs: u64,
    /// Bytes of packs that stay.
    pub kept_bytes: u64,
    /// Bytes in them that nobody needs.
    pub unused_bytes: u64,
    /// More would go if one round might move more.
    pub truncated: bool,
}

impl Plan {
    /// Bytes of the packs that go.
    pub fn gone_bytes(&self) -> u64 {
        self.by_reason.values().map(|(_, bytes)| bytes).sum()
    }

    /// Bytes that the store will have less: what goes, without what moves.
    pub fn freed_bytes(&self) -> u64 {
        self.gone_bytes().saturating_sub(self.moved_bytes)
    }

    /// Adds a further round's.
    pub(super) fn add(&mut self, other: Self) {
        self.stays(&other);
        self.moved_bytes += other.moved_bytes;
        self.moved_blobs += other.moved_blobs;
        self.packs.extend(other.packs);
        for (reason, (packs, bytes)) in other.by_reason {
            let sum = self.by_reason.entry(reason).or_default();
            *sum = (sum.0 + packs, sum.1 + bytes);
        }
    }

    /// Takes over what stays by a later plan.
    pub(super) fn stays(&mut self, later: &Self) {
        (self.kept_bytes, self.unused_bytes) = (later.kept_bytes, later.unused_bytes);
        self.truncated = later.truncated;
    }

    /// Leaves out packs that were to go because nothing in them is alive, if something is.
    pub(super) fn spare(&mut self, alive: impl Iterator<Item = (PackId, u64)>) {
        for (pack, size) in alive {
            if self.packs.get(&pack) == Some(&Reason::Dead) {
                self.packs.remove(&pack);
                let (packs, bytes) = self.by_reason.entry(Reason::Dead).or_default();
                *packs = packs.saturating_sub(1);
                *bytes = bytes.saturating_sub(size);
                self.kept_bytes += size;
            }
        }
        self.by_reason.retain(|_, (packs, _)| *packs > 0);
    }

    fn take(&mut self, pack: &PackUse, reason: Reason) {
        self.packs.insert(pack.pack, reason);
        let (packs, bytes) = self.by_reason.entry(reason).or_default();
        *packs += 1;
        *bytes += pack.size;
        self.moved_bytes += pack.live_bytes;
        self.moved_blobs += pack.live_blobs;
    }

    /// Takes a pack if there is room for it in this round.
    fn try_take(&mut self, pack: &PackUse, reason: Reason, bounds: &Bounds) {
        let bytes = self.moved_bytes.saturating_add(pack.live_bytes);
        let blobs = self.moved_blobs.saturating_add(pack.live_blobs);
        if self.packs.len() >= MOST_PACKS || blobs > MOST_BLOBS {
            self.truncated = true;
        } else if bounds.move_bytes.is_none_or(|most| bytes <= most) {
            self.take(pack, reason);
        }
    }
}

/// Blobs that move in one round: the round remembers each.
const MOST_BLOBS: u64 = 1 << 20;
/// Packs in one round: its record names each.
const MOST_PACKS: usize = 200_000;
/// Packs of about the same size become one once there are so many.
const ALIKE: usize = 8;
/// What about the same size is.
const FACTOR: u64 = 4;

/// The packs that may go.
#[derive(Debug, Clone, Default)]
pub(super) struct Candidates {
    pub(super) listed: Vec<PackUse>,
    /// Those that no index object lists, with their sizes.
    pub(super) unlisted: Vec<(PackId, u64)>,
    /// Packs that are listed with another size than they have. Nobody reads them, and a repair may.
    pub(super) misfits: Vec<PackId>,
}

impl Candidates {
    /// Bytes of packs of which something is alive, and what is unused of them.
    pub(super) fn kept_and_unused(&self) -> (u64, u64) {
        let alive = self.listed.iter().filter(|pack| pack.live_bytes > 0);
        alive.fold((0, 0), |(kept, unused), pack| (kept + pack.size, unused + pack.unused()))
    }

    /// Whether something lies there that no snapshot needs.
    pub(super) fn has_garbage(&self) -> bool {
        let is_unused = |pack: &PackUse| pack.unused() > 0 || pack.live_bytes == 0;
        !self.unlisted.is_empty() || self.listed.iter().any(is_unused)
    }
}

/// Decides; `target_bytes` is the size at which a pack is full.
pub(super) fn plan(candidates: Candidates, target_bytes: u64, bounds: &Bounds) -> Plan {
    let Candidates { listed: mut packs, unlisted, .. } = candidates;
    // The same packs give the same plan.
    packs.sort_unstable_by_key(|pack| pack.pack);
    let mut plan = Plan::default();
    for (pack, size) in unlisted.iter().take(MOST_PACKS) {
        plan.packs.insert(*pack, Reason::Unlisted);
        let (packs, bytes) = plan.by_reason.entry(Reason::Unlisted).or_default();
        *packs += 1;
        *bytes += size;
    }
    let (dead, alive): (Vec<_>, Vec<_>) = packs.into_iter().partition(|it| it.live_bytes == 0);
    dead.iter().for_each(|pack| plan.try_take(pack, Reason::Dead, bounds));
    plan.kept_bytes = alive.iter().map(|pack| pack.size).sum();
    plan.unused_bytes = alive.iter().map(PackUse::unused).sum();
    take_unused(&mut plan, &alive, bounds);
    take_small(&mut plan, &alive, target_bytes, bounds);
    for pack in alive.iter().filter(|pack| plan.packs.contains_key(&pack.pack)) {
        // What is alive in it then stands in another pack, all of which is needed.
        plan.kept_bytes = plan.kept_bytes - pack.size + pack.live_bytes;
        plan.unused_bytes -= pack.unused();
    }
    plan
}

/// Takes those of which much is unused, the cheapest first: bytes moved for each byte freed.
fn take_unused(plan: &mut Plan, alive: &[PackUse], bounds: &Bounds) {
    let mut worth: Vec<&PackUse> =
        alive.iter().filter(|pack| pack.unused() > 0 && !pack.damaged).collect();
    // Compared without division.
    let cost =
        |it: &PackUse, other: &PackUse| u128::from(it.live_bytes) * u128::from(other.unused());
    worth.sort_by(|a, b| cost(a, b).cmp(&cost(b, a)));
    let (mut kept, mut unused) = (plan.kept_bytes, plan.unused_bytes);
    for pack in worth {
        if u128::from(unused) * 1000 <= u128::from(kept) * u128::from(bounds.unused_permille) {
            break;
        }
        plan.try_take(pack, Reason::Unused, bounds);
        if plan.packs.contains_key(&pack.pack) {
            kept = kept - pack.size + pack.live_bytes;
            unused -= pack.unused();
        }
    }
}

/// Takes those that are small, where enough of them are of a size.
fn take_small(plan: &mut Plan, alive: &[PackUse], target_bytes: u64, bounds: &Bounds) {
    let mut classes: BTreeMap<(BlobKind, u32), Vec<&PackUse>> = BTreeMap::new();
    for pack in alive {
        let is_small = pack.size < target_bytes / FACTOR;
        if is_small && !pack.damaged && !plan.packs.contains_key(&pack.pack) {
            let class = pack.live_bytes.max(1).ilog(FACTOR);
            classes.entry((pack.kind, class)).or_default().push(pack);
        }
    }
    for packs in classes.into_values().filter(|packs| packs.len() >= ALIKE) {
        packs.into_iter().for_each(|pack| plan.try_take(pack, Reason::Small, bounds));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: u64 = 16 << 20;

    fn pack(number: u8, stored_bytes: u64, live_bytes: u64) -> PackUse {
        PackUse {
            pack: PackId([number; 32]),
            kind: BlobKind::Data,
            size: stored_bytes + 100,
            stored_bytes,
            live_bytes,
            live_blobs: live_bytes / 10_000,
            damaged: false,
        }
    }

    fn listed(packs: &[PackUse]) -> Candidates {
        Candidates { listed: packs.to_vec(), ..Candidates::default() }
    }

    fn planned(packs: &[PackUse], bounds: &Bounds) -> Vec<(u8, Reason)> {
        let plan = plan(listed(packs), TARGET, bounds);
        plan.packs.iter().map(|(id, reason)| (id.0[0], *reason)).collect()
    }

    #[test]
    fn what_is_dead_goes_and_what_is_alive_stays() {
        let packs = [pack(1, TARGET, 0), pack(2, TARGET, TARGET), pack(3, TARGET, 0)];
        let bounds = Bounds::default();
        assert_eq!(planned(&packs, &bounds), [(1, Reason::Dead), (3, Reason::Dead)]);
        let plan = plan(
            Candidates { unlisted: vec![(PackId([9; 32]), 77)], ..listed(&packs) },
            TARGET,
            &bounds,
        );
        assert_eq!(plan.packs[&PackId([9; 32])], Reason::Unlisted);
        assert_eq!(plan.freed_bytes(), 2 * (TARGET + 100) + 77);
        assert_eq!((plan.moved_bytes, plan.unused_bytes), (0, 0));
    }

    #[test]
    fn the_cheapest_move_until_little_enough_is_unused() {
        let of = |share: u64| TARGET / 100 * share;
        let packs = [
            pack(1, TARGET, of(90)),
            pack(2, TARGET, of(10)),
            pack(3, TARGET, of(50)),
            pack(4, TARGET, of(97)),
        ];
        let with = |unused_permille| {
            let bounds = Bounds { unused_permille, ..Bounds::default() };
            planned(&packs, &bounds).into_iter().map(|(number, _)| number).collect::<Vec<_>>()
        };
        assert!(with(1000).is_empty());
        assert_eq!(with(250), [2]);
        assert_eq!(with(100), [2, 3]);
        assert_eq!(with(10), [1, 2, 3, 4]);
        let after = plan(listed(&packs), TARGET, &Bounds::default());
        assert!(after.unused_bytes * 20 <= after.kept_bytes, "{after:?}");
    }

    #[test]
    fn no_more_moves_than_may() {
        let half = |number| pack(number, TARGET, TARGET / 2);
        let packs = [half(1), half(2), half(3)];
        let bounds = Bounds { unused_permille: 0, move_bytes: Some(TARGET) };
        assert_eq!(planned(&packs, &bounds).len(), 2);
        let none = Bounds { move_bytes: Some(0), ..bounds };
        assert_eq!(planned(&packs, &none), []);
        let dead = [pack(4, TARGET, 0)];
        assert_eq!(planned(&dead, &none), [(4, Reason::Dead)]);
    }

    #[test]
    fn small_packs_become_one_once_there_are_enough_of_a_size() {
        let small = |number: u8| pack(number, 10_000 + u64::from(number), 10_000);
        let few: Vec<PackUse> = (0..7).map(small).collect();
        let bounds = Bounds { unused_permille: 1000, move_bytes: None };
        assert_eq!(planned(&few, &bounds), []);
        let enough: Vec<PackUse> = (0..8).map(small).collect();
        assert_eq!(planned(&enough, &bounds).len(), 8);
        let mut trees = enough.clone();
        trees.iter_mut().take(4).for_each(|pack| pack.kind = BlobKind::Tree);
        assert_eq!(planned(&trees, &bounds), []);
        let mut large = enough.clone();
        large.iter_mut().for_each(|pack| (pack.size, pack.live_bytes) = (TARGET, TARGET));
        assert_eq!(planned(&large, &bounds), []);
    }

    #[test]
    fn what_is_damaged_does_not_move() {
        let mut packs = [pack(1, TARGET, TARGET / 2), pack(2, TARGET, 0)];
        packs.iter_mut().for_each(|pack| pack.damaged = true);
        let bounds = Bounds { unused_permille: 0, move_bytes: None };
        assert_eq!(planned(&packs, &bounds), [(2, Reason::Dead)]);
    }

    /// A year of nights that each leave a small pack.
    #[test]
    fn merging_small_packs_ends_and_is_cheap() {
        let night = 400_000u64;
        let mut packs: Vec<PackUse> = Vec::new();
        let (mut moved, mut number) = (0, 0u16);
        let mut fresh = |bytes: u64| {
            number += 1;
            let mut id = [0; 32];
            id[..2].copy_from_slice(&number.to_be_bytes());
            PackUse { pack: PackId(id), ..pack(0, bytes, bytes) }
        };
        for _ in 0..365 {
            packs.push(fresh(night));
            let plan = plan(listed(&packs), TARGET, &Bounds::default());
            if !plan.packs.is_empty() {
                packs.retain(|pack| !plan.packs.contains_key(&pack.pack));
                packs.push(fresh(plan.moved_bytes));
                moved += plan.moved_bytes;
            }
        }
        assert!(packs.len() < 60, "{}", packs.len());
        assert!(moved <= 2 * 365 * night, "{moved}");
    }
}
