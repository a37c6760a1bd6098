//! Takes fixed-width fields off the front of bytes that may be too short.

use crate::FormatError;

/// Reads the fields of `what` in order.
pub(crate) struct FieldReader<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> FieldReader<'a> {
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes }
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], FormatError> {
        let (head, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(FormatError::malformed(self.what, "it is too short"))?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FormatError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn magic(&mut self, magic: &[u8; 4]) -> Result<(), FormatError> {
        if self.take(4)? == magic {
            Ok(())
        } else {
            Err(FormatError::malformed(self.what, "it does not begin with its magic"))
        }
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }
}
