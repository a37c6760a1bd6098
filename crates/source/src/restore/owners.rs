//! Whose a restored entry is: by name where this machine knows the name, else by number.
//!
//! Root is never mapped, in neither direction: what was root's stays root's, and nothing becomes
//! root's for the sake of a name.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use nightjar_format::manifest::Entry;
use nix::unistd::{Group, User};

/// Names that are remembered; a snapshot may hold any number.
const REMEMBERED: usize = 4096;

type Known = Mutex<HashMap<Vec<u8>, Option<u32>>>;

/// Looks names up, each once.
pub(crate) struct Owners {
    numeric: bool,
    users: Known,
    groups: Known,
}

impl Owners {
    /// `numeric`: take the numbers.
    pub(crate) fn new(numeric: bool) -> Self {
        Self { numeric, users: Known::default(), groups: Known::default() }
    }

    /// The user and the group that an entry belongs to here.
    pub(crate) fn of(&self, entry: &Entry) -> (u32, u32) {
        if self.numeric {
            return (entry.uid, entry.gid);
        }
        let user = |name: &str| User::from_name(name).ok()?.map(|user| user.uid.as_raw());
        let group = |name: &str| Group::from_name(name).ok()?.map(|group| group.gid.as_raw());
        (
            local(&self.users, &entry.user, entry.uid, user),
            local(&self.groups, &entry.group, entry.gid, group),
        )
    }
}

fn local(known: &Known, name: &[u8], number: u32, look_up: impl Fn(&str) -> Option<u32>) -> u32 {
    if number == 0 || name.is_empty() {
        return number;
    }
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = known.get(name) {
        return found.unwrap_or(number);
    }
    let found = std::str::from_utf8(name).ok().and_then(look_up).filter(|found| *found != 0);
    if known.len() >= REMEMBERED {
        known.clear();
    }
    known.insert(name.to_vec(), found);
    found.unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_known_here_counts_and_root_stays_root() {
        let known = Known::default();
        let look_up = |name: &str| match name {
            "anna" => Some(1007),
            "root" => Some(0),
            _ => None,
        };
        let local = |name: &str, number| local(&known, name.as_bytes(), number, look_up);
        assert_eq!(local("anna", 1000), 1007);
        assert_eq!(local("anna", 1000), 1007);
        assert_eq!(local("otto", 1000), 1000);
        assert_eq!(local("", 1000), 1000);
        assert_eq!(local("anna", 0), 0);
        assert_eq!(local("root", 1000), 1000);
    }
}
