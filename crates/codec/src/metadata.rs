//! Metadata objects: sealed, signed, compressed, padded (format-spec, chapter 1).

use nightjar_format::object::{
    MetadataHeader, MetadataKind, MetadataPayload, ObjectName, padme, signed_message,
};
use nightjar_format::record::{self, Record};
use nightjar_format::slot::{Role, Signature};
use nightjar_format::{RepositoryId, SlotId, limits};

use crate::aead::{Cipher, TAG_LEN, ZERO_NONCE};
use crate::compress;
use crate::digest::{Purpose, derive_key};
use crate::sign::{self, SignKey, SignatureContext};
use crate::{CodecError, Random, SecretKey};

/// Who seals, and with what.
pub struct Sealer<'a> {
    /// Which repository.
    pub repository: RepositoryId,
    /// The current epoch.
    pub epoch: u32,
    /// Its metadata key.
    pub metadata_key: &'a SecretKey,
    /// Who signs.
    pub signer: SlotId,
    /// With what.
    pub sign_key: &'a SignKey,
}

/// What is believed about epochs and slots.
pub trait Trust {
    /// Which repository.
    fn repository(&self) -> RepositoryId;
    /// The metadata key of an epoch.
    fn metadata_key(&self, epoch: u32) -> Option<&SecretKey>;
    /// Role and public key of a slot that was a member of the epoch.
    fn member(&self, epoch: u32, slot: SlotId) -> Option<(Role, [u8; 32])>;
}

/// A record and who vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened<R> {
    /// The record.
    pub record: R,
    /// Who signed it.
    pub signer: SlotId,
    /// In which role.
    pub role: Role,
    /// Under which epoch.
    pub epoch: u32,
}

const WHAT: &str = "metadata object";

fn cipher(metadata_key: &SecretKey, header: &MetadataHeader) -> Cipher {
    let parts = [metadata_key.expose().as_slice(), &header.salt];
    Cipher::new(&derive_key(Purpose::MetadataObject, &parts))
}

fn associated(repository: &RepositoryId, header: &MetadataHeader, name: &ObjectName) -> Vec<u8> {
    [repository.as_bytes().as_slice(), &header.to_bytes(), name.to_string().as_bytes()].concat()
}

/// Length of the object that holds a frame.
fn padded_len(frame: &[u8]) -> usize {
    let len = MetadataHeader::LEN + MetadataPayload::OVERHEAD + frame.len() + TAG_LEN;
    usize::try_from(padme(len as u64)).unwrap_or(usize::MAX)
}

/// Makes the object that holds `record` under `name`.
pub fn seal<R: Record>(
    sealer: &Sealer<'_>,
    kind: MetadataKind,
    name: &ObjectName,
    record: &R,
    random: &dyn Random,
) -> Result<Vec<u8>, CodecError> {
    let header = MetadataHeader { kind, epoch: sealer.epoch, salt: random.array() };
    let frame = compress::compress_always(&record::encode(record))?;
    let message = signed_message(&sealer.repository, &header, name, &frame);
    let signature = sealer.sign_key.sign(SignatureContext::Metadata, &message);
    let payload = MetadataPayload { signer: sealer.signer, signature, frame: &frame };
    let padded = padded_len(&frame);
    if padded > limits::METADATA_OBJECT_BYTES {
        return Err(CodecError::Refused("the metadata object would exceed its limit"));
    }
    let plaintext = payload.to_bytes(padded - MetadataHeader::LEN - TAG_LEN);
    let ciphertext = cipher(sealer.metadata_key, &header).seal(
        ZERO_NONCE,
        &associated(&sealer.repository, &header, name),
        &plaintext,
    )?;
    Ok([header.to_bytes().as_slice(), &ciphertext].concat())
}

/// Opens the object that stands under `name` and checks that a member signed it.
pub fn open<R: Record>(
    trust: &dyn Trust,
    kind: MetadataKind,
    name: &ObjectName,
    object: &[u8],
) -> Result<Opened<R>, CodecError> {
    let (header, ciphertext) = MetadataHeader::split(object)?;
    if header.kind != kind {
        return Err(CodecError::NotAuthentic { what: WHAT });
    }
    let metadata_key =
        trust.metadata_key(header.epoch).ok_or(CodecError::UnknownEpoch(header.epoch))?;
    let repository = trust.repository();
    let plaintext = cipher(metadata_key, &header).open(
        ZERO_NONCE,
        &associated(&repository, &header, name),
        WHAT,
        ciphertext,
    )?;
    let MetadataPayload { signer, signature, frame } = MetadataPayload::parse(&plaintext)?;
    let role = check_signer(trust, &header, name, signer, &signature, frame)?;
    // With the padding fixed too, nobody can give a signed record other bytes.
    if object.len() != padded_len(frame) {
        return Err(CodecError::NotAuthentic { what: WHAT });
    }
    let record = compress::decompress_bounded(frame, limits::RECORD_BYTES)?;
    Ok(Opened { record: record::decode(&record)?, signer, role, epoch: header.epoch })
}

fn check_signer(
    trust: &dyn Trust,
    header: &MetadataHeader,
    name: &ObjectName,
    signer: SlotId,
    signature: &Signature,
    frame: &[u8],
) -> Result<Role, CodecError> {
    let (role, public) =
        trust.member(header.epoch, signer).ok_or(CodecError::UntrustedSigner(signer))?;
    let message = signed_message(&trust.repository(), header, name, frame);
    sign::verify(&public, SignatureContext::Metadata, &message, signature, WHAT)?;
    Ok(role)
}
