"""Derived keys (chapter 2) and cut points (chapter 3). Reading needs the id keys and the directory cut only."""

import struct

from . import crypto

MASKS = {  # average: (mask before the average, mask after it), the table of chapter 3
    16 << 10: (0x0000D90F03530000, 0x0000D90303530000),
    64 << 10: (0x0000D90703537000, 0x0000D90F03530000),
    256 << 10: (0x0000D91707537000, 0x0000D90703537000),
    1 << 20: (0x0000D91767537000, 0x0000D91707537000),
}


def chunk_id_key(dedup_key):
    return crypto.derive("chunk id", dedup_key)


def node_id_key(dedup_key):
    return crypto.derive("node id", dedup_key)


def directory_cut_key(dedup_key):
    return crypto.derive("directory cut", dedup_key)


def gear_table(dedup_key):
    return struct.unpack("<256Q", crypto.derive("gear table", dedup_key, 2048))


def first_cut(data, start, gear, minimum, average, maximum, masks):
    """The length of the chunk that begins at `start`."""
    left = len(data) - start
    if left <= minimum:
        return left
    n = min(left, maximum)
    before, after = masks
    word = (1 << 64) - 1
    h = 0
    for i in range(minimum, n - 1, 2):
        mask = before if i < min(average, n) else after
        h = (4 * h + 2 * gear[data[start + i]]) & word
        if h & (2 * mask) == 0:
            return i
        h = (h + gear[data[start + i + 1]]) & word
        if h & mask == 0:
            return i + 1
    return n


def cut_points(data, gear, minimum, average, maximum, masks=None):
    """The ends of all chunks of `data`."""
    masks = masks or MASKS[average]
    ends, at = [], 0
    while at < len(data):
        at += first_cut(data, at, gear, minimum, average, maximum, masks)
        ends.append(at)
    return ends
