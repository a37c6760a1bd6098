"""Content lists and directories (chapter 6)."""

from types import SimpleNamespace

from . import crypto, records
from .blobs import DATA, TREE
from .postcard import decode
from .store import LIMIT, Refused, about, ascending, require

LIST, DIRECTORY = 1, 2
MIN_ENTRIES, MAX_ENTRIES, DIRECT_CHUNKS = 32, 2048, 8


# Pure pieces

def decode_node(plain, node_type):
    require(len(plain) >= 3 and plain[1] == node_type, "is a node of another type")
    require(plain[2] < LIMIT.levels, "its level is not allowed")
    if node_type == LIST:
        schema = records.LIST_NODE
    else:
        schema = records.DIRECTORY_LEAF if plain[2] == 0 else records.DIRECTORY_NODE
    node = decode(schema, plain)
    require(len(node.entries) <= MAX_ENTRIES, "has too many entries")
    return node


def ends_node(count, first_four):
    """Whether a node is cut after its entry number `count`, whose hash begins with these four bytes."""
    return count >= MIN_ENTRIES and first_four[0] == 0 or count >= MAX_ENTRIES


def check_cuts(levels):
    """`levels` gives for every level, from 0, its nodes in order, each a list of the entries' first four bytes."""
    for level, nodes in enumerate(levels):
        for i, node in enumerate(nodes):
            last = i + 1 == len(nodes)
            cut = next((n for n, four in enumerate(node, 1) if ends_node(n, four)), None)
            require(cut in (None, len(node)) if last else cut == len(node),
                    f"node {i + 1} of {len(nodes)} of level {level} is not cut where it should be")
        above = len(levels) - level - 1
        require(len(nodes) > 1 if above else len(nodes) == 1, f"level {level} should not exist or have one above")


def check_entry(e):
    name = e.name
    require(name not in (b"", b".", b"..") and b"/" not in name and b"\0" not in name,
            f"the name {name!r} is not allowed")
    require(e.mode <= 0o7777, "a mode has more than permission bits")
    times = [e.modified] + ([e.origin.changed] if e.origin else [])
    require(all(t.nanoseconds < 10 ** 9 for t in times), "a time has more nanoseconds than a second")
    require(ascending([a.name for a in e.attributes]), "the attributes are not sorted by name")
    if e.kind.variant == "file":
        if e.kind.content.variant == "chunks":
            require(len(e.kind.content.chunks) <= DIRECT_CHUNKS, "too many chunks stand in the entry")
        end = 0
        for h in e.kind.holes:
            require(h.length > 0 and h.offset >= end, "the holes are not sorted or overlap")
            end = h.offset + h.length
        require(end <= e.kind.size, "a hole ends behind the file")


