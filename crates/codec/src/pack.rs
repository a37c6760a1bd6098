//! Packs: their keys, their sealed blobs, footers and trailers (format-spec, chapter 4).

use nightjar_format::blob::{BlobEntry, BlobTable};
use nightjar_format::object::padme;
use nightjar_format::pack::{Footer, KeyMaterial, PackHeader, SealedPart, Trailer};
use nightjar_format::record;
use nightjar_format::{BlobId, PackId, RepositoryId, limits};
use zeroize::Zeroizing;

use crate::aead::{Cipher, TAG_LEN, ZERO_NONCE};
use crate::compress;
use crate::digest::{Purpose, derive_key};
use crate::hybrid::{PrivateKey, PublicKey};
use crate::{CodecError, Random, SecretKey};

/// Seals and opens what one pack holds.
pub struct PackCipher {
    repository: RepositoryId,
    header: PackHeader,
    key: SecretKey,
    cipher: Cipher,
}

/// Bytes of a pack's header and key, sealed for safe keeping on one machine.
pub const KEPT_KEY_LEN: usize = PackHeader::LEN + 32 + TAG_LEN;

fn key_info(repository: &RepositoryId, header: &PackHeader) -> Vec<u8> {
    let context = b"nightjar format 1: pack key";
    let epoch = header.epoch.to_le_bytes();
    [context.as_slice(), repository.as_bytes(), &epoch, header.session.as_bytes()].concat()
}

