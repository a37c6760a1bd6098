//! The format's specification and its crate mirror each other chapter by chapter.
//!
//! The table in `format-spec/README.md` lists every chapter with its modules; a module of the
//! table stands in `crates/format/src` and names the chapter in its header, as in
//! "(format-spec, chapter 4)" or "(format-spec, chapters 3 and 4)".

use crate::File;

/// A row of the table: `| [4 Packs](04-packs.md) | `pack` | … |`.
struct Chapter<'a> {
    number: u32,
    file: &'a str,
    modules: Vec<&'a str>,
}

/// Checks the table of `readme` against the files of `format-spec/` and of `crates/format/src`.
pub fn check(readme: &File, spec: &[File], modules: &[File]) -> Vec<String> {
    let chapters: Vec<Chapter> = readme.text.lines().filter_map(row).collect();
    let mut breaches = Vec::new();
    if chapters.iter().all(|chapter| chapter.modules.is_empty()) {
        breaches.push(format!("{}: found no chapter with a module in its table", readme.path));
    }
    breaches.extend(chapters.iter().flat_map(|chapter| missing_modules(chapter, modules)));
    for chapter in &chapters {
        if !spec.iter().any(|file| file_name(file) == chapter.file) {
            breaches.push(format!(
                "{}: chapter {} has no file {}",
                readme.path, chapter.number, chapter.file
            ));
        }
    }
    for file in spec.iter().filter(|file| file_name(file) != "README.md") {
        if !chapters.iter().any(|chapter| chapter.file == file_name(file)) {
            breaches
                .push(format!("{}: {} is not in the table of chapters", readme.path, file.path));
        }
    }
    breaches
}

fn missing_modules(chapter: &Chapter, modules: &[File]) -> Vec<String> {
    let number = chapter.number;
    let mut breaches = Vec::new();
    for module in &chapter.modules {
        let path = format!("crates/format/src/{module}.rs");
        match modules.iter().find(|file| file.path == path) {
            None => {
                breaches.push(format!("{path} is missing: format-spec, chapter {number} names it"))
            }
            Some(file) if !named_chapters(&file.header()).contains(&number) => breaches.push(
                format!("{path}: its header does not name \"format-spec, chapter {number}\""),
            ),
            Some(_) => {}
        }
    }
    breaches
}

fn row(line: &str) -> Option<Chapter<'_>> {
    let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
    let (title, rest) = cells.next()?.strip_prefix('[')?.split_once("](")?;
    let number = title.split(' ').next()?.parse().ok()?;
    let file = rest.strip_suffix(')')?;
    let modules = cells.next()?.split('`').skip(1).step_by(2).collect();
    Some(Chapter { number, file, modules })
}

/// The numbers after "format-spec, chapter" or "format-spec, chapters", up to the next mark.
fn named_chapters(header: &str) -> Vec<u32> {
    let mentions = header.split("format-spec, chapter").skip(1);
    let numbers = mentions.filter_map(|rest| rest.split([')', '.', ';', ':']).next());
    numbers
        .flat_map(|part| part.split(|c: char| !c.is_ascii_digit()))
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

fn file_name(file: &File) -> &str {
    file.path.rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
| chapter | module | fixes |
|---|---|---|
| [1 Objects](01-objects.md) | `object`, `repository` | names |
| [2 Packs](02-packs.md) | `pack` | packs |
| [3 Invariants](03-invariants.md) | | what holds |
";

    fn run(spec: &[&str], modules: &[(&str, &str)]) -> Vec<String> {
        let readme = File::new("format-spec/README.md", TABLE);
        let spec: Vec<File> =
            spec.iter().map(|name| File::new(&format!("format-spec/{name}"), "")).collect();
        let modules: Vec<File> = modules
            .iter()
            .map(|(name, text)| File::new(&format!("crates/format/src/{name}"), text))
            .collect();
        check(&readme, &spec, &modules)
    }

    const SPEC: [&str; 4] = ["README.md", "01-objects.md", "02-packs.md", "03-invariants.md"];
    const OBJECT: (&str, &str) =
        ("object.rs", "//! Objects (format-spec, chapters 1\n//! and 3).\n");
    const REPOSITORY: (&str, &str) =
        ("repository.rs", "//! The object (format-spec, chapter 1).\n");
    const PACK: (&str, &str) = ("pack.rs", "//! Packs (format-spec, chapter 2).\n");

    #[test]
    fn a_mirror_passes() {
        assert_eq!(run(&SPEC, &[OBJECT, REPOSITORY, PACK]), [""; 0]);
    }

    #[test]
    fn a_missing_module_is_named() {
        assert_eq!(
            run(&SPEC, &[OBJECT, REPOSITORY]),
            ["crates/format/src/pack.rs is missing: format-spec, chapter 2 names it"]
        );
    }

    #[test]
    fn a_header_without_its_chapter_is_named() {
        let wrong = ("pack.rs", "//! Packs (format-spec, chapter 12).\n");
        assert_eq!(
            run(&SPEC, &[OBJECT, REPOSITORY, wrong]),
            ["crates/format/src/pack.rs: its header does not name \"format-spec, chapter 2\""]
        );
    }

    #[test]
    fn a_file_that_is_missing_or_not_in_the_table_is_named() {
        assert_eq!(
            run(&["01-objects.md", "02-packs.md", "04-extra.md"], &[OBJECT, REPOSITORY, PACK]),
            [
                "format-spec/README.md: chapter 3 has no file 03-invariants.md",
                "format-spec/README.md: format-spec/04-extra.md is not in the table of chapters",
            ]
        );
    }

    #[test]
    fn an_empty_table_is_a_breach() {
        let found = check(&File::new("format-spec/README.md", "# Format\n"), &[], &[]);
        assert_eq!(found, ["format-spec/README.md: found no chapter with a module in its table"]);
    }
}
