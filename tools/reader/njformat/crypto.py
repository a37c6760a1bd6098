"""Primitives: pure functions of their arguments."""

import hashlib
import struct

import argon2.exceptions
import argon2.low_level
import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric import ed25519, mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import (
    AEAD, KDF, KEM, MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey, Suite)

from .postcard import FormatError

PREFIX = "nightjar format 1: "
ZERO_NONCE = bytes(12)
KEM_PUBLIC, ENC, TAG = 1216, 1120, 16


def context(name):
    """The byte string that the chapters write as "…name"."""
    return (PREFIX + name).encode()


def derive(name, material, length=32):
    """H("…name", material)"""
    return blake3(material, derive_key_context=PREFIX + name).digest(length=length)


def keyed(key, message):
    """K(key, message)"""
    return blake3(message, key=key).digest()


def digest(message):
    """B(message)"""
    return blake3(message).digest()


def u16(n):
    return struct.pack("<H", n)


def u32(n):
    return struct.pack("<I", n)


def u64(n):
    return struct.pack("<Q", n)


# AEAD

def aead_open(key, nonce, ciphertext, associated, what):
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, ciphertext, associated)
    except InvalidTag:
        raise FormatError(f"{what} does not decrypt") from None


def argon2id(passphrase, salt, memory_kib, passes, lanes):
    try:
        return argon2.low_level.hash_secret_raw(
            passphrase, salt, time_cost=passes, memory_cost=memory_kib, parallelism=lanes, hash_len=32,
            type=argon2.low_level.Type.ID, version=0x13)
    except argon2.exceptions.HashingError as e:
        raise FormatError(f"Argon2id: {e}") from None


# HPKE with X-Wing. The library takes the two component keys; X-Wing expands its 32-byte private key with
# SHAKE256 into the 64-byte ML-KEM-768 seed and the X25519 private key. Its ciphertexts are enc ‖ ct.

_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


def _xwing_parts(seed):
    if len(seed) != 32:
        raise FormatError("a KEM private key has 32 bytes")
    full = hashlib.shake_256(seed).digest(96)
    return (mlkem.MLKEM768PrivateKey.from_seed_bytes(full[:64]),
            x25519.X25519PrivateKey.from_private_bytes(full[64:]))


def xwing_public(seed):
    a, b = _xwing_parts(seed)
    return a.public_key().public_bytes_raw() + b.public_key().public_bytes_raw()


def hpke_open(seed, sealed, info, what):
    """`sealed` is enc ‖ ciphertext."""
    if len(sealed) < ENC + TAG:
        raise FormatError(f"{what} is too short")
    try:
        return _SUITE.decrypt(sealed, MLKEM768X25519PrivateKey(*_xwing_parts(seed)), info)
    except (InvalidTag, ValueError):
        raise FormatError(f"{what} does not decrypt") from None


def hpke_seal(public, plaintext, info):
    """enc ‖ ciphertext. A reader has no use for it; it shows that the other side can open what is sealed here."""
    a, b = public[:1184], public[1184:]
    key = MLKEM768X25519PublicKey(mlkem.MLKEM768PublicKey.from_public_bytes(a),
                                  x25519.X25519PublicKey.from_public_bytes(b))
    return _SUITE.encrypt(plaintext, key, info)


# Ed25519, strictly: the library refuses s ≥ the group order and compares R as bytes, so only the encodings and
# the orders of the points remain to be looked at.

_P = 2 ** 255 - 19
_SMALL_ORDER_Y = {
    0, 1, _P - 1,
    int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"),
    int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little")}


def _sound_point(encoded):
    y = int.from_bytes(encoded, "little") & (2 ** 255 - 1)
    return y < _P and y not in _SMALL_ORDER_Y


def signature_holds(public, signature, message):
    if len(signature) != 64 or not _sound_point(public) or not _sound_point(signature[:32]):
        return False
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        return True
    except (InvalidSignature, ValueError):
        return False


def ed25519_public(seed):
    return ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


# zstd

def zstd_decode(frame, limit, prefix=b""):
    """Exactly one frame, which tells its content's size, of up to `limit` bytes; `prefix` is what ZSTD_DCtx_refPrefix
    would be given."""
    if frame[:4] != b"\x28\xb5\x2f\xfd":
        raise FormatError("not a zstd frame")
    try:
        if zstandard.get_frame_parameters(frame).dict_id:
            raise FormatError("a zstd frame names a dictionary")
        size = zstandard.frame_content_size(frame)
        if size < 0:
            raise FormatError("a zstd frame does not tell its content's size")
        if size > limit:
            raise FormatError(f"a zstd frame would expand to {size} bytes, more than {limit}")
        dictionary = None
        if prefix:
            dictionary = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        decompressor = zstandard.ZstdDecompressor(dict_data=dictionary)
        if size == 0:  # the library would not look at what follows the header
            stream = decompressor.decompressobj()
            plain = stream.decompress(frame)
            if plain or not stream.eof or stream.unused_data:
                raise FormatError("a zstd frame is not as long as it says")
            return plain
        return decompressor.decompress(frame, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as e:
        raise FormatError(f"zstd: {e}") from None


# Padding

def padme(length):
    """The Padmé length for `length` ≥ 2."""
    e = length.bit_length() - 1
    s = e.bit_length()
    mask = (1 << (e - s)) - 1
    return (length + mask) & ~mask


def check_padding(total, padding):
    """`total` is an object's length, of which `padding` is the run of zeros at the end of a plaintext."""
    if any(padding):
        raise FormatError("the padding is not zero")
    if padme(total - len(padding)) != total:
        raise FormatError(f"{len(padding)} bytes of padding in {total} are not what Padmé asks for")
