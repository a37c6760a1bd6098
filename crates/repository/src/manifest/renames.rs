//! Which of the added files are removed ones under another path.

use std::collections::HashMap;

use nightjar_format::BlobId;
use nightjar_format::manifest::{Content, Entry, EntryKind};

use crate::manifest::diff::{Change, Difference, same_content};

/// What two files of the same content have in common, and few others.
type Fingerprint = (u64, BlobId);

/// Makes one difference of each pair of a removed and an added file with the same content; it
/// takes the place of the added one. Where several could be meant, a file that kept its name is
/// preferred. Empty files all have the same content, which says nothing: they stay as they are.
pub fn pair(differences: Vec<Difference>) -> Vec<Difference> {
    let mut differences: Vec<Option<Difference>> = differences.into_iter().map(Some).collect();
    let mut removed = by_content(&differences);
    for same_name in [true, false] {
        for at in 0..differences.len() {
            let added = differences
                .get_mut(at)
                .and_then(|slot| slot.take_if(|difference| difference.change == Change::Added));
            let Some(added) = added else { continue };
            let renamed = match take_match(&added, same_name, &mut removed, &mut differences) {
                Some(old) => Difference {
                    old_path: Some(old.path),
                    change: Change::Renamed,
                    old: old.old,
                    ..added
                },
                None => added,
            };
            if let Some(slot) = differences.get_mut(at) {
                *slot = Some(renamed);
            }
        }
    }
    differences.into_iter().flatten().collect()
}

/// The places of the removed files, by what they hold.
fn by_content(differences: &[Option<Difference>]) -> HashMap<Fingerprint, Vec<usize>> {
    let mut removed: HashMap<Fingerprint, Vec<usize>> = HashMap::new();
    for (at, difference) in differences.iter().enumerate() {
        let gone = difference.as_ref().filter(|it| it.change == Change::Removed);
        if let Some(print) = gone.and_then(|it| fingerprint(it.old.as_ref())) {
            removed.entry(print).or_default().push(at);
        }
    }
    removed
}

fn take_match(
    added: &Difference,
    same_name: bool,
    removed: &mut HashMap<Fingerprint, Vec<usize>>,
    differences: &mut [Option<Difference>],
) -> Option<Difference> {
    let new = added.new.as_ref()?;
    let candidates = removed.get_mut(&fingerprint(Some(new))?)?;
    let fits = |at: &usize| {
        let old = differences.get(*at).and_then(|slot| slot.as_ref()?.old.as_ref());
        old.is_some_and(|old| {
            same_content(&old.kind, &new.kind) && (!same_name || old.name == new.name)
        })
    };
    let chosen = candidates.iter().position(fits)?;
    let at = candidates.remove(chosen);
    differences.get_mut(at)?.take()
}

fn fingerprint(entry: Option<&Entry>) -> Option<Fingerprint> {
    let EntryKind::File(file) = &entry?.kind else { return None };
    match &file.content {
        Content::Chunks(chunks) => Some((file.size, chunks.first()?.id)),
        Content::List { id } => Some((file.size, *id)),
    }
}

#[cfg(test)]
mod tests {
    use nightjar_format::manifest::{ContentRef, FileContent};

    use super::*;

    fn file(path: &str, content: u8) -> Entry {
        let chunk = ContentRef { id: BlobId([content; 32]), length: 9 };
        let chunks = if content == 0 { vec![] } else { vec![chunk] };
        let file = FileContent {
            size: if content == 0 { 0 } else { 9 },
            content: Content::Chunks(chunks),
            ..FileContent::default()
        };
        let name = path.rsplit('/').next().unwrap_or_default();
        Entry::new(name.as_bytes(), EntryKind::File(file))
    }

    fn difference((sign, path, content): (char, &str, u8)) -> Difference {
        let entry = Some(file(path, content));
        let (change, old, new) = match sign {
            '+' => (Change::Added, None, entry),
            _ => (Change::Removed, entry, None),
        };
        Difference { path: path.as_bytes().to_vec(), old_path: None, change, old, new }
    }

    fn described(differences: &[(char, &str, u8)]) -> Vec<String> {
        let paired = pair(differences.iter().copied().map(difference).collect());
        let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
        let line = |it: &Difference| match (&it.old_path, it.change) {
            (Some(old), Change::Renamed) => format!("{} > {}", text(old), text(&it.path)),
            (_, Change::Added) => format!("+ {}", text(&it.path)),
            _ => format!("- {}", text(&it.path)),
        };
        paired.iter().map(line).collect()
    }

    #[test]
    fn the_same_content_under_another_path_is_a_rename() {
        assert_eq!(described(&[('+', "a", 1), ('-', "b", 1)]), ["b > a"]);
        assert_eq!(described(&[('-', "a", 1), ('+', "b", 1)]), ["a > b"]);
        assert_eq!(described(&[('-', "a", 1), ('+', "b", 2)]), ["- a", "+ b"]);
    }

    #[test]
    fn a_removed_file_is_renamed_once_and_a_kept_name_is_preferred() {
        let copies = [('-', "old/x", 1), ('+', "new/a", 1), ('+', "new/x", 1)];
        assert_eq!(described(&copies), ["+ new/a", "old/x > new/x"]);
        let several = [('+', "a", 1), ('-', "b", 1), ('-', "c", 1)];
        assert_eq!(described(&several), ["b > a", "- c"]);
    }

    #[test]
    fn empty_files_are_not_taken_for_each_other() {
        assert_eq!(described(&[('-', "a", 0), ('+', "b", 0)]), ["- a", "+ b"]);
    }
}
