"""The objects of a repository in a directory, the limits of chapter 9, and how failures name their object."""

import os
import re
from types import SimpleNamespace

from .postcard import FormatError

MIB = 1 << 20
LIMIT = SimpleNamespace(
    small=64 << 10, keyring=MIB, metadata=64 * MIB, record=256 * MIB, pack=1 << 30, blob=16 * MIB,
    sealed_overhead=64 << 10, depth=32, bases=4, support=256, levels=16, directories=4096, argon_kib=4 * MIB,
    argon_passes=64, argon_lanes=64, key_file=MIB)


class Refused(Exception):
    """An object, named first, that is missing, damaged or not believed."""


class about:
    """Gives a FormatError the name of the object it concerns."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        pass

    def __exit__(self, kind, error, trace):
        if isinstance(error, FormatError):
            raise Refused(f"{self.name}: {error}") from error


def require(condition, message):
    if not condition:
        raise FormatError(message)


def ascending(items):
    return all(a < b for a, b in zip(items, items[1:]))


class Store:
    """The objects of a repository in a directory."""

    def __init__(self, root):
        self.root = root

    def path(self, name):
        return os.path.join(self.root, *name.split("/"))

    def size(self, name):
        """None if there is no such object."""
        try:
            return os.stat(self.path(name)).st_size
        except FileNotFoundError:
            return None
        except OSError as e:
            raise Refused(f"{name}: {e.strerror}") from None

    def read(self, name, limit):
        try:
            with open(self.path(name), "rb") as f:
                data = f.read(limit + 1)
        except OSError as e:
            raise Refused(f"{name}: {e.strerror}") from None
        if len(data) > limit:
            raise Refused(f"{name}: longer than {limit} bytes")
        return data

    def read_range(self, name, offset, length):
        try:
            with open(self.path(name), "rb") as f:
                f.seek(offset)
                data = f.read(length)
        except OSError as e:
            raise Refused(f"{name}: {e.strerror}") from None
        if len(data) != length:
            raise Refused(f"{name}: ends before byte {offset + length}")
        return data

    def names(self, *patterns):
        """The matches of a path given as one pattern per level; what does not match is not Nightjar's."""
        found = [""]
        for pattern in patterns:
            level = []
            for parent in found:
                try:
                    children = os.listdir(os.path.join(self.root, parent))
                except (FileNotFoundError, NotADirectoryError):
                    continue
                level += [f"{parent}/{c}" if parent else c for c in children if re.fullmatch(pattern, c)]
            found = level
        return sorted(found)


def hex_of(n):
    return f"[0-9a-f]{{{2 * n}}}"
