//! The files that the rules read.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// A text file of the checkout.
#[derive(Debug, Clone)]
pub struct File {
    /// Relative to the root of the checkout, with `/`.
    pub path: String,
    /// Its content.
    pub text: String,
}

impl File {
    /// A file of this path and content.
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// What follows `//!` in the lines that the file begins with, joined by spaces.
    pub fn header(&self) -> String {
        let lines = self.text.lines().map_while(|line| line.strip_prefix("//!"));
        lines.map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned()
    }
}

/// The root of the checkout, as a test of this crate sees it: cargo runs tests in the folder of
/// their package. A path from compile time could be another checkout's, since several share one
/// target directory.
pub fn root() -> PathBuf {
    PathBuf::from("../..")
}

/// All files under `folders` of `root` whose names end in `suffix`, sorted by path. Folders that
/// are missing, hidden or called `target` are left out.
pub fn files(root: &Path, folders: &[&str], suffix: &str) -> io::Result<Vec<File>> {
    let mut found = Vec::new();
    for folder in folders {
        if root.join(folder).is_dir() {
            walk(root, folder, suffix, &mut found)?;
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn walk(root: &Path, folder: &str, suffix: &str, found: &mut Vec<File>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{folder}/{name}");
        if entry.file_type()?.is_dir() {
            if !name.starts_with('.') && name != "target" {
                walk(root, &path, suffix, found)?;
            }
        } else if name.ends_with(suffix) {
            found.push(File { text: fs::read_to_string(entry.path())?, path });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_finds_this_file() {
        let found = files(&root(), &["tools", "no-such-folder"], ".rs").unwrap();
        assert!(found.iter().any(|file| file.path == "tools/tidy/src/tree.rs"));
    }

    #[test]
    fn a_header_ends_where_the_code_begins() {
        let file = File::new("a.rs", "//! One\n//! two.\n\n//! not this\nfn f() {}\n");
        assert_eq!(file.header(), "One two.");
    }
}
