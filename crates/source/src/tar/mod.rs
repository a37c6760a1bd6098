//! Tars: read into a tree member by member, and written from one.
//!
//! A stream such as that of `pg_basebackup -Ft -D -` or `tar -cf -` is stored as what it holds:
//! its members deduplicate with the same files of directories, and can be listed, compared and
//! restored one by one.
//!
//! - **Order.** Contents are read as they arrive and kept by number; the tree is handed over,
//!   sorted, when the archive has ended (`members`). Of a member's content nothing is held in
//!   memory, but of each member itself some 500 bytes are, with what the engine keeps to find its
//!   content again: memory grows with their number.
//! - **Whole or not at all.** Before there is a snapshot, the archive must have said that it ends,
//!   with a block of zeros; a command that makes it must have succeeded besides. What follows the
//!   end is read, so that the command can end, and not stored.
//! - **As when extracting.** A name that comes twice means the last; a hard link is another name
//!   of what its target is by then; directories that are missing are made. What cannot stand in a
//!   tree, because of a `..` say, is reported, counted and left out.
//!
//! `read` takes blocks apart, with the help of `records` (pax) and `sparse`; `write` makes a tar of
//! what a snapshot holds.

mod members;
mod read;
mod records;
mod sparse;
mod write;

use std::io::{BufReader, ErrorKind, Read};

use nightjar_format::limits;
use nightjar_repository::RepositoryError;
use nightjar_repository::ingest::Feeder;

pub use write::{restore_tar_into_command, restore_to_tar};

use crate::Notes;
use crate::error::SourceError;
use crate::tree::MOST_ATTRIBUTE_BYTES;
use members::{Key, Members, key, path_of};
use read::{Archive, Kind, Member};
use sparse::DataReader;

/// The type under which GNU tar writes the name of a volume (`--label`).
const VOLUME: u8 = b'V';
/// Bytes of a path that messages show.
const MOST_SHOWN_BYTES: usize = 1000;
/// Headers are small, and each read of a pipe is a system call or two.
const BUFFER_BYTES: usize = 256 << 10;

/// Feeds the members of a tar; how many bytes the stream had.
pub(crate) fn feed_tar(
    feeder: &mut Feeder<'_>,
    name: &str,
    reader: &mut dyn Read,
    notes: &mut Notes,
) -> Result<u64, SourceError> {
    let archive = Archive::new(BufReader::with_capacity(BUFFER_BYTES, reader));
    let mut tar = TarFeeder { feeder, notes, name, archive, members: Members::default() };
    tar.read_members()?;
    let TarFeeder { feeder, archive, members, .. } = tar;
    members.emit(feeder)?;
    Ok(archive.position)
}

struct TarFeeder<'a, 'b, R> {
    feeder: &'a mut Feeder<'b>,
    notes: &'a mut Notes,
    name: &'a str,
    archive: Archive<R>,
    members: Members,
}

impl<R: Read> TarFeeder<'_, '_, R> {
    fn read_members(&mut self) -> Result<(), SourceError> {
        let fail = |error| failure(self.name, error);
        while let Some(mut member) = self.archive.next().map_err(fail)? {
            let path = shown(&member.path);
            self.limit(&mut member, &path);
            if let Some(why) = self.member(member, &path)? {
                self.notes.unreadable += 1;
                self.notes.warn(format!("{path:?} in {} is left out: {why}", self.name));
            }
        }
        if self.archive.drain().map_err(fail)? {
            self.notes.warn(format!(
                "{} goes on behind the end of its archive, as tars do that were joined: what \
                 follows is not stored",
                self.name
            ));
        }
        Ok(())
    }

