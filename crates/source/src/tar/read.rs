//! From the blocks of a tar to its members.
//!
//! The crate `tar` knows the fields of a header. Its iterator is not used: it takes an end of the
//! stream for the end of the archive, splits extended headers at newlines, which values may hold,
//! reads them whole however long they say they are, and knows only one kind of sparse files.
//!
//! Errors are of two kinds: [`io::ErrorKind::UnexpectedEof`] where the stream ends too early, and
//! [`io::ErrorKind::InvalidData`] where it is no tar. All others are those of the source.

use std::io::{self, ErrorKind, Read};

use nightjar_format::manifest::{Attribute, Timestamp};
use tar::{EntryType, Header};

use super::records::Records;
use super::sparse::{self, Layout};
use crate::recognise;

/// What headers and data are padded to, in bytes.
pub(crate) const BLOCK: usize = 512;
/// The longest extended header, and the most that several say together, in bytes: they stand in
/// memory.
const LONGEST_EXTENSION: u64 = 16 << 20;
/// Owns what a header gives to nobody, or to a number of more than 32 bits.
const NOBODY: u32 = 65_534;

/// A tar that is read from front to back.
pub(crate) struct Archive<R> {
    source: R,
    /// Bytes that were read.
    pub(crate) position: u64,
    /// Bytes of the member's data that were not.
    left: u64,
    /// Bytes between its data and the next block.
    padding: u64,
    /// Records for all members that follow.
    global: Records,
}

/// A member, as its header tells; its data is read from the archive.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) user: Vec<u8>,
    pub(crate) group: Vec<u8>,
    pub(crate) modified: Timestamp,
    pub(crate) attributes: Vec<Attribute>,
    /// It has an access list or a label that is not among the attributes.
    pub(crate) has_access_lists: bool,
    pub(crate) layout: Layout,
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Symlink { target: Vec<u8> },
    HardLink { target: Vec<u8> },
    Fifo,
    CharacterDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
    Unknown(u8),
}

/// What was said of the member to come.
#[derive(Default)]
struct Announced {
    records: Records,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

pub(crate) fn malformed(why: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why.into())
}

