"""The records of chapters 1 to 8, 14 and 15, field by field."""

from .postcard import (BOOL, BYTES, I32, I64, STRING, U8, U32, U64, VERSION, Enum, Fixed, Option, Record, Repeat,
                       Vec)

ID8, ID16, ID32, KEY, SIGNATURE = Fixed(8), Fixed(16), Fixed(32), Fixed(32), Fixed(64)

# Chapter 1

REPOSITORY = Record(
    version=VERSION, required_features=Vec(STRING), optional_features=Vec(STRING), repository_id=ID16,
    chunk_min=U32, chunk_avg=U32, chunk_max=U32, pack_target=U32, conditional_create=BOOL, incarnation=ID8)

# Chapter 2

ROLE = Enum(("full", {}), ("write", {}))
SEALED = dict(salt=KEY, commitment=KEY, ciphertext=BYTES)
WRAP = Enum(
    ("passphrase", dict(memory_kib=U32, passes=U32, lanes=U32, **SEALED)),
    ("key file", SEALED),
    ("external", dict(service=STRING, reference=STRING, wrapped_secret=BYTES, **SEALED)))
SLOT = Record(
    version=VERSION, slot_id=ID16, role=ROLE, kem_public=BYTES, sign_public=KEY, since_epoch=U32, added_by=ID16,
    label=BYTES, wrap=WRAP)
LABEL = Record(version=VERSION, label=STRING, created=I64)
KEYRING = Record(
    version=VERSION, epoch_record=BYTES, signature=SIGNATURE, dedup_key=KEY, metadata_key=KEY,
    data_secret=Option(KEY))
EPOCH = Record(
    version=VERSION, epoch=U32, repository_hash=KEY, previous=Option(KEY), created_by=ID16, data_public=BYTES,
    dedup_commitment=KEY, metadata_commitment=KEY,
    slots=Vec(Record(slot_id=ID16, role=ROLE, sign_public=KEY, since=U32, until=Option(U32))))

# Chapters 4 and 5

ENCODING = Enum(("raw", {}), ("zstd", {}), ("delta", dict(bases=Vec(U32), depth=U8)))
TABLE = Record(
    ids=Vec(ID32), external_bases=Vec(ID32), rows=Vec(Record(stored_len=U32, raw_len=U32, encoding=ENCODING)),
    sketches=Vec(Repeat(U32, 3)))
FOOTER = Record(version=VERSION, table=TABLE)
INDEX = Record(
    version=VERSION, session=ID16,
    packs=Vec(Record(pack_id=ID32, size=U64, kind=U8, epoch=U32, table=TABLE)))

# Chapter 6

REFERENCE = Record(id=ID32, length=U64)
LIST_NODE = Record(version=VERSION, type=U8, level=U8, entries=Vec(REFERENCE))
TIME = dict(seconds=I64, nanoseconds=U32)
CONTENT = Enum(("chunks", dict(chunks=Vec(REFERENCE))), ("list", dict(id=ID32)))
ENTRY = Record(
    name=BYTES, mode=U32, uid=U32, gid=U32, user=BYTES, group=BYTES, modified=Record(**TIME),
    origin=Option(Record(changed=Record(**TIME), inode=U64)), hard_link=Option(U64),
    attributes=Vec(Record(name=BYTES, value=BYTES)),
    kind=Enum(
        ("file", dict(size=U64, content=CONTENT, holes=Vec(Record(offset=U64, length=U64)),
                      changed_while_read=BOOL)),
        ("directory", dict(root=ID32)),
        ("symlink", dict(target=BYTES)),
        ("fifo", {}),
        ("socket", {}),
        ("character device", dict(major=U32, minor=U32)),
        ("block device", dict(major=U32, minor=U32))))
DIRECTORY_LEAF = Record(version=VERSION, type=U8, level=U8, entries=Vec(ENTRY))
DIRECTORY_NODE = Record(version=VERSION, type=U8, level=U8, entries=Vec(Record(first=BYTES, id=ID32)))

# Chapter 7

COUNTS = ("files", "directories", "others", "unreadable", "files_unchanged", "bytes_unchanged", "bytes_read",
          "chunks", "chunks_new", "bytes_new", "bytes_stored", "chunks_delta", "bytes_delta", "bytes_stored_delta", "bytes_read_back", "bytes_added")
SNAPSHOT = dict(
    series=STRING, started=I64, finished=I64, host=STRING, user=STRING, program=STRING,
    labels=Vec(Record(key=STRING, value=STRING)),
    source=Enum(
        ("standard input", dict(name=STRING, tar=BOOL)),
        ("command", dict(name=STRING, arguments=Vec(STRING), status=I32, tar=BOOL)),
        ("paths", dict(paths=Vec(BYTES)))),
    counts=Record(**{name: U64 for name in COUNTS}), root=ID32,
    previous=Option(Record(id=ID16, digest=KEY)), original=Option(Record(id=ID16, digest=KEY)), incarnation=ID8)
REGISTER = Record(
    version=VERSION, register=Enum(("fence", dict(reason=STRING)), ("committed", SNAPSHOT)))

# Chapter 8

POSITION = Record(incarnation=ID8, number=U64)
SESSION = Record(
    version=VERSION, session=ID16, host=STRING, process=U32, started=I64, renewed=I64, renewals=U64,
    noted=Option(POSITION))
PACKS = Vec(ID32)
LEDGER = Record(
    version=VERSION, incarnation=ID8, number=U64, previous=KEY, time=I64,
    body=Enum(
        ("open", {}),
        ("condemn", dict(packs=PACKS)),
        ("retire", dict(condemned=U64, packs=PACKS)),
        ("reinstate", dict(condemned=U64)),
        ("forget", dict(snapshots=Vec(ID16), who=STRING, why=STRING, erase=BOOL)),
        ("damaged", dict(packs=PACKS)),
        ("repaired", dict(packs=PACKS)),
        ("epoch", dict(epoch=U32, digest=KEY)),
        ("slot", dict(slot=ID16)),
        ("hold", dict(snapshots=Vec(ID16), until=Option(I64), who=STRING, why=STRING)),
        ("release", dict(snapshots=Vec(ID16), who=STRING, why=STRING)),
        ("accept", dict(series=STRING, up_to=I64, who=STRING, why=STRING)),
        ("erased", dict(up_to=U64, packs=U64, bytes=U64, kept_until=Option(I64), who=STRING)),
        ("promote", dict(incarnation=ID8, snapshots=Vec(ID16), revived=PACKS, who=STRING, why=STRING))))

# Chapter 14

CHECK = Record(
    version=VERSION, packs=Vec(Record(pack=ID32, packs=Option(I64), data=Option(I64))),
    snapshots=Vec(Record(snapshot=ID16, walked=I64)))

# Chapter 15

REPLICA = Record(version=VERSION, repository_hash=KEY, incarnation=ID8)
