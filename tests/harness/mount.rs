//! File systems in memory, mounted for a test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system at a place. Taken away when it is dropped, even from a program that uses it.
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// A new one, with these options of tmpfs(5).
    pub(crate) fn new(at: &Path, options: &str) -> Self {
        mount(&["-t", "tmpfs", "-o", options, "tmpfs"], at)
    }

    /// The same file system at another place, as where a disk is plugged in.
    pub(crate) fn plug_in(&self, at: &Path) -> Self {
        mount(&["--bind", self.0.to_str().unwrap()], at)
    }

    /// Lets it be written to, or not, at this place.
    pub(crate) fn remount(&self, option: &str) {
        run(Command::new("mount").args(["-o", &format!("remount,bind,{option}")]).arg(&self.0));
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}

fn mount(words: &[&str], at: &Path) -> Mount {
    fs::create_dir_all(at).unwrap();
    run(Command::new("mount").args(words).arg(at));
    Mount(at.to_owned())
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
}