class Manifests:
    """Walks lists and directories. With `strict`, also checks that nodes are cut where the format says. `on_use` is
    told every blob entry that a node came from."""

    def __init__(self, repository, blobs, strict=False, on_use=None):
        self.repository, self.blobs, self.strict, self.on_use = repository, blobs, strict, on_use

    def _node(self, node_id, node_type, level=None):
        plain = self.blobs.read(TREE, node_id, on_use=self.on_use)
        with about(f"node {node_id.hex()}"):
            node = decode_node(plain, node_type)
            require(level is None or node.level == level, f"is of level {node.level}, not {level}")
        return node

    # Content lists

    def chunks(self, content):
        """All chunk references of a file's content."""
        if content.variant == "chunks":
            return content.chunks
        name = f"list {content.id.hex()}"
        out, levels = [], []
        self._list(content.id, None, out, levels)
        if self.strict:
            with about(name):
                require(len(out) > DIRECT_CHUNKS, "its chunks should stand in the entry")
                check_cuts(levels)
        return out

    def _list(self, node_id, level, out, levels):
        node = self._node(node_id, LIST, level)
        with about(f"node {node_id.hex()}"):
            require(node.entries, "is an empty list")
        if level is None:
            levels.extend([] for _ in range(node.level + 1))
        levels[node.level].append([r.id[:4] for r in node.entries])
        if node.level == 0:
            out.extend(node.entries)
            return sum(r.length for r in node.entries)
        total = 0
        for r in node.entries:
            below = self._list(r.id, node.level - 1, out, levels)
            with about(f"node {node_id.hex()}"):
                require(below == r.length, f"has {r.length} bytes for node {r.id.hex()}, which has {below}")
            total += below
        return total

    def file_chunks(self, name, file):
        """A file's chunk references, whose lengths and holes make its size."""
        chunks = self.chunks(file.content)
        with about(name):
            require(sum(c.length for c in chunks) + sum(h.length for h in file.holes) == file.size,
                    "its content and holes do not make its size")
        return chunks

    def chunk(self, reference):
        plain = self.blobs.read(DATA, reference.id, on_use=self.on_use)
        if len(plain) != reference.length:
            raise Refused(f"chunk {reference.id.hex()}: has {len(plain)} bytes, not {reference.length} as stated")
        return plain

    def bytes_of(self, name, file):
        """The file's bytes in verified pieces. Content is the stream without the holes: a chunk may span some."""
        at, holes = 0, list(reversed(file.holes))
        for reference in self.file_chunks(name, file):
            plain = self.chunk(reference)
            while plain:
                while holes and holes[-1].offset == at:
                    at += holes[-1].length
                    yield from zeros(holes.pop().length)
                piece = plain[:holes[-1].offset - at] if holes else plain
                yield piece
                at += len(piece)
                plain = plain[len(piece):]
        for hole in reversed(holes):
            yield from zeros(hole.length)

    # Directories

    def entries(self, root):
        """The entries of a directory, by its root node."""
        out, levels = [], []
        self._directory(root, None, out, levels)
        with about(f"directory {root.hex()}"):
            for e in out:
                check_entry(e)
            require(ascending([e.name for e in out]), "the entries are not sorted by name, or a name stands twice")
            if self.strict:
                check_cuts(levels)
        return out

    def _directory(self, node_id, level, out, levels):
        node = self._node(node_id, DIRECTORY, level)
        with about(f"node {node_id.hex()}"):
            require(node.entries or (level is None and node.level == 0), "is an empty directory node")
        if level is None:
            levels.extend([] for _ in range(node.level + 1))
        names = [e.name if node.level == 0 else e.first for e in node.entries]
        if self.strict:
            cut_key = self.repository.directory_cut_key
            names_hashed = [crypto.keyed(cut_key, n)[:4] for n in names]
        else:
            names_hashed = []
        levels[node.level].append(names_hashed)
        if node.level == 0:
            out.extend(node.entries)
        else:
            for e in node.entries:
                first = self._directory(e.id, node.level - 1, out, levels)
                with about(f"node {node_id.hex()}"):
                    require(first == e.first, f"names {e.first!r} as first of node {e.id.hex()}, which has {first!r}")
        return names[0] if names else None

    def walk(self, root):
        """(path, entry) of everything below a root, parents first; a path is a tuple of names."""
        stack = [((), iter(self.entries(root)))]
        while stack:
            path, entries = stack[-1]
            e = next(entries, None)
            if e is None:
                stack.pop()
                continue
            yield path + (e.name,), e
            if e.kind.variant == "directory":
                if len(stack) > LIMIT.directories:
                    raise Refused(f"directory {e.kind.root.hex()}: lies too deep")
                stack.append((path + (e.name,), iter(self.entries(e.kind.root))))

    def find(self, root, path):
        """The entry at a path, given as names."""
        entry = SimpleNamespace(kind=SimpleNamespace(variant="directory", root=root))
        for name in path:
            found = None
            if entry.kind.variant == "directory":
                found = next((e for e in self.entries(entry.kind.root) if e.name == name), None)
            if found is None:
                raise Refused(f"{b'/'.join(path).decode(errors='backslashreplace')}: is not in the snapshot")
            entry = found
        return entry


def zeros(length):
    block = bytes(min(length, 1 << 20))
    while length:
        yield block[:length]
        length -= min(length, len(block))