    /// Stores a member, or says why it cannot be.
    fn member(
        &mut self,
        mut member: Member,
        path: &str,
    ) -> Result<Option<&'static str>, SourceError> {
        if let Kind::Unknown(kind) = member.kind {
            self.pass_over(kind, path);
            return Ok(None);
        }
        let is_directory = member.kind == Kind::Directory;
        let place = match key(&member.path) {
            // A snapshot's root has nothing but entries.
            Ok(place) if place.is_empty() && is_directory => return Ok(None),
            Ok(place) => place,
            Err(why) => return Ok(Some(why)),
        };
        if let Kind::Symlink { target } = &member.kind
            && target.len() > limits::NAME_BYTES
        {
            return Ok(Some("its target is too long"));
        }
        if let Err(why) = self.members.check(&place, is_directory) {
            return Ok(Some(why));
        }
        let dropped = match &member.kind {
            Kind::HardLink { target } => {
                match key(target).and_then(|target| self.members.link(place, &target)) {
                    Ok(dropped) => dropped,
                    Err(why) => return Ok(Some(why)),
                }
            }
            Kind::File => {
                let number = self.content(&place, &mut member, path)?;
                self.members.put(place, member, number)
            }
            _ => {
                let number = self.members.next_file();
                self.members.put(place, member, number)
            }
        };
        if let Some(number) = dropped {
            self.feeder.drop_kept(number)?;
        }
        Ok(None)
    }

    /// Tells of a member of a type that nobody here knows. It counts as left out, unless it is the
    /// name of a volume, which is no part of a tree.
    fn pass_over(&mut self, kind: u8, path: &str) {
        self.notes.unreadable += u64::from(kind != VOLUME);
        let kind = char::from(kind).escape_default();
        let name = self.name;
        self.notes.warn(format!("{path:?} in {name} is passed over: it is of type {kind}"));
    }

    /// Reads a file's content, and keeps it under the number that is returned.
    fn content(
        &mut self,
        place: &Key,
        member: &mut Member,
        path: &str,
    ) -> Result<u64, SourceError> {
        let number = self.members.next_file();
        let what = format!("{path} in {}", self.name);
        let mut data = DataReader::new(&mut self.archive, &mut member.layout);
        let read = self.feeder.stream_anywhere(&path_of(place), &mut data, &what);
        read.map_err(|error| match error {
            RepositoryError::Stream { source, .. } if is_ours(source.kind()) => {
                failure(self.name, source)
            }
            error => error.into(),
        })?;
        self.feeder.keep(number, std::mem::take(&mut member.layout.holes))?;
        Ok(number)
    }

    /// Leaves out what would make an entry too large.
    fn limit(&mut self, member: &mut Member, path: &str) {
        for owner in [&mut member.user, &mut member.group] {
            if owner.len() > limits::NAME_BYTES {
                owner.clear();
            }
        }
        let mut bytes = 0;
        member.attributes.retain(|attribute| {
            let weight = attribute.name.len() + attribute.value.len();
            let fits = bytes + weight <= MOST_ATTRIBUTE_BYTES;
            if fits {
                bytes += weight;
            } else {
                let name = String::from_utf8_lossy(&attribute.name);
                self.notes.warn(format!("{path:?}: its attribute {name} is too large to store"));
            }
            fits
        });
        if member.has_access_lists {
            self.notes.warn(format!("{path:?}: its access list or label as text is not stored"));
        }
    }
}

/// A path as messages show it: a tar may hold one of megabytes.
fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path.get(..MOST_SHOWN_BYTES).unwrap_or(path)).into_owned()
}

/// Whether an error is one of those by which the archive says what is wrong with it.
fn is_ours(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::InvalidData)
}

fn failure(name: &str, error: std::io::Error) -> SourceError {
    match error.kind() {
        ErrorKind::UnexpectedEof => SourceError::Incomplete(format!(
            "{name} ends without the end-of-archive blocks, so it may be truncated"
        )),
        ErrorKind::InvalidData => SourceError::Malformed(format!("{name} {error}")),
        _ => {
            let what = format!("cannot read {name}");
            RepositoryError::Stream { what, source: error }.into()
        }
    }
}
