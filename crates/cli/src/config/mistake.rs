//! What is wrong in the file, and where: line, column, key, and what there should be.

use std::ops::Range;
use std::path::Path;

/// Something that cannot stand in the file as it does.
#[derive(Debug)]
pub(super) struct Mistake {
    /// Where it begins, in bytes.
    start: usize,
    what: String,
}

impl Mistake {
    /// What the parser says, in terms of keys and values.
    pub(super) fn of(error: &toml::de::Error, text: &str) -> Self {
        let message = error.message();
        let span = error.span().unwrap_or_default();
        if let Some(rest) = message.strip_prefix("unknown field ") {
            return Self { start: span.start, what: unknown_key(rest) };
        }
        if let Some(rest) = message.strip_prefix("unknown variant ") {
            return Self::at(span, unknown_value(rest), text);
        }
        if let Some(key) = message.strip_prefix("missing field ") {
            return Self { start: span.start, what: format!("the key {key} is missing here") };
        }
        let what = match message.rsplit_once(", expected ") {
            // What stands there instead may be a secret.
            Some((found, expected)) if found.starts_with("invalid type") => {
                format!("expected {}", kind(expected))
            }
            _ => message.replace('\n', ", "),
        };
        Self::at(span, what, text)
    }

    /// What is wrong with the value at `span`; the key before it is named.
    pub(super) fn at(span: Range<usize>, what: String, text: &str) -> Self {
        let what = match key_before(text, span.start) {
            Some(key) => format!("{key}: {what}"),
            None => what,
        };
        Self { start: span.start, what }
    }

    /// With the file's path, line and column.
    pub(super) fn told(&self, path: &Path, text: &str) -> String {
        let before = text.get(..self.start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("{}, line {line}, column {column}: {}", path.display(), self.what)
    }
}

/// `rest` is a name and the names that there are, each between backticks.
fn unknown_key(rest: &str) -> String {
    let names = quoted(rest);
    let (name, known) = names.split_first().map_or(("", &[][..]), |(name, known)| (*name, known));
    match nearest(name, known) {
        Some(near) => format!("there is no key {name:?} here; did you mean {near:?}?"),
        None => format!("there is no key {name:?} here; there are {}", one_of(known)),
    }
}

fn unknown_value(rest: &str) -> String {
    let names = quoted(rest);
    let (name, known) = names.split_first().map_or(("", &[][..]), |(name, known)| (*name, known));
    let near = nearest(name, known).map(|near| format!("did you mean {near:?}? "));
    let near = near.unwrap_or_default();
    format!("{name:?} is not known; {near}it may be {}", one_of(known))
}

/// A kind of value as people call it.
fn kind(expected: &str) -> &str {
    match expected {
        "a string" | "path string" => "text in quotes",
        "a boolean" => "true or false",
        "a map" => "a table, in square brackets",
        _ if expected.starts_with("struct ") => "a table, in square brackets",
        other => other,
    }
}

fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Names one beside the other.
pub(super) fn one_of(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

/// The name that was most likely meant.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |known: &str| strsim::damerau_levenshtein(&name.to_lowercase(), known);
    let near = known.iter().copied().min_by_key(|known| distance(&known.to_lowercase()))?;
    let bearable = name.chars().count().div_ceil(3);
    (distance(&near.to_lowercase()) <= bearable).then_some(near)
}

/// The key whose value begins at `start`, if one stands before it on the line.
fn key_before(text: &str, start: usize) -> Option<&str> {
    let line = text.get(..start)?.rsplit('\n').next()?;
    let key = line.trim_end().strip_suffix('=')?;
    key.rsplit(['{', ',']).next().map(str::trim).filter(|key| !key.is_empty())
}
