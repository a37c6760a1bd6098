//! What a run asked the kernel for, as strace tells it.

use std::path::Path;

/// Every call that changes a file system or makes a change durable, and writing to standard output.
const CALLS: &str = "openat,open,creat,write,pwrite64,writev,pwritev,pwritev2,rename,renameat,\
    renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,fsync,fdatasync,\
    sync,syncfs,sync_file_range,ftruncate,truncate,fallocate,copy_file_range,sendfile";

/// The words to run a program through: all threads, names of descriptors, every byte written.
pub(super) fn command(log: &Path) -> String {
    format!("strace -f -y -x -s 4000000 -e signal=none -e trace={CALLS} -o {}", log.display())
}

/// Something that happens to the disk or the user. Paths are relative to the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    MakeDirectory(String),
    Create(String),
    Write(String, Bytes),
    Link(String, String),
    Rename(String, String),
    Remove(String),
    /// The number pairs it with its end.
    SyncBegins(usize, String),
    SyncEnds(usize),
    Report,
}

/// Bytes that do not flood a message.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// A call in two halves, when another thread came between.
struct Begun {
    thread: String,
    text: String,
    sync: Option<usize>,
}

/// Reads a log: the steps that concern the directory `root`, and the report.
pub(super) fn read(log: &str, root: &Path) -> Vec<Step> {
    let root = root.to_str().unwrap();
    let mut steps = Vec::new();
    let mut begun: Vec<Begun> = Vec::new();
    let mut syncs = 0;
    for line in log.lines() {
        let (thread, call) = line.split_once(' ').unwrap_or_else(|| panic!("{line:?}"));
        let (thread, call) = (thread.to_owned(), call.trim_start());
        if let Some(text) = call.strip_suffix(" <unfinished ...>") {
            let sync = begin(text, root, &mut steps, &mut syncs);
            begun.push(Begun { thread, text: text.to_owned(), sync });
        } else if let Some(rest) = call.strip_prefix("<... ") {
            let place = begun.iter().position(|it| it.thread == thread);
            let Begun { text, sync, .. } = begun.remove(place.expect("what resumes has begun"));
            let rest = rest.split_once(" resumed>").expect("a call that resumes").1;
            end(&(text + rest), root, sync, &mut steps);
        } else if call.contains('(') {
            let sync = begin(call, root, &mut steps, &mut syncs);
            end(call, root, sync, &mut steps);
        }
    }
    steps
}

/// What takes effect when a call begins: the user may have read a report before its call returns,
/// and a sync covers only what was done before it began.
fn begin(text: &str, root: &str, steps: &mut Vec<Step>, syncs: &mut usize) -> Option<usize> {
    let (call, arguments) = text.split_once('(')?;
    match call {
        "write" if arguments.starts_with("1<") => {
            steps.push(Step::Report);
            None
        }
        "fsync" | "fdatasync" => {
            let path = below(descriptor(arguments)?, root)?;
            *syncs += 1;
            steps.push(Step::SyncBegins(*syncs, path));
            Some(*syncs)
        }
        _ => None,
    }
}

/// What takes effect when a call has succeeded.
fn end(text: &str, root: &str, sync: Option<usize>, steps: &mut Vec<Step>) {
    let (call, rest) = text.split_once('(').unwrap();
    let (arguments, result) = rest.rsplit_once(" = ").unwrap_or_else(|| panic!("{call}: no end"));
    if result.starts_with('-') || result.starts_with('?') {
        return;
    }
    let paths: Vec<String> = strings(arguments);
    let path = |number: usize| paths.get(number).and_then(|path| below(path, root));
    let step = match call {
        "fsync" | "fdatasync" => sync.map(Step::SyncEnds),
        "mkdir" | "mkdirat" => path(0).map(Step::MakeDirectory),
        "openat" | "open" if arguments.contains("O_CREAT") => path(0).map(Step::Create),
        "openat" | "open" => {
            let writes = arguments.contains("O_WRONLY") || arguments.contains("O_RDWR");
            refuse_if(writes && path(0).is_some(), text);
            None
        }
        "link" | "linkat" => path(1).map(|to| Step::Link(path(0).unwrap(), to)),
        "rename" | "renameat" | "renameat2" => path(1).map(|to| Step::Rename(path(0).unwrap(), to)),
        "unlink" | "unlinkat" | "rmdir" => path(0).map(Step::Remove),
        "write" => descriptor(arguments).and_then(|to| below(to, root)).map(|path| {
            let bytes = unescape(between_quotes(arguments).0);
            assert_eq!(result.split(' ').next(), Some(bytes.len().to_string().as_str()));
            Step::Write(path, Bytes(bytes))
        }),
        // If the program begins to use these on its store, the model must learn them.
        _ => {
            let here = descriptor(arguments).and_then(|path| below(path, root)).is_some();
            refuse_if(here || path(0).is_some(), text);
            None
        }
    };
    steps.extend(step);
}

fn refuse_if(unknown: bool, text: &str) {
    let beginning: String = text.chars().take(200).collect();
    assert!(!unknown, "the model does not know this call: {beginning}");
}

/// A path relative to the root; the root itself is empty.
fn below(path: &str, root: &str) -> Option<String> {
    let rest = path.strip_prefix(root)?;
    match rest.strip_prefix('/') {
        Some(path) => Some(path.to_owned()),
        None => rest.is_empty().then(String::new),
    }
}

/// The path in `3</path>`, at the beginning of the arguments.
fn descriptor(arguments: &str) -> Option<&str> {
    let (number, rest) = arguments.split_once('<')?;
    number.parse::<u32>().ok()?;
    Some(rest.split_once('>')?.0)
}

/// The strings among the arguments.
fn strings(arguments: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = arguments;
    while rest.contains('"') {
        let (string, after) = between_quotes(rest);
        found.push(String::from_utf8_lossy(&unescape(string)).into_owned());
        rest = after;
    }
    found
}

/// The first string, still escaped, and what follows it.
fn between_quotes(text: &str) -> (&str, &str) {
    let (_, rest) = text.split_once('"').expect("a string");
    let mut escaped = false;
    for (place, byte) in rest.bytes().enumerate() {
        match byte {
            b'"' if !escaped => return (&rest[..place], &rest[place + 1..]),
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    panic!("a string without an end")
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next().expect("an escape goes on") {
            b'x' => {
                let mut digit = || char::from(rest.next().unwrap()).to_digit(16).unwrap();
                u8::try_from(digit() * 16 + digit()).unwrap()
            }
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'v' => 0x0b,
            b'f' => 0x0c,
            other => other,
        });
    }
    bytes
}
