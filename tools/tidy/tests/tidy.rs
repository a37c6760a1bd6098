//! The rules, run on this checkout.

use std::error::Error;
use std::process::Command;
use std::{fs, io};

use nightjar_tidy::tree::{files, root};
use nightjar_tidy::{File, chapters, edges, layout, words};

type Outcome = Result<(), Box<dyn Error>>;

fn assert_none(breaches: &[String]) {
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

fn rust_files() -> io::Result<Vec<File>> {
    let found = files(&root(), &["crates", "tools", "tests", "benches"], ".rs")?;
    if found.len() < 10 {
        return Err(io::Error::other("found hardly any Rust files: is this the checkout?"));
    }
    Ok(found)
}

fn document(path: &str) -> io::Result<File> {
    let text = fs::read_to_string(root().join(path))
        .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
    Ok(File::new(path, &text))
}

#[test]
fn crates_use_only_what_stands_below_them() -> Outcome {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    assert_none(&edges::check(&serde_json::from_slice(&output.stdout)?));
    Ok(())
}

#[test]
fn every_rust_file_has_a_header() -> Outcome {
    assert_none(&layout::headers(&rust_files()?));
    Ok(())
}

#[test]
fn no_production_file_is_too_long() -> Outcome {
    assert_none(&layout::lengths(&rust_files()?));
    Ok(())
}

#[test]
fn module_names_say_what_is_inside() -> Outcome {
    assert_none(&layout::module_names(&rust_files()?));
    Ok(())
}

#[test]
fn documents_use_one_word_for_one_thing() -> Outcome {
    let mut documents = files(&root(), &["format-spec"], ".md")?;
    documents.push(document("README.md")?);
    documents.push(document("ARCHITECTURE.md")?);
    assert_none(&words::check(&documents));
    Ok(())
}

#[test]
fn each_chapter_of_the_format_has_its_modules() -> Outcome {
    let readme = document("format-spec/README.md")?;
    let spec = files(&root(), &["format-spec"], ".md")?;
    let modules = files(&root(), &["crates/format/src"], ".rs")?;
    assert_none(&chapters::check(&readme, &spec, &modules));
    Ok(())
}
