//! The paths that were given, as a tree.
//!
//! A path stands in the snapshot as it was given: `/srv/data` as `srv/data`, `data` as `data`,
//! `.` as what lies in it. The directories that lead to it are stored as well, with nothing in
//! them but what was asked for.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::error::SourceError;

/// A name on the way to paths that were given.
#[derive(Debug, Default)]
pub(crate) struct Root {
    /// Where it stands in the file system.
    pub(crate) path: PathBuf,
    /// It was given itself: all of it is stored.
    pub(crate) given: Option<Given>,
    /// Names below it that were given, or lead to such.
    pub(crate) below: BTreeMap<Vec<u8>, Root>,
}

/// How a path was given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given {
    /// On the command line: it must be there. In a list, what has gone is only counted.
    pub(crate) must_exist: bool,
    /// With a slash at its end: a link is followed.
    pub(crate) follow: bool,
    /// On the command line, and a mount point when the run began.
    pub(crate) mounted: bool,
}

impl Root {
    /// Adds a path.
    pub(crate) fn add(&mut self, path: &Path, must_exist: bool) -> Result<(), SourceError> {
        let refuse = |why: String| SourceError::Path { path: path.to_path_buf(), why };
        let bytes = path.as_os_str().as_bytes();
        if bytes.is_empty() {
            return Err(refuse("an empty path names nothing".into()));
        }
        let mut node = self;
        let mut reached = PathBuf::new();
        for component in path.components() {
            reached.push(component);
            match component {
                Component::Normal(name) => {
                    node = node.below.entry(name.as_bytes().to_vec()).or_default();
                    node.stands_at(&reached)?;
                }
                Component::ParentDir => {
                    let full = fs::canonicalize(path).unwrap_or_else(|_| "/…".into());
                    let why = "a path with `..` has no place in the snapshot";
                    return Err(refuse(format!("{why}; give it as {}", full.display())));
                }
                Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            }
        }
        node.stands_at(&reached)?;
        let follow = bytes.ends_with(b"/") || bytes.ends_with(b"/.") || bytes == b".";
        let mounted = must_exist && is_mount_point(path);
        node.given = Some(Given { must_exist, follow, mounted });
        Ok(())
    }

    fn stands_at(&mut self, path: &Path) -> Result<(), SourceError> {
        if self.path.as_os_str().is_empty() {
            self.path = path.to_path_buf();
        }
        if same_place(&self.path, path) {
            return Ok(());
        }
        let why = format!("it would stand in the snapshot where {} stands", self.path.display());
        Err(SourceError::Path { path: path.to_path_buf(), why })
    }

    /// Whether it was given on the command line.
    pub(crate) fn must_exist(&self) -> bool {
        self.given.is_some_and(|given| given.must_exist)
    }

    /// The paths that were given at or below this one.
    pub(crate) fn all_given(&self) -> Vec<(&Path, Given)> {
        let mut found: Vec<_> =
            self.given.iter().map(|given| (self.path.as_path(), *given)).collect();
        found.extend(self.below.values().flat_map(Self::all_given));
        found
    }

    /// Drops what lies below paths that were given themselves: it comes with them.
    pub(crate) fn settle(&mut self) -> Result<(), SourceError> {
        for (name, below) in &mut self.below {
            if self.given.is_some() {
                below.stands_at(&self.path.join(OsStr::from_bytes(name)))?;
                below.given = self.given;
            }
            below.settle()?;
        }
        if self.given.is_some() {
            self.below.clear();
        }
        Ok(())
    }
}

/// Whether another file system begins there.
pub(crate) fn is_mount_point(path: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|it| it.dev()).ok();
    let devices = device(path).zip(device(&path.join("..")));
    devices.is_some_and(|(here, above)| here != above)
}

fn same_place(a: &Path, b: &Path) -> bool {
    let plain = |path: &Path| -> PathBuf {
        path.components().filter(|it| *it != Component::CurDir).collect()
    };
    plain(a) == plain(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(paths: &[&str]) -> Result<Root, SourceError> {
        let mut root = Root::default();
        paths.iter().try_for_each(|path| root.add(Path::new(path), true))?;
        root.settle()?;
        Ok(root)
    }

    fn places(root: &Root, above: &str) -> Vec<String> {
        let mut found: Vec<String> = root.given.iter().map(|_| above.to_owned()).collect();
        for (name, below) in &root.below {
            let name = String::from_utf8_lossy(name);
            found.extend(places(below, &format!("{above}/{name}")));
        }
        found
    }

    #[test]
    fn a_path_stands_as_it_was_given() {
        let root = add(&["/srv/data", "logs/", "./etc//x"]).unwrap();
        assert_eq!(places(&root, ""), ["/etc/x", "/logs", "/srv/data"]);
        assert_eq!(places(&add(&["."]).unwrap(), ""), [""]);
        assert_eq!(places(&add(&["/"]).unwrap(), ""), [""]);
    }

    #[test]
    fn the_same_path_may_be_given_twice() {
        assert_eq!(places(&add(&["a/b", "./a/b", "a//b/"]).unwrap(), ""), ["/a/b"]);
    }

    #[test]
    fn two_paths_do_not_stand_in_one_place() {
        assert!(add(&["/data", "data"]).is_err());
        assert!(add(&["data/x", "/data/y"]).is_err());
        assert!(add(&[".", "/"]).is_err());
        assert!(add(&[".", "/srv"]).is_err());
        assert!(add(&["/srv", "."]).is_err());
    }

    #[test]
    fn what_lies_below_a_given_path_comes_with_it() {
        assert_eq!(places(&add(&["/srv/data/x", "/srv", "etc"]).unwrap(), ""), ["/etc", "/srv"]);
        assert_eq!(places(&add(&["./x", "."]).unwrap(), ""), [""]);
    }

    #[test]
    fn a_path_that_leads_upwards_is_refused() {
        let error = add(&["../x"]).unwrap_err();
        assert!(error.to_string().contains("`..`"), "{error}");
    }
}
