"""Nightjar format 1, read independently of the program that writes it.

Written from the chapters in format-spec/ alone. One module per layer:

    postcard    the record encoding (README, Notation), strict
    records     every record of chapters 1 to 8
    crypto      hashes, AEAD, HPKE, Ed25519, zstd, Padme (README, chapters 1 and 2)
    chunking    derived keys, gear table and cut points (chapters 2 and 3)
    sketches    by which writers find bases (chapter 3)
    store       the objects by name, limits, how failures are named (chapters 1 and 9)
    ledger      the ledger, and which epochs it begins (chapters 2 and 8)
    repository  the chain of trust (chapters 1 and 2)
    blobs       packs, index, encodings and deltas (chapters 3, 4 and 5)
    manifests   content lists and directories (chapter 6)
    history     snapshots (chapter 7)
    vectors     the checks of format-spec/vectors, with all of the above
"""
