//! Whether bytes at hand are those of a content list: told by ids, nothing is fetched.

use std::io::{self, Read};

use nightjar_format::blob::BlobKind;
use nightjar_format::limits;
use nightjar_format::manifest::Content;

use crate::error::{RepositoryError, Result};
use crate::manifest::walk::ContentWalk;
use crate::read::Reader;

impl Reader<'_> {
    /// Whether `source` gives exactly the bytes of a content. Reads it no further than to the first
    /// chunk that differs.
    pub fn content_matches(&self, content: &Content, source: &mut dyn Read) -> Result<bool> {
        let mut walk = ContentWalk::new(content);
        let mut buffer = Vec::new();
        while let Some(chunk) = walk.next(self)? {
            let length = usize::try_from(chunk.length).unwrap_or(usize::MAX);
            if length > limits::BLOB_BYTES {
                return Ok(false);
            }
            buffer.resize(length, 0);
            if !has_more(source.read_exact(&mut buffer).map(|()| 1))? {
                return Ok(false);
            }
            if self.identifier.blob_id(BlobKind::Data, &buffer) != chunk.id {
                return Ok(false);
            }
        }
        match source.read(&mut [0]) {
            // A source that knows where it should end, and did not get there.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            read => Ok(!has_more(read)?),
        }
    }
}

fn has_more(read: io::Result<usize>) -> Result<bool> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        outcome => Ok(outcome.map_err(unreadable)? > 0),
    }
}

fn unreadable(source: io::Error) -> RepositoryError {
    RepositoryError::Stream { what: "cannot read what is compared".into(), source }
}
