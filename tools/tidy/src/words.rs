//! One meaning, one word: synonyms that the documents do not use.

use crate::File;

/// What not to write, and what to write instead. Only words that have no other use here.
const SYNONYMS: &[(&str, &str)] = &[
    ("archive", "snapshot"),
    ("archives", "snapshots"),
    ("vault", "repository"),
    ("vaults", "repositories"),
];

/// No document uses a synonym of a term. What stands in `code` is not looked at: other
/// programs' names are theirs.
pub fn check(documents: &[File]) -> Vec<String> {
    let mut breaches = Vec::new();
    for document in documents {
        let mut in_fence = false;
        for (number, line) in (1..).zip(document.text.lines()) {
            if line.trim_start().starts_with("```") {
                in_fence = !in_fence;
            } else if !in_fence {
                let found = prose_words(line).filter_map(|word| instead_of(&word));
                breaches.extend(found.map(|(word, instead)| {
                    format!("{}:{number}: \"{word}\": our word is \"{instead}\"", document.path)
                }));
            }
        }
    }
    breaches
}

fn instead_of(word: &str) -> Option<(&'static str, &'static str)> {
    SYNONYMS.iter().find(|(synonym, _)| *synonym == word).copied()
}

fn prose_words(line: &str) -> impl Iterator<Item = String> {
    let prose = line.split('`').step_by(2);
    let words = prose.flat_map(|part| part.split(|c: char| !(c.is_alphanumeric() || c == '_')));
    words.map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_synonym_in_prose_is_named() {
        let text = "# Notes\nThe Archive is sealed.\nTwo vaults, `archive`, archive_command\n";
        assert_eq!(
            check(&[File::new("README.md", text)]),
            [
                "README.md:2: \"archive\": our word is \"snapshot\"",
                "README.md:3: \"vaults\": our word is \"repositories\"",
            ]
        );
    }

    #[test]
    fn code_may_say_what_it_likes() {
        let text = "Set `archive_command`:\n```\narchive = vault\n```\n";
        assert_eq!(check(&[File::new("README.md", text)]), [""; 0]);
    }
}
