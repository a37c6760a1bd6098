"""The postcard wire format 1, as a strict decoder and an encoder.

A schema is built from the small classes below. `decode` refuses trailing bytes, overlong varints and
everything else that `encode` would not have produced.
"""

from types import SimpleNamespace


class FormatError(Exception):
    """What was read does not follow the format, or does not verify."""


class _Reader:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, n):
        end = self.at + n
        if end > len(self.data):
            raise FormatError("the record ends too early")
        out = self.data[self.at:end]
        self.at = end
        return out

    def byte(self):
        if self.at >= len(self.data):
            raise FormatError("the record ends too early")
        self.at += 1
        return self.data[self.at - 1]

    def varint(self, bits):
        value = shift = 0
        while True:
            b = self.byte()
            value |= (b & 0x7F) << shift
            shift += 7
            if not b & 0x80:
                if b == 0 and shift > 7:
                    raise FormatError("overlong varint")
                if value >> bits:
                    raise FormatError(f"varint does not fit {bits} bits")
                return value
            if shift >= bits:
                raise FormatError(f"varint does not fit {bits} bits")

    def count(self):
        n = self.varint(64)
        if n > len(self.data) - self.at:  # every element takes a byte at least
            raise FormatError("count exceeds the record")
        return n


def _put_varint(out, value):
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


class _U8:
    def read(self, r):
        return r.byte()

    def write(self, out, v):
        out.append(v)


class _Version(_U8):
    def read(self, r):
        v = r.byte()
        if v != 1:
            raise FormatError(f"version {v} is not known")
        return v


class _Unsigned:
    def __init__(self, bits):
        self.bits = bits

    def read(self, r):
        return r.varint(self.bits)

    def write(self, out, v):
        _put_varint(out, v)


class _Signed(_Unsigned):
    def read(self, r):
        v = r.varint(self.bits)
        return (v >> 1) ^ -(v & 1)

    def write(self, out, v):
        _put_varint(out, v << 1 if v >= 0 else (-v << 1) - 1)


class _Bool:
    def read(self, r):
        v = r.byte()
        if v > 1:
            raise FormatError(f"a bool is 0 or 1, not {v}")
        return v == 1

    def write(self, out, v):
        out.append(1 if v else 0)


class _Bytes:
    def read(self, r):
        return bytes(r.take(r.count()))

    def write(self, out, v):
        _put_varint(out, len(v))
        out += v


class _String(_Bytes):
    def read(self, r):
        try:
            return super().read(r).decode("utf-8")
        except UnicodeDecodeError:
            raise FormatError("a string is not UTF-8") from None

    def write(self, out, v):
        super().write(out, v.encode("utf-8"))


class Fixed:
    """[u8; n]"""

    def __init__(self, n):
        self.n = n

    def read(self, r):
        return bytes(r.take(self.n))

    def write(self, out, v):
        out += v


class Repeat:
    """[T; n] for another T than u8"""

    def __init__(self, item, n):
        self.item, self.n = item, n

    def read(self, r):
        return [self.item.read(r) for _ in range(self.n)]

    def write(self, out, v):
        for x in v:
            self.item.write(out, x)


class Vec:
    def __init__(self, item):
        self.item = item

    def read(self, r):
        n = r.count()
        read = self.item.read
        return [read(r) for _ in range(n)]

    def write(self, out, v):
        _put_varint(out, len(v))
        for x in v:
            self.item.write(out, x)


class Option:
    def __init__(self, item):
        self.item = item

    def read(self, r):
        tag = r.byte()
        if tag > 1:
            raise FormatError(f"the tag of an option is 0 or 1, not {tag}")
        return self.item.read(r) if tag else None

    def write(self, out, v):
        out.append(0 if v is None else 1)
        if v is not None:
            self.item.write(out, v)


class Record:
    def __init__(self, **fields):
        self.fields = list(fields.items())

    def read(self, r):
        return SimpleNamespace(**{name: t.read(r) for name, t in self.fields})

    def write(self, out, v):
        for name, t in self.fields:
            t.write(out, getattr(v, name))


class Enum:
    """Variants by number: (name, {field: type}). A value has `.variant` and the variant's fields."""

    def __init__(self, *variants):
        self.variants = [(name, Record(**fields)) for name, fields in variants]
        self.numbers = {name: i for i, (name, _) in enumerate(variants)}

    def read(self, r):
        n = r.varint(32)
        if n >= len(self.variants):
            raise FormatError(f"variant {n} is not known")
        name, record = self.variants[n]
        v = record.read(r)
        v.variant = name
        return v

    def write(self, out, v):
        n = self.numbers[v.variant]
        _put_varint(out, n)
        self.variants[n][1].write(out, v)


VERSION, U8, BOOL, BYTES, STRING = _Version(), _U8(), _Bool(), _Bytes(), _String()
U32, U64, I32, I64 = _Unsigned(32), _Unsigned(64), _Signed(32), _Signed(64)


def encode(schema, value):
    out = bytearray()
    schema.write(out, value)
    return bytes(out)


def decode(schema, data):
    r = _Reader(data)
    value = schema.read(r)
    if r.at != len(data):
        raise FormatError(f"{len(data) - r.at} bytes behind the record")
    if encode(schema, value) != data:
        raise FormatError("the record is not in its canonical encoding")
    return value
