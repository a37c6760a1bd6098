//! Writing a tar of what a snapshot holds.
//!
//! Members are written in the snapshot's order, each content as it is read from the store. What a
//! header has no room for stands in records before it (pax), which every tar of this century
//! reads. Of each file with several names the first is remembered, so memory grows with those.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::sync::atomic::Ordering;

use nightjar_format::manifest::{Entry, EntryKind, FileContent, Hole};
use nightjar_repository::RepositoryError;
use nightjar_repository::manifest::walk::Visited;
use nightjar_repository::read::{Reader, StreamSink};
use tar::{EntryType, Header};

use super::read::BLOCK as BLOCK_LEN;
use super::records::{Records, time_text};
use crate::error::SourceError;
use crate::restore::layout::ZeroFiller;
use crate::restore::select::Selection;
use crate::restore::stream::pour_into_command;
use crate::restore::{RestoreReport, RestoreRequest};

/// The least size that a header's eleven octal digits cannot tell, in bytes.
const LARGE: u64 = 1 << 33;
/// The least number of a user or group that seven octal digits cannot tell.
const LARGE_ID: u32 = 1 << 21;
/// What headers and data are padded to, in bytes.
const BLOCK: u64 = BLOCK_LEN as u64;
/// GNU tar fills its last record of so many bytes.
const RECORD_BYTES: u64 = 20 * BLOCK;
const BUFFER_BYTES: usize = 256 << 10;

/// Writes a tar of what is meant.
pub fn restore_to_tar(
    reader: &Reader<'_>,
    request: &RestoreRequest<'_>,
    sink: &mut dyn Write,
) -> Result<RestoreReport, SourceError> {
    expect(reader, request)?;
    write_tar(reader, request, sink)
}

/// Writes a tar of what is meant into the standard input of a command, whose exit status counts.
pub fn restore_tar_into_command(
    reader: &Reader<'_>,
    request: &RestoreRequest<'_>,
    command: &[OsString],
) -> Result<RestoreReport, SourceError> {
    // Before the command starts: a wrong path must not hand it an empty archive.
    expect(reader, request)?;
    pour_into_command(command, |stdin| write_tar(reader, request, stdin))
}

/// Tells the progress how many bytes will come, and refuses paths that the snapshot does not hold.
fn expect(reader: &Reader<'_>, request: &RestoreRequest<'_>) -> Result<(), SourceError> {
    let mut bytes = 0u64;
    let mut selection = Selection::open(reader, request)?;
    while let Some(step) = selection.next(reader)? {
        if let EntryKind::File(file) = &step.visited.entry.kind {
            bytes = bytes.saturating_add(file.data_bytes());
        }
    }
    selection.check_found()?;
    reader.progress().total.store(bytes, Ordering::Relaxed);
    Ok(())
}

fn write_tar(
    reader: &Reader<'_>,
    request: &RestoreRequest<'_>,
    sink: &mut dyn Write,
) -> Result<RestoreReport, SourceError> {
    let mut tar = TarSink {
        sink: BufWriter::with_capacity(BUFFER_BYTES, sink),
        written: 0,
        filler: ZeroFiller::default(),
    };
    let report = reader.stream(&mut tar, |stream| {
        let mut selection = Selection::open(reader, request)?;
        let mut members = Members::default();
        while let Some(step) = selection.next(reader)? {
            if let Some((member, file)) = members.member(&step.visited)? {
                stream.push(member, &file.content, file.data_bytes())?;
            }
        }
        Ok::<_, SourceError>(members.report)
    })?;
    tar.finish().map_err(failed)?;
    Ok(report)
}

fn failed(source: io::Error) -> SourceError {
    RepositoryError::Stream { what: "cannot write what is restored".into(), source }.into()
}

/// What stands in front of a member's data, and where its holes are.
struct Member {
    headers: Vec<u8>,
    holes: Vec<Hole>,
}

/// Writes members, and fills each up to whole blocks.
struct TarSink<'a> {
    sink: BufWriter<&'a mut dyn Write>,
    /// In bytes.
    written: u64,
    filler: ZeroFiller,
}

impl TarSink<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.sink.write_all(bytes)
    }

    fn zeros(&mut self, length: u64) -> io::Result<()> {
        self.written += io::copy(&mut io::Read::take(io::repeat(0), length), &mut self.sink)?;
        Ok(())
    }

    /// Ends the archive: two blocks of zeros at least.
    fn finish(&mut self) -> io::Result<()> {
        let end = (self.written + 2 * BLOCK).next_multiple_of(RECORD_BYTES);
        self.zeros(end - self.written)?;
        self.sink.flush()
    }
}

impl StreamSink for TarSink<'_> {
    type Item = Member;

    fn weight(member: &Member) -> u64 {
        (member.headers.len() + size_of_val(member.holes.as_slice())) as u64
    }

    fn begin(&mut self, member: Member) -> io::Result<()> {
        self.filler = ZeroFiller::new(&member.holes);
        self.put(&member.headers)
    }

    fn bytes(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = self.filler.write(bytes, &mut self.sink)?;
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        self.filler.fill(&mut self.sink)?;
        self.written += self.filler.position();
        self.zeros(self.written.next_multiple_of(BLOCK) - self.written)
    }
}

/// Makes members of entries.
#[derive(Default)]
struct Members {
    /// The first name of each file that has several, with all but its name.
    firsts: HashMap<u64, (Vec<u8>, Entry)>,
    report: RestoreReport,
}

/// What a header says of an entry beside its name and attributes.
struct Shape<'a> {
    kind: EntryType,
    target: &'a [u8],
    size: u64,
}

