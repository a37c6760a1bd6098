"""Sketches (chapters 2 and 3). A reader needs none; computing them shows that the chapters say how."""

import struct

from . import crypto

_U16, _U32, _U64 = (1 << 16) - 1, (1 << 32) - 1, (1 << 64) - 1


def constants(dedup_key):
    return struct.unpack("<30Q", crypto.derive("sketch", dedup_key, 240))


def sampled(data, c):
    """The sampled positions."""
    s0, s1 = c[0] & _U16 | 1, c[1] & _U16 | 1
    blocks = max(0, (len(data) - 32) // 64)
    words = [low | high << 8 for low, high in zip(data, data[1:])]
    return [p for p in range(64 * blocks) if (s0 * words[p] + s1 * words[p + 2] & _U16) >> 9 == 0]


def fold(x, y):
    product = x * y
    return (product ^ product >> 64) & _U64


def fingerprint(window, c):
    a, b, c_, d = struct.unpack("<4Q", window)
    other = fold(c_ ^ c[4], d ^ c[5])
    return (fold(a ^ c[2], b ^ c[3]) ^ (other << 32 & _U64 | other >> 32)) >> 32


def sketch(data, c):
    """Three super-features; [0, 0, 0] is none."""
    if len(data) < 2048:
        return [0, 0, 0]
    fingerprints = {fingerprint(data[p:p + 32], c) for p in sampled(data, c)}
    features = [max(((c[6 + i] & _U32 | 1) * f + (c[18 + i] & _U32) & _U32 for f in fingerprints), default=0)
                for i in range(12)]
    if not any(features):
        return [0, 0, 0]
    found = []
    for j in range(0, 12, 4):
        x, y = features[j] << 32 | features[j + 1], features[j + 2] << 32 | features[j + 3]
        found.append(fold(x ^ c[3], y ^ c[4]) >> 32 or 1)
    return found
