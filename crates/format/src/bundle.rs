//! Bundles: copies of small objects, many in one object (format-spec, chapter 12).

use serde::{Deserialize, Serialize};

use crate::FormatError;
use crate::limits;
use crate::object::ObjectName;
use crate::reader::FieldReader;
use crate::record::{self, Record, strictly_sorted};

const MAGIC: &[u8; 4] = b"NJB1";
const WHAT: &str = "bundle";

/// What a bundle holds copies of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BundleKind {
    /// Index objects.
    Index,
    /// Snapshots and ledger records.
    Records,
}

impl BundleKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Index, Self::Records];

    /// The folder that bundles of this kind lie in.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Index => "bundles/index",
            Self::Records => "bundles/records",
        }
    }
}

/// Says which copies a bundle holds, in the order in which they lie there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleTable {
    entries: Vec<TableEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TableEntry {
    name: String,
    length: u32,
}

impl Record for BundleTable {
    const NAME: &'static str = "bundle's table";
    const LIMIT_BYTES: usize = limits::BUNDLE_TABLE_BYTES;

    fn validate(&self) -> Result<(), FormatError> {
        let known = self.entries.iter().all(|entry| {
            matches!(
                ObjectName::parse(&entry.name),
                Some(ObjectName::Index(_) | ObjectName::Snapshot(_) | ObjectName::Ledger(..))
            )
        });
        if known && strictly_sorted(&self.entries, |entry| entry.name.as_str()) {
            Ok(())
        } else {
            Err(FormatError::malformed(Self::NAME, "its names are unknown or not sorted"))
        }
    }
}

impl BundleTable {
    /// Bytes that say how long the table is, at the beginning of a bundle.
    pub const PREFIX_LEN: usize = 8;

    /// The length of the table behind a bundle's first bytes.
    pub fn encoded_len(prefix: &[u8]) -> Result<usize, FormatError> {
        let mut fields = FieldReader::new(WHAT, prefix);
        fields.magic(MAGIC)?;
        let len = fields.u32()? as usize;
        if len > limits::BUNDLE_TABLE_BYTES {
            return Err(FormatError::TooLarge {
                what: Self::NAME,
                size: len as u64,
                limit: limits::BUNDLE_TABLE_BYTES as u64,
            });
        }
        Ok(len)
    }

    /// The names of the objects that were copied, sorted.
    pub fn names(&self) -> impl Iterator<Item = ObjectName> {
        self.entries.iter().filter_map(|entry| ObjectName::parse(&entry.name))
    }
}

/// A bundle's table, and its copies by name.
pub type OpenedBundle<'a> = (BundleTable, Vec<(ObjectName, &'a [u8])>);

/// Puts copies of objects into one; they must be sorted by the text of their names.
pub fn to_object(copies: &[(ObjectName, impl AsRef<[u8]>)]) -> Vec<u8> {
    let entry = |(name, copy): &(ObjectName, _)| TableEntry {
        name: name.to_string(),
        length: u32::try_from(AsRef::<[u8]>::as_ref(copy).len()).unwrap_or(u32::MAX),
    };
    let table = record::encode(&BundleTable { entries: copies.iter().map(entry).collect() });
    let table_len = u32::try_from(table.len()).unwrap_or(u32::MAX);
    let bytes: usize = copies.iter().map(|(_, copy)| copy.as_ref().len()).sum();
    let mut object = Vec::with_capacity(BundleTable::PREFIX_LEN + table.len() + bytes);
    object.extend_from_slice(MAGIC);
    object.extend_from_slice(&table_len.to_le_bytes());
    object.extend_from_slice(&table);
    copies.iter().for_each(|(_, copy)| object.extend_from_slice(copy.as_ref()));
    object
}

/// Takes a bundle apart. What the copies hold is not looked at.
pub fn from_object(object: &[u8]) -> Result<OpenedBundle<'_>, FormatError> {
    let table_len = BundleTable::encoded_len(object)?;
    let mut fields = FieldReader::new(WHAT, object);
    fields.take(BundleTable::PREFIX_LEN)?;
    let table: BundleTable = record::decode(fields.take(table_len)?)?;
    let mut copies = Vec::with_capacity(table.entries.len());
    for (name, entry) in table.names().zip(&table.entries) {
        copies.push((name, fields.take(entry.length as usize)?));
    }
    if !fields.rest().is_empty() {
        return Err(FormatError::malformed(WHAT, "bytes follow its end"));
    }
    Ok((table, copies))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{IncarnationId, IndexId, SessionId};

    #[test]
    fn a_bundle_gives_its_copies_back() {
        let copies = vec![
            (ObjectName::Ledger(IncarnationId([1; 8]), 3), b"three".to_vec()),
            (ObjectName::Snapshot(SessionId([2; 16])), vec![]),
        ];
        let object = to_object(&copies);
        let (table, found) = from_object(&object).unwrap();
        let expected: Vec<_> = copies.iter().map(|(name, copy)| (*name, copy.as_slice())).collect();
        assert_eq!(found, expected);
        assert!(table.names().eq(copies.iter().map(|(name, _)| *name)));
        assert!(from_object(&[object.as_slice(), b"x"].concat()).is_err());
        for len in 0..object.len() {
            assert!(from_object(object.get(..len).unwrap()).is_err(), "{len}");
        }
    }

    #[test]
    fn what_is_no_small_object_is_not_taken_out_of_a_bundle() {
        let index = ObjectName::Index(IndexId([1; 16]));
        assert!(from_object(&to_object(&[(index, [])])).is_ok());
        assert!(from_object(&to_object(&[(ObjectName::Repository, [])])).is_err());
        assert!(from_object(&to_object(&[(index, []), (index, [])])).is_err());
    }
}
