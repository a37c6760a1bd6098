//! What is stored of one entry.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use nightjar_format::manifest::{Attribute, Entry, EntryKind, FileContent};
use nightjar_repository::ingest::Feeder;
use rustix::fs::{FileType, OFlags};

use crate::error::SourceError;
use crate::tree::attributes::{AttributeReader, Attributes, Owners};
use crate::tree::file::FileReader;
use crate::tree::links::{self, Links, Name};
use crate::tree::place::Place;
use crate::tree::status::Status;
use crate::{Notes, recognise};

/// Reads entries and hands them to the engine.
pub(crate) struct EntryFeeder<'a, 'b> {
    pub(crate) feeder: &'a mut Feeder<'b>,
    pub(crate) notes: &'a mut Notes,
    read_all: bool,
    links: Links,
    owners: Owners,
    attributes: AttributeReader,
}

impl<'a, 'b> EntryFeeder<'a, 'b> {
    pub(crate) fn new(feeder: &'a mut Feeder<'b>, notes: &'a mut Notes, read_all: bool) -> Self {
        Self {
            feeder,
            notes,
            read_all,
            links: Links::default(),
            owners: Owners::default(),
            attributes: AttributeReader::new(),
        }
    }

    pub(crate) fn file(&mut self, place: &Place<'_>, status: &Status) -> Result<(), SourceError> {
        let name = self.links.meet(status);
        if let Name::Read { last } = name {
            let attributes = self.attributes_at(place, status);
            let entry =
                self.new_entry(place, status, attributes, EntryKind::File(FileContent::default()));
            let number = entry.hard_link.unwrap_or_default();
            return Ok(self.feeder.kept_file(entry, number, last)?);
        }
        let unchanged = match self.read_all {
            true => None,
            false => self.feeder.find_unchanged(&place.name, &status.state()),
        };
        let Some(entry) = unchanged else {
            return self.read(place, name == Name::First);
        };
        if name == Name::First {
            self.links.was_unchanged(status);
        }
        let entry = Entry {
            user: self.owners.user(status.uid()),
            group: self.owners.group(status.gid()),
            hard_link: links::number(status),
            ..entry
        };
        Ok(self.feeder.unchanged(entry, name == Name::First)?)
    }

    fn read(&mut self, place: &Place<'_>, is_first_name: bool) -> Result<(), SourceError> {
        let (file, status) = match open_file(place) {
            Ok(opened) => opened,
            Err(error) => {
                self.unreadable(&place.path, &error);
                return Ok(());
            }
        };
        let mut reader = FileReader::new(&file, &status);
        let mut beginning = Vec::new();
        let is_toc = place.name == b"toc.dat";
        let what = place.path.display().to_string();
        self.feeder.stream_inspected(&place.name, &mut reader, &what, &mut |bytes| {
            if is_toc && beginning.is_empty() {
                beginning = bytes.get(..bytes.len().min(64)).unwrap_or_default().to_vec();
            }
        })?;
        if let Some(error) = reader.error {
            self.unreadable(&place.path, &error);
            return Ok(self.feeder.discard()?);
        }
        // A directory-format dump tells in its table of contents whether it is compressed.
        if beginning.starts_with(b"PGDMP") {
            recognise::advice(&beginning).into_iter().for_each(|advice| self.notes.warn(advice));
        }
        let attributes = self.attributes_of(place, &status, &file);
        let mut entry =
            self.new_entry(place, &status, attributes, EntryKind::File(FileContent::default()));
        let changed = Status::of(&file).map_or(true, |after| after.state() != status.state());
        if changed {
            self.notes.warn(format!("{} changed while it was read", place.path.display()));
        }
        if let (Some(number), true) = (entry.hard_link, is_first_name && !changed)
            && self.links.expects_more(&status)
        {
            self.links.was_read(&status);
            self.feeder.keep(number, reader.passed)?;
            return Ok(self.feeder.kept_file(entry, number, false)?);
        }
        if let EntryKind::File(content) = &mut entry.kind {
            content.holes = reader.passed;
            content.changed_while_read = changed;
        }
        Ok(self.feeder.file(entry)?)
    }

    pub(crate) fn special(
        &mut self,
        place: &Place<'_>,
        status: &Status,
        kind: FileType,
    ) -> Result<(), SourceError> {
        let (major, minor) = status.stands_for();
        let kind = match kind {
            FileType::Symlink => match place.target() {
                Ok(target) => EntryKind::Symlink { target },
                Err(error) => {
                    self.unreadable(&place.path, &error);
                    return Ok(());
                }
            },
            FileType::Fifo => EntryKind::Fifo,
            FileType::CharacterDevice => EntryKind::CharacterDevice { major, minor },
            FileType::BlockDevice => EntryKind::BlockDevice { major, minor },
            _ => EntryKind::Socket,
        };
        let attributes = self.attributes_at(place, status);
        let entry = self.new_entry(place, status, attributes, kind);
        Ok(self.feeder.other(entry)?)
    }

    pub(crate) fn new_entry(
        &mut self,
        place: &Place<'_>,
        status: &Status,
        attributes: Vec<Attribute>,
        kind: EntryKind,
    ) -> Entry {
        Entry {
            mode: status.mode(),
            uid: status.uid(),
            gid: status.gid(),
            user: self.owners.user(status.uid()),
            group: self.owners.group(status.gid()),
            modified: status.modified(),
            origin: Some(status.origin()),
            hard_link: links::number(status),
            attributes,
            ..Entry::new(&place.name, kind)
        }
    }

    pub(crate) fn attributes_of(
        &mut self,
        place: &Place<'_>,
        status: &Status,
        fd: impl AsFd,
    ) -> Vec<Attribute> {
        match self.known_attributes(place, status) {
            Some(known) => known,
            None => {
                let read = self.attributes.of(fd);
                self.accept(place, read)
            }
        }
    }

    /// Of what was not opened.
    pub(crate) fn attributes_at(&mut self, place: &Place<'_>, status: &Status) -> Vec<Attribute> {
        match self.known_attributes(place, status) {
            Some(known) => known,
            None => {
                let read = self.attributes.at(place);
                self.accept(place, read)
            }
        }
    }

    /// Attributes do not change without ctime.
    fn known_attributes(&mut self, place: &Place<'_>, status: &Status) -> Option<Vec<Attribute>> {
        let entry = self.feeder.find_untouched(&place.name, &status.origin())?;
        Some(entry.attributes.clone())
    }

    fn accept(
        &mut self,
        place: &Place<'_>,
        read: rustix::io::Result<Attributes>,
    ) -> Vec<Attribute> {
        let path = place.path.display();
        match read {
            Ok((attributes, refused)) => {
                for name in refused {
                    self.notes.warn(format!("{path}: cannot read its attribute {name}"));
                }
                attributes
            }
            Err(error) => {
                self.notes.warn(format!("{path}: cannot read its attributes: {error}"));
                Vec::new()
            }
        }
    }

    pub(crate) fn unreadable(&mut self, path: &Path, error: &io::Error) {
        self.notes.unreadable += 1;
        self.notes.warn(format!("cannot read {}: {error}", path.display()));
    }
}

fn open_file(place: &Place<'_>) -> io::Result<(File, Status)> {
    let file = File::from(place.open(OFlags::empty())?);
    let status = Status::of(&file)?;
    if status.kind() == FileType::RegularFile {
        Ok((file, status))
    } else {
        Err(io::Error::other("it was replaced by something else while it was looked at"))
    }
}