/// Keys of the epoch that a pack is written under.
pub enum PackKeySource<'a> {
    /// Data packs are sealed to a public key.
    Data(&'a PublicKey),
    /// Tree packs derive theirs from the metadata key.
    Tree(&'a SecretKey),
}

impl PackCipher {
    /// Begins a pack: its cipher, and the object's bytes up to the first blob.
    pub fn create(
        repository: RepositoryId,
        header: PackHeader,
        source: &PackKeySource<'_>,
        random: &dyn Random,
    ) -> Result<(Self, Vec<u8>), CodecError> {
        let mut object = header.to_bytes();
        let key = match source {
            PackKeySource::Data(public) => {
                let key = SecretKey::random(random);
                let info = key_info(&repository, &header);
                let (encapsulated, ciphertext) = public.seal(&info, key.expose(), random)?;
                object.extend_from_slice(&encapsulated);
                object.extend_from_slice(&ciphertext);
                key
            }
            PackKeySource::Tree(metadata_key) => {
                let salt: [u8; 32] = random.array();
                object.extend_from_slice(&salt);
                tree_key(metadata_key, &salt)
            }
        };
        Ok((Self::new(repository, header, key), object))
    }

    /// Opens a pack from its first bytes, at least [`PackHeader::blobs_offset`] of them.
    pub fn open(
        repository: RepositoryId,
        beginning: &[u8],
        data_secret: impl FnOnce(u32) -> Option<PrivateKey>,
        metadata_key: impl FnOnce(u32) -> Option<SecretKey>,
    ) -> Result<Self, CodecError> {
        let (header, material) = PackHeader::parse(beginning)?;
        let key = match material {
            KeyMaterial::Data { encapsulated, ciphertext } => {
                let secret = data_secret(header.epoch).ok_or(CodecError::NoDataKey)?;
                let info = key_info(&repository, &header);
                let key =
                    Zeroizing::new(secret.open(&info, encapsulated, ciphertext, "pack header")?);
                let key =
                    key.as_array::<32>().ok_or(CodecError::NotAuthentic { what: "pack header" })?;
                SecretKey::new(*key)
            }
            KeyMaterial::Tree { salt } => {
                let metadata_key =
                    metadata_key(header.epoch).ok_or(CodecError::UnknownEpoch(header.epoch))?;
                tree_key(&metadata_key, &salt)
            }
        };
        Ok(Self::new(repository, header, key))
    }

    fn new(repository: RepositoryId, header: PackHeader, key: SecretKey) -> Self {
        let cipher = Cipher::new(&key);
        Self { repository, header, key, cipher }
    }

    /// Seals header and key under a key of this machine, so that the pack can be opened here
    /// without the slot's secrets.
    pub fn keep_key(&self, machine: &SecretKey, id: &PackId) -> Result<Vec<u8>, CodecError> {
        let plaintext = Zeroizing::new([&self.header.to_bytes()[..], self.key.expose()].concat());
        kept_cipher(machine, id).seal(ZERO_NONCE, self.repository.as_bytes(), &plaintext)
    }

    /// Opens a pack by what [`Self::keep_key`] made.
    pub fn open_kept(
        repository: RepositoryId,
        machine: &SecretKey,
        id: &PackId,
        kept: &[u8],
    ) -> Result<Self, CodecError> {
        let what = "kept pack key";
        let opened = kept_cipher(machine, id).open(ZERO_NONCE, repository.as_bytes(), what, kept);
        let plaintext = Zeroizing::new(opened?);
        let (header, key) =
            plaintext.split_last_chunk::<32>().ok_or(CodecError::NotAuthentic { what })?;
        Ok(Self::new(repository, PackHeader::from_bytes(header)?, SecretKey::new(*key)))
    }

    /// The pack's header.
    pub fn header(&self) -> &PackHeader {
        &self.header
    }

    fn blob_associated(&self, id: &BlobId) -> [u8; 49] {
        let mut out = [0; 49];
        let kind = [self.header.kind as u8];
        let bytes = self.repository.0.iter().chain(&kind).chain(&id.0);
        for (to, from) in out.iter_mut().zip(bytes) {
            *to = *from;
        }
        out
    }

    /// Seals the payload of a blob in place; the last [`TAG_LEN`] bytes of `buffer` are room.
    pub fn seal_blob(&self, id: &BlobId, offset: u32, buffer: &mut [u8]) -> Result<(), CodecError> {
        let nonce = SealedPart::Blob { offset }.nonce();
        self.cipher.seal_in_place(nonce, &self.blob_associated(id), buffer)
    }

    /// Opens a sealed blob in place: its payload.
    pub fn open_blob<'a>(
        &self,
        entry: &BlobEntry,
        buffer: &'a mut [u8],
    ) -> Result<&'a [u8], CodecError> {
        let nonce = SealedPart::Blob { offset: entry.offset }.nonce();
        let associated = self.blob_associated(&entry.id);
        self.cipher.open_in_place(nonce, &associated, "blob", buffer).map(|payload| &*payload)
    }

    fn part_associated(&self) -> Vec<u8> {
        [self.repository.as_bytes().as_slice(), &self.header.to_bytes()].concat()
    }

    /// Appends footer, padding and trailer to an object that ends with its last blob.
    pub fn finish(&self, object: &mut Vec<u8>, table: BlobTable) -> Result<(), CodecError> {
        let frame = compress::compress_always(&record::encode(&Footer { table }))?;
        let without_padding = object.len() + frame.len() + TAG_LEN + Trailer::SEALED_LEN;
        let padded = usize::try_from(padme(without_padding as u64)).unwrap_or(usize::MAX);
        if padded as u64 > limits::PACK_BYTES {
            return Err(CodecError::Refused("the pack would exceed its limit"));
        }
        let too_long = |_| CodecError::Refused("the footer would exceed its limit");
        let trailer = Trailer {
            footer_len: u32::try_from(frame.len() + TAG_LEN + padded - without_padding)
                .map_err(too_long)?,
            frame_len: u32::try_from(frame.len()).map_err(too_long)?,
        };
        let associated = self.part_associated();
        let start = object.len();
        object.extend_from_slice(&frame);
        object.resize(start + trailer.footer_len as usize, 0);
        let footer = object.get_mut(start..).unwrap_or_default();
        self.cipher.seal_in_place(SealedPart::Footer.nonce(), &associated, footer)?;
        let nonce = SealedPart::Trailer.nonce();
        object.extend_from_slice(&self.cipher.seal(nonce, &associated, &trailer.to_bytes())?);
        Ok(())
    }

    /// Opens the trailer of a pack of `pack_size` bytes: the last [`Trailer::SEALED_LEN`] of them.
    pub fn open_trailer(&self, sealed: &[u8], pack_size: u64) -> Result<Trailer, CodecError> {
        let nonce = SealedPart::Trailer.nonce();
        let plain = self.cipher.open(nonce, &self.part_associated(), "pack trailer", sealed)?;
        Ok(Trailer::parse(&plain, self.header.kind, pack_size)?)
    }

    /// Opens the footer of a pack of `pack_size` bytes: its blob table, whose blobs fill the pack
    /// up to the footer.
    pub fn open_footer(
        &self,
        sealed: &[u8],
        trailer: &Trailer,
        pack_size: u64,
    ) -> Result<BlobTable, CodecError> {
        let nonce = SealedPart::Footer.nonce();
        let plain = self.cipher.open(nonce, &self.part_associated(), "pack footer", sealed)?;
        let (frame, padding) = plain
            .split_at_checked(trailer.frame_len as usize)
            .ok_or(CodecError::NotAuthentic { what: "pack footer" })?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(CodecError::NotAuthentic { what: "pack footer" });
        }
        let record = compress::decompress_bounded(frame, limits::RECORD_BYTES)?;
        let table = record::decode::<Footer>(&record)?.table;
        let end = self.blobs_offset() as u64 + table.stored_bytes();
        if end == trailer.footer_range(pack_size).start {
            Ok(table)
        } else {
            Err(CodecError::NotAuthentic { what: "pack footer" })
        }
    }

    /// Where the pack's blobs begin.
    pub fn blobs_offset(&self) -> usize {
        PackHeader::blobs_offset(self.header.kind)
    }
}

/// Each pack has its own key around its key, so that none is ever used twice.
fn kept_cipher(machine: &SecretKey, id: &PackId) -> Cipher {
    Cipher::new(&derive_key(Purpose::KeptPackKey, &[machine.expose(), id.as_bytes()]))
}

fn tree_key(metadata_key: &SecretKey, salt: &[u8; 32]) -> SecretKey {
    derive_key(Purpose::TreePack, &[metadata_key.expose(), salt])
}
