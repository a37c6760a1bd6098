//! Small sets of small numbers: blobs, packs or sessions.

use std::fmt;

/// Up to eight numbers, each below eight.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Set(u8);

impl Set {
    /// Nothing.
    pub const EMPTY: Set = Set(0);

    /// These numbers.
    pub const fn of(members: &[usize]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < members.len() {
            bits |= 1 << members[i];
            i += 1;
        }
        Self(bits)
    }

    /// One number.
    pub const fn one(member: usize) -> Self {
        Self(1 << member)
    }

    /// The numbers below `count`.
    pub fn below(count: usize) -> Self {
        (0..count).collect()
    }

    /// The set with this number among all sets, and that number.
    pub(crate) fn number(self) -> u32 {
        u32::from(self.0)
    }

    /// The inverse of [`Self::number`].
    pub(crate) fn numbered(number: u32) -> Self {
        Self(number.to_le_bytes()[0])
    }

    /// Whether it is a member.
    pub fn has(self, member: usize) -> bool {
        self.0 & (1 << member) != 0
    }

    /// Whether there is no member.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members of either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The members of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The members that the other lacks.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all members of the other are here.
    pub fn covers(self, other: Self) -> bool {
        other.without(self).is_empty()
    }

    /// Whether the two share a member.
    pub fn meets(self, other: Self) -> bool {
        !self.and(other).is_empty()
    }

    /// The members, ascending.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..8).filter(move |member| self.has(*member))
    }

    /// All subsets, the empty one and the set itself among them.
    pub fn subsets(self) -> impl Iterator<Item = Self> {
        (0..=self.0).map(Self).filter(move |subset| self.covers(*subset))
    }
}

impl FromIterator<usize> for Set {
    fn from_iter<I: IntoIterator<Item = usize>>(members: I) -> Self {
        members.into_iter().fold(Self::EMPTY, |set, member| set.or(Self::one(member)))
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
