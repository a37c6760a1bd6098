//! Slots and keyrings: making them and opening them (format-spec, chapter 2).

use argon2::{Algorithm, Argon2, Params, Version};
use nightjar_format::keyring::{self, Keyring};
use nightjar_format::record;
use nightjar_format::slot::{
    Argon2Parameters, Role, SlotLabel, SlotObject, SlotRecord, Wrap, WrappedSecret,
};
use nightjar_format::{Digest, RepositoryId, SlotId, limits};
use zeroize::Zeroizing;

use crate::aead::{Cipher, ZERO_NONCE};
use crate::digest::{Purpose, derive, derive_key};
use crate::hybrid::{PrivateKey, PublicKey};
use crate::sign::{self, SignKey, SignatureContext};
use crate::{CodecError, Random, SecretKey};

/// What a person gives to open a slot.
pub enum Unlock {
    /// A passphrase.
    Passphrase(Zeroizing<Vec<u8>>),
    /// The content of a key file.
    KeyFile(Zeroizing<Vec<u8>>),
}

/// How a new slot is to be protected.
pub struct Protection<'a> {
    /// By what.
    pub unlock: &'a Unlock,
    /// At which cost, for a passphrase.
    pub argon2: Argon2Parameters,
}

/// The anchor of trust, kept inside a slot's wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// BLAKE3 of the `repository` object.
    pub repository_hash: Digest,
    /// The public signing key of the first slot.
    pub root_public: [u8; 32],
}

/// A slot's secret halves.
#[derive(Clone)]
pub struct SlotKeys {
    /// Receives keyrings.
    pub kem: PrivateKey,
    sign_seed: SecretKey,
}

impl SlotKeys {
    /// Fresh halves.
    pub fn random(random: &dyn Random) -> Result<Self, CodecError> {
        Ok(Self { kem: PrivateKey::random(random)?, sign_seed: SecretKey::random(random) })
    }

    /// Signs for the slot.
    pub fn sign_key(&self) -> SignKey {
        SignKey::from_seed(&self.sign_seed)
    }

    /// The slot's id: a hash of its public halves.
    pub fn slot_id(&self) -> SlotId {
        slot_id(&self.kem.public().to_bytes(), &self.sign_key().public())
    }
}

/// The id of the slot with these public halves.
pub fn slot_id(kem_public: &[u8], sign_public: &[u8; 32]) -> SlotId {
    let mut id = SlotId([0; 16]);
    let hash = derive(Purpose::SlotId, &[kem_public, sign_public]);
    for (to, from) in id.0.iter_mut().zip(hash) {
        *to = from;
    }
    id
}

/// Everything about a new slot but its secrets.
pub struct NewSlot {
    /// What it may do.
    pub role: Role,
    /// The current epoch.
    pub since_epoch: u32,
    /// Its private remarks.
    pub label: SlotLabel,
}

/// Who vouches for a new slot.
pub struct Voucher<'a> {
    /// A full slot.
    pub slot_id: SlotId,
    /// Its key.
    pub sign_key: &'a SignKey,
    /// The metadata key of the current epoch.
    pub metadata_key: &'a SecretKey,
}

/// Makes a slot object.
pub fn seal_slot(
    repository: &RepositoryId,
    anchor: &Anchor,
    keys: &SlotKeys,
    new: &NewSlot,
    protection: &Protection<'_>,
    voucher: &Voucher<'_>,
    random: &dyn Random,
) -> Result<SlotObject, CodecError> {
    let slot_id = keys.slot_id();
    let record = SlotRecord {
        slot_id,
        role: new.role,
        kem_public: keys.kem.public().to_bytes(),
        sign_public: keys.sign_key().public(),
        since_epoch: new.since_epoch,
        added_by: voucher.slot_id,
        label: seal_label(repository, &slot_id, voucher.metadata_key, &new.label, random)?,
        wrap: wrap(repository, anchor, keys, protection, random)?,
    };
    let record_bytes = record::encode(&record);
    let message = [repository.as_bytes().as_slice(), &record_bytes].concat();
    let signature = voucher.sign_key.sign(SignatureContext::Slot, &message);
    Ok(SlotObject { record, record_bytes, signature })
}

