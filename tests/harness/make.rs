//! Making what is to be stored: a tree with everything in it, and the times of paths.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, mknodat, utimensat};

use super::data::{dump, noise};

/// Makes a directory with every kind of entry that any user can make.
pub(crate) fn make_everything(root: &Path) {
    let at = |name: &[u8]| root.join(OsStr::from_bytes(name));
    for directory in ["", "etc", "etc/deep/deeper", "empty", "closed"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    let files: [(&[u8], Vec<u8>, u32); 9] = [
        (b"etc/service.conf", b"port = 5432\n".to_vec(), 0o640),
        (b"etc/deep/deeper/big.sql", dump(3, 20_000), 0o644),
        (b"etc/deep/noise", noise(4, 300_000), 0o600),
        (b"run-me", b"#!/bin/sh\nexit 0\n".to_vec(), 0o4755),
        (b"nothing", vec![], 0o644),
        (b"read-only", b"look, do not touch".to_vec(), 0o400),
        (b"name with\nnewline \xf0\x9f\x90\xa6", b"bird".to_vec(), 0o644),
        (b"not utf-8 \xff\xfe", b"bytes".to_vec(), 0o644),
        (b"closed/inside", b"in a directory that cannot be written to".to_vec(), 0o644),
    ];
    for (name, content, mode) in &files {
        fs::write(at(name), content).unwrap();
        fs::set_permissions(at(name), Permissions::from_mode(*mode)).unwrap();
    }
    symlink("etc/service.conf", at(b"link")).unwrap();
    symlink("/nowhere/at all", at(b"dangling")).unwrap();
    symlink(OsStr::from_bytes(b"not utf-8 \xff\xfe"), at(b"link to \xff")).unwrap();
    symlink("etc", at(b"link to directory")).unwrap();
    mknodat(CWD, at(b"fifo"), FileType::Fifo, Mode::from_raw_mode(0o620), 0).unwrap();
    fs::set_permissions(at(b"fifo"), Permissions::from_mode(0o620)).unwrap();
    fs::set_permissions(at(b"empty"), Permissions::from_mode(0o1777)).unwrap();
    fs::set_permissions(at(b"closed"), Permissions::from_mode(0o500)).unwrap();
    set_time(&at(b"etc/service.conf"), 981_173_106, 123_456_789);
    set_time(&at(b"nothing"), -86_400, 5);
    set_time(&at(b"link"), 1_234_567_890, 1);
    set_time(&at(b"empty"), 4_000_000_000, 999_999_999);
    set_time(&at(b"etc/deep"), 1_111_111_111, 0);
    set_time(root, 1_600_000_000, 42);
}

/// Makes a directory with so many files of 100 kB in it.
pub(crate) fn make_many_files(root: &Path, files: u64) {
    for number in 0..files {
        let directory = root.join(format!("{:02}", number / 50));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(format!("{number:04}")), noise(number, 100_000)).unwrap();
    }
}

/// Sets the time of a path; of the link itself, where it is one.
pub(crate) fn set_time(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}
