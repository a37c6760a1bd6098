//! Owners by name, and extended attributes.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nightjar_format::manifest::Attribute;
use nix::unistd::{Gid, Group, Uid, User};
use rustix::fs::{fgetxattr, flistxattr, lgetxattr, llistxattr};
use rustix::io::{Errno, Result};

use crate::proc;
use crate::tree::place::{Place, Reached};

/// The largest list of attribute names, and the largest value, that Linux gives, in bytes.
const LARGEST: usize = 64 << 10;
/// What the attributes of one entry may take together, in bytes (format-spec, chapter 6).
pub(crate) const MOST_ATTRIBUTE_BYTES: usize = 512 << 10;

/// Names of users and groups, each looked up once.
#[derive(Default)]
pub(crate) struct Owners {
    users: HashMap<u32, Vec<u8>>,
    groups: HashMap<u32, Vec<u8>>,
}

impl Owners {
    /// The user's name; empty if there is none.
    pub(crate) fn user(&mut self, uid: u32) -> Vec<u8> {
        let look_up = || User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name);
        let name = self.users.entry(uid).or_insert_with(|| look_up().unwrap_or_default().into());
        name.clone()
    }

    /// The group's name; empty if there is none.
    pub(crate) fn group(&mut self, gid: u32) -> Vec<u8> {
        let look_up = || Group::from_gid(Gid::from_raw(gid)).ok().flatten().map(|group| group.name);
        let name = self.groups.entry(gid).or_insert_with(|| look_up().unwrap_or_default().into());
        name.clone()
    }
}

/// Reads extended attributes.
pub(crate) struct AttributeReader {
    names: Vec<u8>,
    value: Vec<u8>,
    /// Whether what stands in an open directory is reached through it.
    through_descriptors: bool,
}

/// Attributes sorted by name, and the names of those that could not be taken.
pub(crate) type Attributes = (Vec<Attribute>, Vec<String>);

impl AttributeReader {
    pub(crate) fn new() -> Self {
        let through_descriptors = Path::new(proc::DESCRIPTORS).exists();
        Self { names: vec![0; LARGEST], value: vec![0; LARGEST], through_descriptors }
    }

    /// Of what is open.
    pub(crate) fn of(&mut self, file: impl AsFd) -> Result<Attributes> {
        let list = |names: &mut [u8]| flistxattr(&file, names);
        let get = |name: &CStr, value: &mut [u8]| fgetxattr(&file, name, value);
        self.read(list, get)
    }

    /// Of what stands at a place; of the link itself, where it is one.
    pub(crate) fn at(&mut self, place: &Place<'_>) -> Result<Attributes> {
        let path = match place.reached {
            // A path from the top may be too long, or lead elsewhere by now.
            Reached::In(directory) if self.through_descriptors => {
                Path::new(&proc::path_of(directory)).join(OsStr::from_bytes(&place.name))
            }
            _ => place.path.clone(),
        };
        let list = |names: &mut [u8]| llistxattr(&path, names);
        let get = |name: &CStr, value: &mut [u8]| lgetxattr(&path, name, value);
        self.read(list, get)
    }

    fn read(
        &mut self,
        list: impl FnOnce(&mut [u8]) -> Result<usize>,
        get: impl Fn(&CStr, &mut [u8]) -> Result<usize>,
    ) -> Result<Attributes> {
        let listed = match list(&mut self.names) {
            // A file system without attributes.
            Err(Errno::NOTSUP) => 0,
            outcome => outcome?,
        };
        let (mut attributes, mut refused) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        for name in self.names.get(..listed).unwrap_or_default().split_inclusive(|it| *it == 0) {
            let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
            match get(name, &mut self.value) {
                Ok(length) if bytes + name.count_bytes() + length <= MOST_ATTRIBUTE_BYTES => {
                    bytes += name.count_bytes() + length;
                    let value = self.value.get(..length).unwrap_or_default().to_vec();
                    attributes.push(Attribute { name: name.to_bytes().to_vec(), value });
                }
                // It went meanwhile.
                Err(Errno::NODATA) => {}
                _ => refused.push(name.to_string_lossy().into_owned()),
            }
        }
        attributes.sort_by(|a, b| a.name.cmp(&b.name));
        attributes.dedup_by(|a, b| a.name == b.name);
        Ok((attributes, refused))
    }
}