/// Checks that a slot's id fits its keys and that the holder of `voucher_public` vouches for it.
pub fn verify_slot(
    repository: &RepositoryId,
    slot: &SlotObject,
    voucher_public: &[u8; 32],
) -> Result<(), CodecError> {
    let SlotRecord { slot_id: claimed, kem_public, sign_public, .. } = &slot.record;
    if slot_id(kem_public, sign_public) != *claimed {
        return Err(CodecError::NotAuthentic { what: "slot object" });
    }
    let message = [repository.as_bytes().as_slice(), &slot.record_bytes].concat();
    let context = SignatureContext::Slot;
    sign::verify(voucher_public, context, &message, &slot.signature, "slot object")
}

fn slot_associated(repository: &RepositoryId, slot_id: &SlotId) -> Vec<u8> {
    [repository.as_bytes().as_slice(), slot_id.as_bytes()].concat()
}

fn wrap(
    repository: &RepositoryId,
    anchor: &Anchor,
    keys: &SlotKeys,
    protection: &Protection<'_>,
    random: &dyn Random,
) -> Result<Wrap, CodecError> {
    let salt: [u8; 32] = random.array();
    let secret = match protection.unlock {
        Unlock::Passphrase(passphrase) => stretch(passphrase, &salt, protection.argon2)?,
        Unlock::KeyFile(content) => key_file_secret(content, &salt)?,
    };
    let payload = Zeroizing::new(
        [
            keys.kem.seed().expose().as_slice(),
            keys.sign_seed.expose(),
            anchor.repository_hash.as_bytes(),
            &anchor.root_public,
        ]
        .concat(),
    );
    let associated = slot_associated(repository, &keys.slot_id());
    let (key, commitment) = wrap_key(&secret, &salt);
    let ciphertext = Cipher::new(&key).seal(ZERO_NONCE, &associated, &payload)?;
    let sealed = WrappedSecret { salt, commitment, ciphertext };
    Ok(match protection.unlock {
        Unlock::Passphrase(_) => Wrap::Passphrase { argon2: protection.argon2, sealed },
        Unlock::KeyFile(_) => Wrap::KeyFile { sealed },
    })
}

/// Opens a slot's secret halves. [`CodecError::WrongSecret`] if `unlock` is not this slot's.
pub fn unwrap(
    repository: &RepositoryId,
    slot: &SlotRecord,
    unlock: &Unlock,
) -> Result<(SlotKeys, Anchor), CodecError> {
    let (sealed, secret) = match (&slot.wrap, unlock) {
        (Wrap::Passphrase { argon2, sealed }, Unlock::Passphrase(passphrase)) => {
            (sealed, stretch(passphrase, &sealed.salt, *argon2)?)
        }
        (Wrap::KeyFile { sealed }, Unlock::KeyFile(content)) => {
            (sealed, key_file_secret(content, &sealed.salt)?)
        }
        _ => return Err(CodecError::WrongSecret),
    };
    let (key, commitment) = wrap_key(&secret, &sealed.salt);
    if commitment != sealed.commitment {
        return Err(CodecError::WrongSecret);
    }
    let associated = slot_associated(repository, &slot.slot_id);
    let payload = Zeroizing::new(Cipher::new(&key).open(
        ZERO_NONCE,
        &associated,
        "slot object",
        &sealed.ciphertext,
    )?);
    let (parts, []) = payload.as_chunks::<32>() else {
        return Err(CodecError::NotAuthentic { what: "slot object" });
    };
    let [kem, sign, repository_hash, root_public] = parts else {
        return Err(CodecError::NotAuthentic { what: "slot object" });
    };
    let keys = SlotKeys {
        kem: PrivateKey::from_seed(SecretKey::new(*kem))?,
        sign_seed: SecretKey::new(*sign),
    };
    if keys.slot_id() != slot.slot_id {
        return Err(CodecError::NotAuthentic { what: "slot object" });
    }
    let anchor = Anchor { repository_hash: Digest(*repository_hash), root_public: *root_public };
    Ok((keys, anchor))
}