impl<R: Read> Archive<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { source, position: 0, left: 0, padding: 0, global: Records::default() }
    }

    /// The next member; nothing when the archive says that it ends. What was not read of the last
    /// one is passed over.
    pub(crate) fn next(&mut self) -> io::Result<Option<Member>> {
        let mut announced = Announced::default();
        loop {
            self.pass()?;
            let Some(header) = self.header()? else { return Ok(None) };
            match header.entry_type() {
                EntryType::XHeader => {
                    let records = self.records(&header)?;
                    update(&mut announced.records, records)?;
                }
                EntryType::XGlobalHeader => {
                    let records = self.records(&header)?;
                    update(&mut self.global, records)?;
                }
                EntryType::GNULongName => announced.name = Some(self.long_name(&header)?),
                EntryType::GNULongLink => announced.link = Some(self.long_name(&header)?),
                _ => return self.member(&header, announced).map(Some),
            }
        }
    }

    /// A header, if it is not the end of the archive.
    fn header(&mut self) -> io::Result<Option<Header>> {
        let is_first = self.position == 0;
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        let length = self.read_up_to(block)?;
        if is_first && let Some(what) = recognise::compression(block) {
            return Err(malformed(format!(
                "is {what}, and no plain tar: leave the compression to nightjar (`tar -cf -` \
                 without -z)"
            )));
        }
        if length < BLOCK {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let sum = checksum(block);
        match header.cksum() {
            Ok(stored) if stored == sum => Ok(Some(header)),
            _ if is_first => Err(malformed("is not a tar: it begins with no member's header")),
            _ => Err(malformed("holds no member's header where one belongs")),
        }
    }

    fn member(&mut self, header: &Header, announced: Announced) -> io::Result<Member> {
        let mut records = self.global.clone();
        records.update(announced.records);
        let name = records
            .get("GNU.sparse.name")
            .or(records.get("path"))
            .map(<[u8]>::to_vec)
            .or(announced.name)
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let link = || {
            let told = records.get("linkpath").map(<[u8]>::to_vec).or(announced.link);
            told.unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned())
        };
        let device = || (number(header.device_major()), number(header.device_minor()));
        let kind = match header.entry_type().as_byte() {
            // As tar wrote directories before it had a type for them.
            b'0' if name.ends_with(b"/") => Kind::Directory,
            b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink { target: link() },
            b'2' => Kind::Symlink { target: link() },
            b'3' => Kind::CharacterDevice { major: device().0, minor: device().1 },
            b'4' => Kind::BlockDevice { major: device().0, minor: device().1 },
            b'5' | b'D' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => Kind::Unknown(other),
        };
        let layout = self.begin_data(header, &records)?;
        Ok(Member {
            path: name,
            kind,
            mode: header.mode().unwrap_or(0o600) & 0o7777,
            uid: owner(records.number("uid"), header.uid()),
            gid: owner(records.number("gid"), header.gid()),
            user: records.get("uname").or(header.username_bytes()).unwrap_or_default().to_vec(),
            group: records.get("gname").or(header.groupname_bytes()).unwrap_or_default().to_vec(),
            modified: records.modified().unwrap_or_else(|| Timestamp {
                // Times before 1970 stand there as negative numbers.
                seconds: header.mtime().unwrap_or_default().cast_signed(),
                nanoseconds: 0,
            }),
            attributes: records.attributes(),
            has_access_lists: records.has_access_lists(),
            layout,
        })
    }

    /// Learns how much data the member has, and where its holes are.
    fn begin_data(&mut self, header: &Header, records: &Records) -> io::Result<Layout> {
        // Links, directories and devices have none, whatever size is told.
        if let b'1'..=b'6' = header.entry_type().as_byte() {
            return Ok(Layout::default());
        }
        let size = match records.number("size").map_err(malformed)? {
            Some(size) => size,
            None => size_of(header)?,
        };
        let map = if header.entry_type() == EntryType::GNUSparse {
            let map = sparse::old_map(self, header)?;
            self.begin(size);
            Some(map)
        } else {
            self.begin(size);
            sparse::pax_map(self, records)?
        };
        map.map_or_else(|| Ok(Layout::default()), |map| Layout::new(&map, self.left))
    }

    fn begin(&mut self, size: u64) {
        self.left = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    /// Passes over what is left of the member.
    fn pass(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink())?;
        let mut padding = [0; BLOCK];
        let length = usize::try_from(std::mem::take(&mut self.padding)).unwrap_or(BLOCK);
        self.fill(padding.get_mut(..length).unwrap_or_default())
    }

    /// The data of a member that says something of others.
    fn extension(&mut self, header: &Header) -> io::Result<Vec<u8>> {
        let size = size_of(header)?;
        if size > LONGEST_EXTENSION {
            return Err(malformed("has an extended header that is too long"));
        }
        self.begin(size);
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn records(&mut self, header: &Header) -> io::Result<Records> {
        let bytes = self.extension(header)?;
        Records::parse(&bytes).ok_or_else(|| malformed("has a damaged extended header"))
    }

    /// GNU tar ends a name with a NUL.
    fn long_name(&mut self, header: &Header) -> io::Result<Vec<u8>> {
        let mut name = self.extension(header)?;
        while name.pop_if(|byte| *byte == 0).is_some() {}
        Ok(name)
    }

    /// Reads to the end of the stream, behind the end of the archive. Whether there was anything
    /// but zeros.
    pub(crate) fn drain(&mut self) -> io::Result<bool> {
        let mut buffer = vec![0; 64 << 10];
        let mut something = false;
        loop {
            let length = self.read_up_to(&mut buffer)?;
            something |= buffer.iter().take(length).any(|byte| *byte != 0);
            if length < buffer.len() {
                return Ok(something);
            }
        }
    }

    /// Fills a buffer with what follows, be it data or not.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let length = buffer.len();
        if self.read_up_to(buffer)? < length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn read_up_to(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut length = 0;
        while let Some(room) = buffer.get_mut(length..).filter(|room| !room.is_empty()) {
            match self.source.read(room) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.position += length as u64;
        Ok(length)
    }
}

/// The data of the member that is open.
impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if room == 0 {
            return Ok(0);
        }
        let read = self.source.read(buffer.get_mut(..room).unwrap_or_default())?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.position += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

/// Adds records to those that were read before.
fn update(records: &mut Records, newer: Records) -> io::Result<()> {
    records.update(newer);
    if records.weight() > LONGEST_EXTENSION {
        return Err(malformed("has extended headers that are too long"));
    }
    Ok(())
}

/// The sum of a header's bytes, those of the sum itself taken as spaces.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    let bytes = block.iter().enumerate();
    bytes.map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) }).sum()
}

fn size_of(header: &Header) -> io::Result<u64> {
    let size = header.entry_size().map_err(|_| malformed("has a member without a size"))?;
    if size > i64::MAX.cast_unsigned() {
        return Err(malformed("has a member of an impossible size"));
    }
    Ok(size)
}

fn owner(told: Result<Option<u64>, String>, field: io::Result<u64>) -> u32 {
    let id = told.ok().flatten().or(field.ok());
    id.and_then(|id| u32::try_from(id).ok()).unwrap_or(NOBODY)
}

fn number(field: io::Result<Option<u32>>) -> u32 {
    field.ok().flatten().unwrap_or_default()
}
