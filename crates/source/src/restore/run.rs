//! What all parts of one restore share.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::restore::owners::Owners;
use crate::restore::tally::Tally;
use crate::restore::temporary::TemporaryNames;
use crate::restore::{Overwrite, RestoreRequest};

/// One restore: who does it, how, and what came of it.
pub(crate) struct Run {
    pub(crate) overwrite: Overwrite,
    pub(crate) delete: bool,
    /// The user that makes files.
    pub(crate) user: u32,
    pub(crate) owners: Owners,
    pub(crate) names: TemporaryNames,
    pub(crate) tally: Tally,
    /// Directories that are open, each with a file descriptor.
    pub(crate) open_directories: AtomicUsize,
}

impl Run {
    pub(crate) fn new(request: &RestoreRequest<'_>) -> Arc<Self> {
        Arc::new(Self {
            overwrite: request.overwrite,
            delete: request.delete,
            user: rustix::process::geteuid().as_raw(),
            owners: Owners::new(request.numeric_ids),
            names: TemporaryNames::new(),
            tally: Tally::default(),
            open_directories: AtomicUsize::new(0),
        })
    }
}
