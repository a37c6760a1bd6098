//! What a repository must hold: a strict model beside it.

use std::collections::BTreeMap;

use nightjar_format::SessionId;
use nightjar_repository::snapshots::{self, SnapshotInfo};
use nightjar_repository::verify::{Level, VerifyReport, VerifyRequest, verify};
use nightjar_repository::{Progress, Repository, RepositoryError};

use crate::fixture;

/// Every snapshot that was reported, with its bytes.
#[derive(Debug, Clone, Default)]
pub struct Model {
    snapshots: BTreeMap<SessionId, Vec<u8>>,
}

impl Model {
    /// Takes note of a snapshot that was reported.
    pub fn insert(&mut self, info: &SnapshotInfo, bytes: &[u8]) {
        self.snapshots.insert(info.id, bytes.to_vec());
    }

    /// Takes note of a snapshot that was forgotten.
    pub fn remove(&mut self, id: SessionId) {
        self.snapshots.remove(&id);
    }

    /// The snapshots, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (SessionId, &[u8])> {
        self.snapshots.iter().map(|(id, bytes)| (*id, bytes.as_slice()))
    }

    /// Panics unless the repository is sound and holds these snapshots, bit for bit, and no
    /// others but, perhaps, `unreported`: a run that was cut off may have got as far as that.
    /// Returns whether it did.
    pub fn check(&self, repository: &Repository, unreported: Option<&[u8]>, when: &str) -> bool {
        let report = verify_all(repository).unwrap();
        assert!(report.findings.is_empty(), "{when}: {:#?}", report.findings);
        let list = snapshots::list(repository).unwrap();
        assert!(list.findings.is_empty(), "{when}: {:?}", list.findings);
        let mut missing = self.snapshots.clone();
        let mut others = 0;
        for info in &list.snapshots {
            let known = missing.remove(&info.id);
            others += usize::from(known.is_none());
            let expected = known.as_deref().or(unreported);
            let expected = expected.unwrap_or_else(|| unexpected(when, info));
            let restored = fixture::restore(repository, info).unwrap();
            assert!(restored == expected, "{when}: snapshot {} restores other bytes", info.id);
        }
        assert!(missing.is_empty(), "{when}: lost {:?}", missing.keys());
        assert!(others <= 1, "{when}: {others} snapshots that nobody reported");
        others == 1
    }
}

#[expect(clippy::panic, reason = "that is what the test asserts")]
fn unexpected(when: &str, info: &SnapshotInfo) -> ! {
    panic!("{when}: snapshot {} was never made", info.id)
}

/// Verifies everything at the level data.
pub fn verify_all(repository: &Repository) -> Result<VerifyReport, RepositoryError> {
    let ids = snapshots::list(repository)?.snapshots.iter().map(|info| info.id).collect();
    let request = VerifyRequest {
        level: Level::Data,
        snapshots: ids,
        whole_repository: true,
        ..VerifyRequest::default()
    };
    verify(repository, &request, &Progress::default())
}
