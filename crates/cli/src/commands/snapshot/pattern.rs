//! Patterns that names and paths are compared with: byte by byte, for a name may hold any bytes.

use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};
use nightjar_repository::manifest::search::Criterion;

use crate::exit::CommandError;

/// Some patterns, one of which must fit.
pub(super) struct Patterns {
    /// Compared with the last name.
    names: GlobSet,
    /// Compared with the whole path.
    paths: GlobSet,
}

impl Patterns {
    pub(super) fn new(texts: &[String], ignore_case: bool) -> Result<Self, CommandError> {
        let (mut names, mut paths) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for text in texts {
            // No path in a snapshot begins or ends with a slash.
            let glob = GlobBuilder::new(text.trim_matches('/'))
                .literal_separator(true)
                .case_insensitive(ignore_case)
                .build()
                .map_err(refused)?;
            if text.contains('/') {
                paths.add(glob)
            } else {
                names.add(glob)
            };
        }
        Ok(Self { names: names.build().map_err(refused)?, paths: paths.build().map_err(refused)? })
    }

    pub(super) fn fit(&self, path: &[u8], name: &[u8]) -> bool {
        self.names.is_match_candidate(&Candidate::from_bytes(name))
            || self.paths.is_match_candidate(&Candidate::from_bytes(path))
    }

    /// What decides whether they fit an entry.
    pub(super) fn criterion(&self) -> Criterion {
        if self.paths.is_empty() { Criterion::Entry } else { Criterion::Path }
    }
}

fn refused(error: globset::Error) -> CommandError {
    CommandError::Usage(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, path: &[u8]) -> bool {
        fits_with(pattern, path, false)
    }

    fn fits_with(pattern: &str, path: &[u8], ignore_case: bool) -> bool {
        let patterns = Patterns::new(&[pattern.to_owned()], ignore_case).unwrap();
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        patterns.fit(path, name)
    }

    #[test]
    fn a_pattern_without_a_slash_is_compared_with_the_last_name() {
        for pattern in ["hosts", "h*", "*", "ho?ts", "[gh]osts", "{hosts,nothing}", "*s"] {
            assert!(fits(pattern, b"etc/hosts"), "{pattern}");
        }
        for pattern in ["etc", "host", "osts", "HOSTS", "etc*", "h?sts?", "[!h]osts"] {
            assert!(!fits(pattern, b"etc/hosts"), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_with_a_slash_is_compared_with_the_whole_path() {
        for pattern in ["etc/ssl/cert", "/etc/ssl/cert", "etc/*/cert", "**/cert", "etc/**", "*/*/*"]
        {
            assert!(fits(pattern, b"etc/ssl/cert"), "{pattern}");
        }
        for pattern in ["ssl/cert", "/cert", "etc/*", "etc/ssl/", "*/cert", "etc/ssl/cert/*"] {
            assert!(!fits(pattern, b"etc/ssl/cert"), "{pattern}");
        }
        assert!(fits("/hosts", b"hosts"));
        assert!(!fits("/hosts", b"etc/hosts"));
        assert!(fits("etc/", b"etc"));
    }

    #[test]
    fn names_need_not_be_utf_8_nor_look_like_names() {
        assert!(fits("a?b", b"a\xffb"));
        assert!(fits("*.conf", b"\xfe\xff.conf"));
        assert!(fits("a*", b"a\nb"));
        assert!(fits("ends with.*", b"ends with."));
        assert!(fits("*.", b"ends with."));
        assert!(fits("\u{e4}*", "\u{e4}rger".as_bytes()));
        assert!(fits(".*", b".hidden"));
        assert!(fits("*", b".hidden"));
        assert!(fits("\\*", b"*"));
        assert!(!fits("\\*", b"a"));
    }

    #[test]
    fn case_counts_unless_it_is_to_be_ignored() {
        assert!(fits_with("readme*", b"doc/README.md", true));
        assert!(fits_with("DOC/*.MD", b"doc/README.md", true));
        assert!(!fits("readme*", b"doc/README.md"));
    }

    #[test]
    fn where_a_path_counts_the_search_is_told() {
        let criterion = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|&text| text.into()).collect();
            Patterns::new(&texts, false).unwrap().criterion()
        };
        assert_eq!(criterion(&["a", "*.conf"]), Criterion::Entry);
        assert_eq!(criterion(&["a", "etc/*.conf"]), Criterion::Path);
    }
}
