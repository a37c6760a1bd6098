//! An entry of a snapshot's tree on a line of its own.

use nightjar_format::manifest::{Attribute, Entry, EntryKind};

use crate::output::entries::{file_size, hole_bytes};
use crate::output::format::{self, local_time, nanos, size};

/// Its path, and if `long` what `ls -l` tells of it.
pub(super) fn line(path: &[u8], entry: &Entry, long: bool) -> String {
    let path = format::path(path);
    let path = match &entry.kind {
        EntryKind::Directory { .. } => format!("{path}/"),
        EntryKind::Symlink { target } if long => format!("{path} -> {}", format::path(target)),
        _ => path,
    };
    if !long {
        return path;
    }
    format!(
        "{}{}{}  {:<8} {:<8} {:>10}  {}  {path}{}",
        kind_letter(entry),
        permissions(entry.mode),
        attributes_mark(&entry.attributes),
        owner(&entry.user, entry.uid),
        owner(&entry.group, entry.gid),
        extent(entry),
        local_time(nanos(&entry.modified)),
        notes(entry),
    )
}

fn owner(name: &[u8], number: u32) -> String {
    if name.is_empty() { number.to_string() } else { format::path(name) }
}

/// A file's size, a device's numbers.
fn extent(entry: &Entry) -> String {
    match entry.kind {
        EntryKind::CharacterDevice { major, minor } | EntryKind::BlockDevice { major, minor } => {
            format!("{major},{minor}")
        }
        _ => file_size(entry).map(size).unwrap_or_default(),
    }
}

/// What has no column, in brackets.
fn notes(entry: &Entry) -> String {
    let mut notes = Vec::new();
    if let Some(number) = entry.hard_link {
        notes.push(format!("hard link {number}"));
    }
    match hole_bytes(&entry.kind) {
        0 => {}
        bytes => notes.push(format!("{} in holes", size(bytes))),
    }
    if matches!(&entry.kind, EntryKind::File(file) if file.changed_while_read) {
        notes.push("changed while it was read".to_owned());
    }
    if notes.is_empty() { String::new() } else { format!("  ({})", notes.join(", ")) }
}

fn kind_letter(entry: &Entry) -> char {
    match entry.kind {
        EntryKind::File(_) => '-',
        EntryKind::Directory { .. } => 'd',
        EntryKind::Symlink { .. } => 'l',
        EntryKind::Fifo => 'p',
        EntryKind::Socket => 's',
        EntryKind::CharacterDevice { .. } => 'c',
        EntryKind::BlockDevice { .. } => 'b',
    }
}

/// `rwxr-xr-x`, with the letters of `ls` for setuid, setgid and sticky.
fn permissions(mode: u32) -> String {
    let triple = |shift: u32, special: u32, letter: char| {
        let bits = mode >> shift;
        let run = match (bits & 1 != 0, mode & special != 0) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        };
        let read = if bits & 4 != 0 { 'r' } else { '-' };
        let write = if bits & 2 != 0 { 'w' } else { '-' };
        [read, write, run]
    };
    [triple(6, 0o4000, 's'), triple(3, 0o2000, 's'), triple(0, 0o1000, 't')]
        .iter()
        .flatten()
        .collect()
}

/// `+` where an access control list says more than the permissions, `@` for other attributes.
fn attributes_mark(attributes: &[Attribute]) -> char {
    let is_list = |attribute: &Attribute| {
        attribute.name.starts_with(b"system.posix_acl_") || attribute.name == b"system.nfs4_acl"
    };
    match attributes {
        [] => ' ',
        attributes if attributes.iter().any(is_list) => '+',
        _ => '@',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::entries::tests::{rich_entry, sparse_file};

    #[test]
    fn permissions_read_as_in_ls() {
        for (mode, text) in [
            (0o644, "rw-r--r--"),
            (0o4755, "rwsr-xr-x"),
            (0o2640, "rw-r-S---"),
            (0o1777, "rwxrwxrwt"),
            (0o1000, "--------T"),
        ] {
            assert_eq!(permissions(mode), text);
        }
    }

    #[test]
    fn a_long_line_shows_everything_that_an_entry_has() {
        let text = line(b"a/name", &rich_entry(sparse_file()), true);
        assert!(text.starts_with("-rwsr-xr-x@  www-data gr\u{fffd} "), "{text}");
        let end = "  a/name  (hard link 12, 4.9 KiB in holes, changed while it was read)";
        assert!(text.ends_with(end), "{text}");
        assert!(text.contains("   4.9 KiB  2001-02-03 "), "{text}");
    }

    #[test]
    fn a_long_line_shows_targets_and_device_numbers() {
        let link = EntryKind::Symlink { target: b"else\nwhere".to_vec() };
        let text = line(b"a", &rich_entry(link.clone()), true);
        assert!(text.starts_with('l') && text.contains("  a -> else\\nwhere"), "{text}");
        assert_eq!(line(b"a", &rich_entry(link), false), "a");
        let device = EntryKind::BlockDevice { major: 8, minor: 17 };
        let text = line(b"a", &rich_entry(device), true);
        assert!(text.starts_with('b') && text.contains("      8,17  "), "{text}");
    }

    #[test]
    fn an_access_control_list_has_a_mark_of_its_own() {
        let named = |names: &[&[u8]]| -> Vec<Attribute> {
            names.iter().map(|&name| Attribute { name: name.into(), value: vec![] }).collect()
        };
        assert_eq!(attributes_mark(&[]), ' ');
        assert_eq!(attributes_mark(&named(&[b"user.a"])), '@');
        assert_eq!(attributes_mark(&named(&[b"system.posix_acl_access", b"user.a"])), '+');
    }
}
