//! The previous snapshot of the series, walked beside the run: `tree` tells the feeder what entry
//! stood under each name, `stream` tells the planner what chunks stood where in a file.
//!
//! Nothing here decides what is stored, only what is tried and what need not be read: whatever
//! cannot be read of the previous snapshot is taken for absent.

mod stream;
mod tree;

pub(crate) use stream::PreviousStream;
pub(crate) use tree::PreviousTree;
