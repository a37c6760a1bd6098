//! Bundles: copies of small objects, many in one object (format-spec, chapter 12).

use serde::{Deserialize, Serialize};

use crate::FormatError;
use crate::ids::{Digest, RepositoryId, SlotId};
use crate::limits;
use crate::object::ObjectName;
use crate::reader::FieldReader;
use crate::record::{self, Record, strictly_sorted};
use crate::slot::Signature;

const MAGIC: &[u8; 4] = b"NJB1";
const WHAT: &str = "bundle";

/// A slot id and a signature, at the end of a bundle.
const SIGNATURE_LEN: usize = SlotId::LEN + Signature::LEN;

/// What a bundle holds copies of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BundleKind {
    /// Index objects.
    Index,
    /// Snapshots.
    Snapshots,
    /// Ledger records, for the slot that copied them.
    Ledger(SlotId),
}

impl BundleKind {
    /// The folder that bundles of this kind lie in.
    pub fn folder(self) -> String {
        match self {
            Self::Index => "bundles/index".to_owned(),
            Self::Snapshots => "bundles/snapshots".to_owned(),
            Self::Ledger(slot) => format!("bundles/ledger/{slot}"),
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

/// A bundle, taken apart.
#[derive(Debug)]
pub struct OpenedBundle<'a> {
    /// Which copies it holds.
    pub table: BundleTable,
    /// They themselves, by name. What they hold was not looked at.
    pub copies: Vec<(ObjectName, &'a [u8])>,
    /// All that is signed.
    pub signed: &'a [u8],
    /// Whose signature it bears.
    pub signer: SlotId,
    /// Over [`signed_message`].
    pub signature: Signature,
}

/// Puts copies of objects into one, which is yet to be signed; they must be sorted by the text of
/// their names.
pub fn to_signed(copies: &[(ObjectName, impl AsRef<[u8]>)]) -> Vec<u8> {
    let entry = |(name, copy): &(ObjectName, _)| TableEntry {
        name: name.to_string(),
        length: u32::try_from(AsRef::<[u8]>::as_ref(copy).len()).unwrap_or(u32::MAX),
    };
    let table = record::encode(&BundleTable { entries: copies.iter().map(entry).collect() });
    let table_len = u32::try_from(table.len()).unwrap_or(u32::MAX);
    let bytes: usize = copies.iter().map(|(_, copy)| copy.as_ref().len()).sum();
    let mut signed =
        Vec::with_capacity(BundleTable::PREFIX_LEN + table.len() + bytes + SIGNATURE_LEN);
    signed.extend_from_slice(MAGIC);
    signed.extend_from_slice(&table_len.to_le_bytes());
    signed.extend_from_slice(&table);
    copies.iter().for_each(|(_, copy)| signed.extend_from_slice(copy.as_ref()));
    signed
}

/// Adds the signature, which makes it a bundle.
pub fn to_object(mut signed: Vec<u8>, signer: SlotId, signature: &Signature) -> Vec<u8> {
    signed.extend_from_slice(signer.as_bytes());
    signed.extend_from_slice(&signature.to_bytes());
    signed
}

/// The bytes that a bundle's signature covers, behind its context string; `digest` is BLAKE3 of
/// everything before the signer.
pub fn signed_message(repository: &RepositoryId, name: &ObjectName, digest: &Digest) -> Vec<u8> {
    let name = name.to_string();
    [repository.as_bytes().as_slice(), name.as_bytes(), digest.as_bytes()].concat()
}

/// Takes a bundle apart; its signature is yet to be checked.
pub fn from_object(object: &[u8]) -> Result<OpenedBundle<'_>, FormatError> {
    let end = object.len().checked_sub(SIGNATURE_LEN);
    let parts = end.and_then(|end| object.split_at_checked(end));
    let (signed, ending) = parts.ok_or(FormatError::malformed(WHAT, "it is too short"))?;
    let mut fields = FieldReader::new(WHAT, ending);
    let signer = SlotId(fields.array()?);
    let signature = Signature::from_bytes(fields.array()?);
    let table_len = BundleTable::encoded_len(signed)?;
    let mut fields = FieldReader::new(WHAT, signed);
    fields.take(BundleTable::PREFIX_LEN)?;
    let table: BundleTable = record::decode(fields.take(table_len)?)?;
    let mut copies = Vec::with_capacity(table.entries.len());
    for (name, entry) in table.names().zip(&table.entries) {
        copies.push((name, fields.take(entry.length as usize)?));
    }
    if !fields.rest().is_empty() {
        return Err(FormatError::malformed(WHAT, "bytes follow its copies"));
    }
    Ok(OpenedBundle { table, copies, signed, signer, signature })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{IndexId, SessionId};

    fn object(copies: &[(ObjectName, &[u8])]) -> Vec<u8> {
        to_object(to_signed(copies), SlotId([7; 16]), &Signature::from_bytes([8; 64]))
    }

    #[test]
    fn a_bundle_gives_its_copies_back() {
        let copies = [
            (ObjectName::Index(IndexId([1; 16])), b"one".as_slice()),
            (ObjectName::Ledger(7), b"three"),
            (ObjectName::Snapshot(SessionId([2; 16])), b""),
        ];
        let object = object(&copies);
        let opened = from_object(&object).unwrap();
        assert_eq!(opened.copies, copies);
        assert!(opened.table.names().eq(copies.iter().map(|(name, _)| *name)));
        assert_eq!(
            (opened.signer, opened.signed),
            (SlotId([7; 16]), to_signed(&copies).as_slice())
        );
        assert!(from_object(&[object.as_slice(), b"x"].concat()).is_err());
        for len in 0..object.len() {
            assert!(from_object(object.get(..len).unwrap()).is_err(), "{len}");
        }
    }

    #[test]
    fn what_is_no_small_object_is_not_taken_out_of_a_bundle() {
        let index = ObjectName::Index(IndexId([1; 16]));
        assert!(from_object(&object(&[(index, b"")])).is_ok());
        assert!(from_object(&object(&[(ObjectName::Repository, b"")])).is_err());
        assert!(from_object(&object(&[(index, b""), (index, b"")])).is_err());
    }
}
