//! Which objects and bundles are to be copied together.

use nightjar_format::object::ObjectName;

/// An object or a bundle that may be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) name: ObjectName,
    pub(super) bytes: u64,
}

/// A bundle does not grow beyond this: a reader holds one or two in memory.
const MOST_BYTES: u64 = 64 << 20;
/// So many bundles of like size become one. An object is copied at most once for every factor of
/// this between its own size and [`MOST_BYTES`].
const FAN_IN: u64 = 4;

/// Groups bundles of like size, where there are enough of them.
pub(super) fn merge(mut bundles: Vec<Piece>) -> Vec<Vec<Piece>> {
    bundles.sort_by_key(|piece| piece.bytes);
    let alike = bundles.chunk_by(|a, b| class(a.bytes) == class(b.bytes));
    let enough = alike.filter(|alike| alike.len() as u64 >= FAN_IN);
    enough.flat_map(|alike| fill(alike.to_vec())).collect()
}

fn class(bytes: u64) -> u32 {
    bytes.max(1).ilog(FAN_IN)
}

/// Cuts pieces into groups that fit into a bundle each; what would be alone is left out.
pub(super) fn fill(pieces: Vec<Piece>) -> Vec<Vec<Piece>> {
    let mut groups: Vec<(u64, Vec<Piece>)> = Vec::new();
    for piece in pieces {
        match groups.last_mut() {
            Some((bytes, group)) if bytes.saturating_add(piece.bytes) <= MOST_BYTES => {
                *bytes += piece.bytes;
                group.push(piece);
            }
            _ => groups.push((piece.bytes, vec![piece])),
        }
    }
    groups.into_iter().map(|(_, group)| group).filter(|group| group.len() > 1).collect()
}

#[cfg(test)]
mod tests {
    use nightjar_format::BundleId;
    use nightjar_format::bundle::BundleKind;

    use super::super::FEW;
    use super::*;

    fn pieces(sizes: &[u64]) -> Vec<Piece> {
        let piece = |(number, bytes): (usize, &u64)| {
            let id = BundleId((number as u128).to_le_bytes());
            Piece { name: ObjectName::Bundle(BundleKind::Index, id), bytes: *bytes }
        };
        sizes.iter().enumerate().map(piece).collect()
    }

    fn sizes(groups: Vec<Vec<Piece>>) -> Vec<Vec<u64>> {
        let of_group = |group: Vec<Piece>| group.iter().map(|piece| piece.bytes).collect();
        groups.into_iter().map(of_group).collect()
    }

    #[test]
    fn bundles_of_like_size_become_one_once_there_are_enough() {
        assert!(merge(pieces(&[1030, 1031, 1032])).is_empty());
        assert!(merge(pieces(&[300, 1030, 5000, 20_000])).is_empty());
        let groups = merge(pieces(&[900_000, 700, 1000, 600, 800, 900_001]));
        assert_eq!(sizes(groups), [[600, 700, 800, 1000]]);
    }

    #[test]
    fn no_bundle_is_larger_than_a_reader_may_hold() {
        let groups = merge(pieces(&[30 << 20; 5]));
        assert_eq!(sizes(groups), [[30 << 20; 2], [30 << 20; 2]]);
        assert!(merge(pieces(&[60 << 20; 9])).is_empty());
    }

    /// Ten thousand runs: what is left to be read one by one stays small, and so does the work.
    #[test]
    fn what_a_cold_start_reads_grows_with_the_logarithm_of_the_runs() {
        let (mut loose, mut bundles) = (Vec::new(), Vec::new());
        let (mut most, mut copied, mut written) = (0, 0, 0);
        for run in 0..10_000 {
            let bytes = 4000 + run * 7919 % 3000;
            written += bytes;
            loose.push(bytes);
            for group in sizes(merge(pieces(&bundles))) {
                for size in &group {
                    let at = bundles.iter().position(|bundle| bundle == size).unwrap();
                    bundles.remove(at);
                }
                bundles.push(group.iter().sum());
                copied += group.iter().sum::<u64>();
            }
            if loose.len() >= FEW {
                copied += loose.iter().sum::<u64>();
                bundles.push(loose.drain(..).sum());
            }
            most = most.max(loose.len() + bundles.len());
        }
        assert!(most <= 32, "{most} requests");
        assert!(copied < 8 * written, "{copied} bytes copied for {written}");
    }
}
