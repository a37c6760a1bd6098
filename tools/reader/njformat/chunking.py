"""Derived keys (chapter 2) and cut points (chapter 3). Reading needs the id keys and the directory cut only."""

import struct

from . import crypto

# The masks of 2 KiB … 8 MiB in the table behind chapter 3; an average takes its neighbours' (vectors/chunker.json).
_TABLE = (0x0000D90003530000, 0x0000D90103530000, 0x0000D90303530000, 0x0000D90313530000, 0x0000D90F03530000,
          0x0000D90303537000, 0x0000D90703537000, 0x0000D90707537000, 0x0000D91707537000, 0x0000D91747537000,
          0x0000D91767537000, 0x0000D93767537000, 0x0000D93777537000)
# average: (mask before the average, mask after it)
MASKS = {2 << 10 << i: (_TABLE[i + 1], _TABLE[i - 1]) for i in range(1, len(_TABLE) - 1)}


_WORD = (1 << 64) - 1


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
    h = 0
    for i in range(minimum, n // 2 * 2):
        h = (2 * h + gear[data[start + i]]) & _WORD
        if h & (before if i < average else after) == 0:
            return i
    return n


def cut_points(data, gear, minimum, average, maximum, masks=None):
    """The ends of all chunks of `data`."""
    masks = masks or MASKS[average]
    ends, at = [], 0
    while at < len(data):
        at += first_cut(data, at, gear, minimum, average, maximum, masks)
        ends.append(at)
    return ends
