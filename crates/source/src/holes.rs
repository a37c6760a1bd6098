//! Which holes of a file are noted, where it has too many.

/// Holes noted of one file, at most (format-spec, chapter 6).
pub(crate) const MOST_HOLES: usize = 4096;

/// The longest holes, as many as are noted; the first of those that are equally long.
pub(crate) struct Longest {
    shortest: u64,
    /// How many of just that length.
    ties: usize,
}

impl Longest {
    pub(crate) fn of(lengths: impl Iterator<Item = u64>) -> Self {
        let mut lengths: Vec<u64> = lengths.collect();
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.truncate(MOST_HOLES);
        let shortest = lengths.last().copied().unwrap_or(0);
        let ties = lengths.iter().rev().take_while(|length| **length == shortest).count();
        Self { shortest, ties }
    }

    /// Whether the next hole is among them. Asked once for each, in their order.
    pub(crate) fn keeps(&mut self, length: u64) -> bool {
        if length == self.shortest && self.ties > 0 {
            self.ties -= 1;
            return true;
        }
        length > self.shortest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(lengths: &[u64]) -> Vec<u64> {
        let mut longest = Longest::of(lengths.iter().copied());
        lengths.iter().copied().filter(|length| longest.keeps(*length)).collect()
    }

    #[test]
    fn the_longest_are_kept_however_many_are_equal() {
        assert_eq!(kept(&[3, 1, 2]), [3, 1, 2]);
        assert_eq!(kept(&[7; 5000]), [7; MOST_HOLES]);
        let mixed: Vec<u64> = (0..5000).map(|at| if at % 2 == 0 { 9 } else { 4 }).collect();
        let found = kept(&mixed);
        assert_eq!(found.len(), MOST_HOLES);
        assert_eq!(found.iter().filter(|length| **length == 9).count(), 2500);
        assert_eq!(kept(&[]), [0u64; 0]);
    }
}