fn wrap_key(secret: &SecretKey, salt: &[u8; 32]) -> (SecretKey, [u8; 32]) {
    let parts: [&[u8]; 2] = [secret.expose(), salt];
    (derive_key(Purpose::SlotWrap, &parts), derive(Purpose::SlotCommitment, &parts))
}

fn stretch(
    passphrase: &[u8],
    salt: &[u8; 32],
    parameters: Argon2Parameters,
) -> Result<SecretKey, CodecError> {
    let refused = |_| CodecError::Refused("Argon2 refuses these parameters");
    let Argon2Parameters { memory_kib, passes, lanes } = parameters;
    let params = Params::new(memory_kib, passes, lanes, Some(32)).map_err(refused)?;
    let mut secret = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase, salt, secret.as_mut_slice())
        .map_err(refused)?;
    Ok(SecretKey::new(*secret))
}

fn key_file_secret(content: &[u8], salt: &[u8; 32]) -> Result<SecretKey, CodecError> {
    if content.len() > limits::KEY_FILE_BYTES {
        return Err(CodecError::Refused("the key file is larger than a key file may be"));
    }
    Ok(derive_key(Purpose::KeyFile, &[salt, content]))
}

fn label_cipher(metadata_key: &SecretKey, salt: &[u8; 32]) -> Cipher {
    Cipher::new(&derive_key(Purpose::SlotLabel, &[metadata_key.expose(), salt]))
}

fn seal_label(
    repository: &RepositoryId,
    slot_id: &SlotId,
    metadata_key: &SecretKey,
    label: &SlotLabel,
    random: &dyn Random,
) -> Result<Vec<u8>, CodecError> {
    let salt: [u8; 32] = random.array();
    let associated = slot_associated(repository, slot_id);
    let plaintext = record::encode(label);
    let ciphertext = label_cipher(metadata_key, &salt).seal(ZERO_NONCE, &associated, &plaintext)?;
    Ok([salt.as_slice(), &ciphertext].concat())
}

/// Opens a slot's label with the metadata key of its `since_epoch`.
pub fn open_label(
    repository: &RepositoryId,
    slot: &SlotRecord,
    metadata_key: &SecretKey,
) -> Result<SlotLabel, CodecError> {
    let what = "slot label";
    let (salt, ciphertext) =
        slot.label.split_first_chunk::<32>().ok_or(CodecError::NotAuthentic { what })?;
    let associated = slot_associated(repository, &slot.slot_id);
    let plaintext =
        label_cipher(metadata_key, salt).open(ZERO_NONCE, &associated, what, ciphertext)?;
    Ok(record::decode(&plaintext)?)
}

fn keyring_info(repository: &RepositoryId, epoch: u32, slot_id: &SlotId) -> Vec<u8> {
    let context = b"nightjar format 1: keyring";
    [context.as_slice(), repository.as_bytes(), &epoch.to_le_bytes(), slot_id.as_bytes()].concat()
}

/// Seals a keyring to a slot.
pub fn seal_keyring(
    repository: &RepositoryId,
    epoch: u32,
    slot: &SlotRecord,
    keyring: &Keyring,
    random: &dyn Random,
) -> Result<Vec<u8>, CodecError> {
    let plaintext = Zeroizing::new(record::encode(keyring));
    let info = keyring_info(repository, epoch, &slot.slot_id);
    let public = PublicKey::from_bytes(&slot.kem_public)?;
    let (encapsulated, ciphertext) = public.seal(&info, &plaintext, random)?;
    Ok(keyring::to_object(&encapsulated, &ciphertext))
}

/// Opens a keyring object. Whether to believe it is not decided here.
pub fn open_keyring(
    repository: &RepositoryId,
    epoch: u32,
    keys: &SlotKeys,
    object: &[u8],
) -> Result<Keyring, CodecError> {
    let (encapsulated, ciphertext) = keyring::split(object)?;
    let info = keyring_info(repository, epoch, &keys.slot_id());
    let plaintext =
        Zeroizing::new(keys.kem.open(&info, encapsulated, ciphertext, "keyring object")?);
    Ok(record::decode(&plaintext)?)
}

/// The commitment to a key that stands in an epoch record.
pub fn key_commitment(key: &SecretKey) -> [u8; 32] {
    derive(Purpose::KeyCommitment, &[key.expose()])
}
