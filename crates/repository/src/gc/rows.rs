//! Sets of stored blobs, one bit for each row of each pack's table.
//!
//! A hundred million rows take 12.5 MB, wherever they lie: this is what keeps marking in bounded
//! memory.

use std::sync::Arc;

/// Where the rows of each pack begin among the rows of all packs, by ordinal.
#[derive(Debug, Clone, Default)]
pub(super) struct RowLayout {
    /// One more than there are packs: the last is the number of rows.
    first: Arc<Vec<u64>>,
}

impl RowLayout {
    /// Of packs with so many rows each, by ordinal.
    pub(super) fn new(rows: impl Iterator<Item = u64>) -> Self {
        let mut first = vec![0];
        let mut total = 0u64;
        for rows in rows {
            total = total.saturating_add(rows);
            first.push(total);
        }
        Self { first: Arc::new(first) }
    }

    fn bit(&self, pack: u32, row: u32) -> Option<usize> {
        let pack = pack as usize;
        let bit = self.first.get(pack)?.checked_add(u64::from(row))?;
        let within = bit < *self.first.get(pack + 1)?;
        usize::try_from(bit).ok().filter(|_| within)
    }
}

/// A set of rows.
#[derive(Debug, Clone)]
pub(super) struct RowSet {
    layout: RowLayout,
    words: Vec<u64>,
}

impl RowSet {
    /// An empty one.
    pub(super) fn new(layout: &RowLayout) -> Self {
        let rows = layout.first.last().copied().unwrap_or_default();
        let words = usize::try_from(rows.div_ceil(64)).unwrap_or(usize::MAX);
        Self { layout: layout.clone(), words: vec![0; words] }
    }

    /// Whether it has this row.
    pub(super) fn contains(&self, pack: u32, row: u32) -> bool {
        let bit = self.layout.bit(pack, row);
        bit.is_some_and(|bit| self.words.get(bit / 64).is_some_and(|it| it & 1 << (bit % 64) != 0))
    }

    /// An empty one of the same packs.
    pub(super) fn like(&self) -> Self {
        Self { layout: self.layout.clone(), words: vec![0; self.words.len()] }
    }

    /// Adds a row; false if it was there, or if the pack has no such row.
    pub(super) fn insert(&mut self, pack: u32, row: u32) -> bool {
        let Some(bit) = self.layout.bit(pack, row) else { return false };
        let Some(word) = self.words.get_mut(bit / 64) else { return false };
        let mask = 1 << (bit % 64);
        let is_new = *word & mask == 0;
        *word |= mask;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_of_each_pack_has_its_own_bit() {
        let layout = RowLayout::new([3, 0, 130].into_iter());
        let mut rows = RowSet::new(&layout);
        for (pack, row) in [(0, 0), (0, 2), (2, 0), (2, 63), (2, 129)] {
            assert!(!rows.contains(pack, row));
            assert!(rows.insert(pack, row));
            assert!(!rows.insert(pack, row));
            assert!(rows.contains(pack, row) && !rows.like().contains(pack, row));
        }
        let rest = (0..4).flat_map(|pack| (0..200).map(move |row| (pack, row)));
        assert_eq!(rest.filter(|(pack, row)| rows.insert(*pack, *row)).count(), 133 - 5);
    }

    #[test]
    fn rows_that_no_pack_has_are_in_no_set() {
        let mut rows = RowSet::new(&RowLayout::new([3, 5].into_iter()));
        for (pack, row) in [(0, 3), (1, 5), (2, 0), (u32::MAX, u32::MAX)] {
            assert!(!rows.insert(pack, row) && !rows.contains(pack, row));
        }
    }
}
