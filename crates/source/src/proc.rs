//! Paths of open descriptors, for calls that take no descriptor.

use std::os::fd::{AsFd, AsRawFd};

/// Where the system keeps them, if it does.
pub(crate) const DESCRIPTORS: &str = "/proc/self/fd";

/// The path of an open descriptor.
pub(crate) fn path_of(fd: impl AsFd) -> String {
    format!("{DESCRIPTORS}/{}", fd.as_fd().as_raw_fd())
}
