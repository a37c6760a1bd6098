//! How Rust files are laid out: headers, length, names.

use crate::File;

/// Lines of production code above which a file holds two nouns.
const MOST_LINES: usize = 600;

/// Module names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] =
    &["common", "helper", "helpers", "manager", "managers", "util", "utils"];

/// Every file begins with a `//!` header.
pub fn headers(files: &[File]) -> Vec<String> {
    let bare = files.iter().filter(|file| file.header().is_empty());
    bare.map(|file| format!("{}:1: begin with a //! header that says what the file is", file.path))
        .collect()
}

/// No production file is longer than 600 lines before its inline tests.
pub fn lengths(files: &[File]) -> Vec<String> {
    let production = files.iter().filter(|file| is_production(&file.path));
    let measured = production.map(|file| (file, production_lines(&file.text)));
    measured
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(file, lines)| {
            format!(
                "{}: {lines} lines before its tests, at most {MOST_LINES}: split it by noun",
                file.path
            )
        })
        .collect()
}

/// No module has a name under which anything would fit.
pub fn module_names(files: &[File]) -> Vec<String> {
    let mut breaches = Vec::new();
    for file in files {
        let parts = file.path.split('/').map(|part| part.strip_suffix(".rs").unwrap_or(part));
        for name in parts.filter(|name| EMPTY_NAMES.contains(name)) {
            breaches
                .push(format!("{}: \"{name}\" says nothing: name it for what it holds", file.path));
        }
        for (number, line) in (1..).zip(file.text.lines()) {
            if let Some(name) = inline_module(line).filter(|name| EMPTY_NAMES.contains(name)) {
                breaches.push(format!(
                    "{}:{number}: \"{name}\" says nothing: name it for what it holds",
                    file.path
                ));
            }
        }
    }
    breaches
}

/// Whether the program contains the file: tests and benches are not measured.
fn is_production(path: &str) -> bool {
    path.contains("/src/") && !path.contains("/tests/") && !path.ends_with("/tests.rs")
}

fn production_lines(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let opens_tests = |pair: &[&str]| matches!(pair, ["#[cfg(test)]", next] if module(next).is_some() && next.ends_with('{'));
    lines.windows(2).position(opens_tests).unwrap_or(lines.len())
}

/// The name in `mod name {`.
fn inline_module(line: &str) -> Option<&str> {
    module(line.trim()).filter(|_| line.trim_end().ends_with('{'))
}

/// The name in `mod name` with any visibility before it.
fn module(line: &str) -> Option<&str> {
    let mut words =
        line.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
    let visibility = ["pub", "crate", "super", "in"];
    match words.find(|word| !visibility.contains(word)) {
        Some("mod") => words.next(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_header_is_named() {
        let files = [
            File::new("crates/a/src/good.rs", "//! What it is.\n"),
            File::new("crates/a/src/late.rs", "use std::fmt;\n//! Too late.\n"),
            File::new("crates/a/src/empty.rs", "//!\nfn f() {}\n"),
        ];
        assert_eq!(
            headers(&files),
            [
                "crates/a/src/late.rs:1: begin with a //! header that says what the file is",
                "crates/a/src/empty.rs:1: begin with a //! header that says what the file is",
            ]
        );
    }

    #[test]
    fn a_long_file_is_named_and_its_inline_tests_do_not_count() {
        let code = "fn f() {}\n".repeat(MOST_LINES);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{code}}}\n");
        let declared = "#[cfg(test)]\nmod tests;\n";
        let files = [
            File::new("crates/a/src/exact.rs", &code),
            File::new("crates/a/src/tested.rs", &format!("{code}{tests}")),
            File::new("crates/a/src/foo/tests.rs", &format!("{code}{code}")),
            File::new("crates/a/tests/slow.rs", &format!("{code}{code}")),
            File::new("crates/a/src/long.rs", &format!("{code}\n")),
            File::new("crates/a/src/declared.rs", &format!("{declared}{code}")),
        ];
        assert_eq!(
            lengths(&files),
            [
                "crates/a/src/long.rs: 601 lines before its tests, at most 600: split it by noun",
                "crates/a/src/declared.rs: 602 lines before its tests, at most 600: split it by noun",
            ]
        );
    }

    #[test]
    fn an_empty_module_name_is_named() {
        let files = [
            File::new("crates/a/src/utils.rs", ""),
            File::new("crates/a/tests/common/mod.rs", ""),
            File::new(
                "crates/a/src/pack.rs",
                "mod footer {\n}\npub(crate) mod helpers {\n}\n// mod manager\n",
            ),
        ];
        assert_eq!(
            module_names(&files),
            [
                "crates/a/src/utils.rs: \"utils\" says nothing: name it for what it holds",
                "crates/a/tests/common/mod.rs: \"common\" says nothing: name it for what it holds",
                "crates/a/src/pack.rs:3: \"helpers\" says nothing: name it for what it holds",
            ]
        );
    }
}
