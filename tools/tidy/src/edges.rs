//! Which crate may use which.
//!
//! ```text
//! cli → source → repository → codec → format
//!                     ├─────→ storage
//!                     └─────→ format        testkit, testservers: dev-dependencies only
//! ```
//! A crate uses what stands below it, never above. Packages outside `crates/` (tools, benches,
//! tests) stand on top: they may use any crate, and nothing may use them.

use serde_json::Value;

/// Each crate with all that stand below it.
const BELOW: &[(&str, &[&str])] = &[
    ("format", &[]),
    ("codec", &["format"]),
    ("storage", &[]),
    ("repository", &["format", "codec", "storage"]),
    ("source", &["format", "codec", "storage", "repository"]),
    ("cli", &["format", "codec", "storage", "repository", "source"]),
    ("testkit", &["format", "codec", "storage", "repository", "source"]),
    ("testservers", &[]),
];

/// Crates that only tests and benches use.
const FOR_TESTS: &[&str] = &["testkit", "testservers"];

/// Checks the document that `cargo metadata --no-deps --format-version 1` prints.
pub fn check(metadata: &Value) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut edges = 0;
    for package in list(metadata, "packages") {
        let from = text(package, "name");
        let in_crates = text(package, "manifest_path").contains("/crates/");
        if in_crates && below(from).is_none() {
            breaches.push(format!(
                "{from} has no place in the order of crates: give it one in tools/tidy/src/edges.rs"
            ));
            continue;
        }
        for dependency in list(package, "dependencies") {
            let to = text(dependency, "name");
            if !to.starts_with("nightjar-") {
                continue;
            }
            edges += 1;
            let is_dev = text(dependency, "kind") == "dev";
            breaches.extend(breach(from, to, is_dev));
        }
    }
    if edges == 0 {
        breaches.push("found no edge between crates: is this the workspace's metadata?".to_owned());
    }
    breaches
}

fn breach(from: &str, to: &str, is_dev: bool) -> Option<String> {
    let for_tests = FOR_TESTS.contains(&short(from)) || short(from) == "benches";
    if FOR_TESTS.contains(&short(to)) && !for_tests {
        return (!is_dev)
            .then(|| format!("{from} uses {to} outside of its tests: make it a dev-dependency"));
    }
    let Some(_) = below(to) else {
        return Some(format!("{from} uses {to}, which is no library: nothing may use it"));
    };
    match below(from) {
        Some(allowed) if !allowed.contains(&short(to)) => {
            Some(format!("{from} uses {to}, which does not stand below it (ARCHITECTURE.md)"))
        }
        _ => None,
    }
}

fn below(package: &str) -> Option<&'static [&'static str]> {
    BELOW.iter().find(|(name, _)| *name == short(package)).map(|(_, below)| *below)
}

fn short(package: &str) -> &str {
    package.strip_prefix("nightjar-").unwrap_or(package)
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn breaches(folder: &str, from: &str, to: &str, kind: Option<&str>) -> Vec<String> {
        check(&json!({"packages": [{
            "name": from,
            "manifest_path": format!("/checkout/{folder}/Cargo.toml"),
            "dependencies": [{"name": to, "kind": kind}, {"name": "serde", "kind": null}],
        }]}))
    }

    #[test]
    fn downward_edges_pass() {
        let downward = [
            ("crates/codec", "nightjar-codec", "nightjar-format"),
            ("crates/repository", "nightjar-repository", "nightjar-storage"),
            ("crates/cli", "nightjar-cli", "nightjar-format"),
            ("benches", "nightjar-benches", "nightjar-repository"),
        ];
        for (folder, from, to) in downward {
            assert_eq!(breaches(folder, from, to, None), [""; 0]);
        }
        assert_eq!(
            breaches("crates/codec", "nightjar-codec", "nightjar-testkit", Some("dev")),
            [""; 0]
        );
    }

    #[test]
    fn upward_and_sideways_edges_are_named() {
        let forbidden = [
            ("nightjar-storage", "nightjar-format"),
            ("nightjar-storage", "nightjar-codec"),
            ("nightjar-format", "nightjar-codec"),
            ("nightjar-repository", "nightjar-source"),
            ("nightjar-source", "nightjar-cli"),
            ("nightjar-testkit", "nightjar-cli"),
            ("nightjar-testservers", "nightjar-storage"),
            ("nightjar-testservers", "nightjar-testkit"),
        ];
        for (from, to) in forbidden {
            for kind in [None, Some("dev"), Some("build")] {
                let found = breaches("crates/x", from, to, kind);
                assert_eq!(
                    found,
                    [format!("{from} uses {to}, which does not stand below it (ARCHITECTURE.md)")]
                );
            }
        }
    }

    #[test]
    fn what_is_for_tests_stays_there() {
        for to in ["nightjar-testkit", "nightjar-testservers"] {
            for kind in [None, Some("build")] {
                let found = breaches("crates/cli", "nightjar-cli", to, kind);
                assert_eq!(
                    found,
                    [format!(
                        "nightjar-cli uses {to} outside of its tests: make it a dev-dependency"
                    )]
                );
            }
            assert_eq!(breaches("crates/storage", "nightjar-storage", to, Some("dev")), [""; 0]);
        }
    }

    #[test]
    fn nothing_uses_a_tool() {
        assert_eq!(
            breaches("crates/cli", "nightjar-cli", "nightjar-tidy", Some("dev")),
            ["nightjar-cli uses nightjar-tidy, which is no library: nothing may use it"]
        );
    }

    #[test]
    fn a_crate_without_a_place_is_named() {
        let found = breaches("crates/new", "nightjar-new", "nightjar-format", None);
        assert!(found.iter().any(|line| line.starts_with("nightjar-new has no place")));
    }

    #[test]
    fn empty_metadata_is_a_breach() {
        assert_eq!(check(&json!({})).len(), 1);
    }
}