impl<'a> Shape<'a> {
    fn of(entry: &'a Entry) -> Self {
        let (kind, target, size) = match &entry.kind {
            EntryKind::File(file) => (EntryType::Regular, b"".as_slice(), file.size),
            EntryKind::Directory { .. } => (EntryType::Directory, b"".as_slice(), 0),
            EntryKind::Symlink { target } => (EntryType::Symlink, target.as_slice(), 0),
            EntryKind::Fifo | EntryKind::Socket => (EntryType::Fifo, b"".as_slice(), 0),
            EntryKind::CharacterDevice { .. } => (EntryType::Char, b"".as_slice(), 0),
            EntryKind::BlockDevice { .. } => (EntryType::Block, b"".as_slice(), 0),
        };
        Self { kind, target, size }
    }
}

impl Members {
    /// The member of an entry, and its content; nothing for what a tar cannot hold.
    fn member(&mut self, visited: &Visited) -> Result<Option<(Member, FileContent)>, SourceError> {
        let Visited { path, entry } = visited;
        let nothing = FileContent::default();
        match &entry.kind {
            EntryKind::File(_) => self.report.files += 1,
            EntryKind::Directory { .. } => self.report.directories += 1,
            EntryKind::Socket => {
                let path = String::from_utf8_lossy(path);
                self.report.warnings.push(format!("{path} is a socket, which a tar cannot hold"));
                return Ok(None);
            }
            _ => self.report.others += 1,
        }
        if let Some(first) = self.first_name(path, entry) {
            let shape = Shape { kind: EntryType::Link, target: &first, size: 0 };
            let headers = headers(path, entry, &shape).map_err(failed)?;
            return Ok(Some((Member { headers, holes: Vec::new() }, nothing)));
        }
        let path = match &entry.kind {
            EntryKind::Directory { .. } => &[path, b"/".as_slice()].concat(),
            _ => path,
        };
        let headers = headers(path, entry, &Shape::of(entry)).map_err(failed)?;
        let file = match &entry.kind {
            EntryKind::File(file) => file.clone(),
            _ => nothing,
        };
        self.report.bytes += file.size;
        Ok(Some((Member { headers, holes: file.holes.clone() }, file)))
    }

    /// The first name of the same file, unless this is it. Entries that differ were not the same
    /// file any more when they were read.
    fn first_name(&mut self, path: &[u8], entry: &Entry) -> Option<Vec<u8>> {
        let number = entry.hard_link?;
        let nameless = Entry { name: Vec::new(), ..entry.clone() };
        match self.firsts.get(&number) {
            Some((first, known)) if *known == nameless => Some(first.clone()),
            Some(_) => None,
            None => {
                self.firsts.insert(number, (path.to_vec(), nameless));
                None
            }
        }
    }
}

/// The header of an entry, and before it an extended one for what it has no room for.
fn headers(path: &[u8], entry: &Entry, shape: &Shape<'_>) -> io::Result<Vec<u8>> {
    let mut records = Records::default();
    let mut header = Header::new_ustar();
    header.set_entry_type(shape.kind);
    header.set_mode(entry.mode);
    set_owner_and_time(&mut header, entry, &mut records);
    header.set_size(shape.size);
    if shape.size >= LARGE {
        records.push("size", shape.size.to_string().as_bytes());
    }
    if let EntryKind::CharacterDevice { major, minor } | EntryKind::BlockDevice { major, minor } =
        entry.kind
    {
        header.set_device_major(major)?;
        header.set_device_minor(minor)?;
    }
    if let Some(fields) = header.as_ustar_mut() {
        set(&mut fields.name, path, "path", &mut records);
        set(&mut fields.linkname, shape.target, "linkpath", &mut records);
        set(&mut fields.uname, &entry.user, "uname", &mut records);
        set(&mut fields.gname, &entry.group, "gname", &mut records);
    }
    entry.attributes.iter().for_each(|attribute| records.push_attribute(attribute));
    header.set_cksum();
    let mut bytes = extended(&records)?;
    bytes.extend_from_slice(header.as_bytes());
    Ok(bytes)
}

/// An extended header for the member that follows, if there is anything to say.
fn extended(records: &Records) -> io::Result<Vec<u8>> {
    if records.is_empty() {
        return Ok(Vec::new());
    }
    let said = records.encode();
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::XHeader);
    header.set_path("pax")?;
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(said.len() as u64);
    header.set_cksum();
    let mut bytes = [header.as_bytes().as_slice(), &said].concat();
    bytes.resize(bytes.len().next_multiple_of(BLOCK_LEN), 0);
    Ok(bytes)
}

fn set_owner_and_time(header: &mut Header, entry: &Entry, records: &mut Records) {
    header.set_uid(entry.uid.into());
    header.set_gid(entry.gid.into());
    for (key, id) in [("uid", entry.uid), ("gid", entry.gid)] {
        if id >= LARGE_ID {
            records.push(key, id.to_string().as_bytes());
        }
    }
    let seconds = u64::try_from(entry.modified.seconds).ok().filter(|it| *it < LARGE);
    header.set_mtime(seconds.unwrap_or(0));
    if seconds.is_none() || entry.modified.nanoseconds != 0 {
        records.push("mtime", time_text(&entry.modified).as_bytes());
    }
}

/// Puts a text into a field; what does not fit stands in a record.
fn set(field: &mut [u8], text: &[u8], key: &str, records: &mut Records) {
    if text.len() > field.len() {
        records.push(key, text);
    }
    field.iter_mut().zip(text).for_each(|(byte, it)| *byte = *it);
}
