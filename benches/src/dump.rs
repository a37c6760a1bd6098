//! A plain dump as `pg_dump` writes it, made from a seed: seven tables with ids, uuids, text,
//! numerics, jsonb, bytea and timestamps.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Words that texts are made of.
const WORDS: [&str; 64] = [
    "alpha", "order", "river", "stone", "paper", "cloud", "green", "night", "jar", "table",
    "quick", "brown", "amber", "delta", "field", "grain", "house", "ivory", "joint", "kappa",
    "lemon", "metal", "north", "ocean", "pearl", "quilt", "rough", "sugar", "tiger", "ultra",
    "vivid", "wheat", "xenon", "yield", "zebra", "arrow", "beach", "candy", "dream", "eagle",
    "flame", "ghost", "honey", "image", "jelly", "knife", "light", "mango", "nurse", "olive",
    "piano", "queen", "radio", "snake", "train", "uncle", "voice", "water", "young", "zonal",
    "actor", "bread", "chain", "drift",
];

/// A stream of random words from a seed.
struct Generator(blake3::OutputReader);

impl Generator {
    fn new(seed: u64, table: usize, row: u64, version: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        for word in [seed, table as u64, row, version] {
            hasher.update(&word.to_le_bytes());
        }
        Self(hasher.finalize_xof())
    }

    fn next(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn word(&mut self) -> &'static str {
        let place = usize::try_from(self.next() % 64).unwrap_or(0);
        WORDS.get(place).copied().unwrap_or_default()
    }

    fn words(&mut self, count: u64) -> String {
        let words: Vec<&str> = (0..count).map(|_| self.word()).collect();
        words.join(" ")
    }

    fn hex(&mut self, bytes: u64) -> String {
        (0..bytes / 8).fold(String::new(), |mut text, _| {
            let _ = write!(text, "{:016x}", self.next());
            text
        })
    }

    fn uuid(&mut self) -> String {
        let (a, b) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
            a >> 32,
            a >> 16 & 0xffff,
            a & 0xfff,
            b >> 52,
            b & 0xffff_ffff_ffff
        )
    }
}

/// Name, columns and share of the rows (in per mille) of each table.
const TABLES: [(&str, &str, u64); 7] = [
    ("customers", "id, name, email, created, balance", 150),
    ("orders", "id, customer, placed, total, status, note", 300),
    ("items", "order_id, sku, quantity, price", 250),
    ("events", "id, at, kind, payload", 150),
    ("documents", "id, title, body", 50),
    ("blobs", "id, content", 20),
    ("log", "id, at, message", 80),
];

fn row(seed: u64, table: usize, id: u64, version: u64) -> String {
    let mut g = Generator::new(seed, table, id, version);
    let time = format!(
        "2026-{:02}-{:02} {:02}:{:02}:{:02}.{:06}+00",
        1 + id % 12,
        1 + id / 12 % 28,
        g.next() % 24,
        g.next() % 60,
        g.next() % 60,
        g.next() % 1_000_000
    );
    let cents = g.next() % 1_000_000;
    let money = format!("{}.{:02}", cents / 100, cents % 100);
    match table {
        0 => {
            let (first, last) = (g.word(), g.word());
            format!("{id}\t{first} {last}\t{first}.{last}{id}@example.com\t{time}\t{money}")
        }
        1 => {
            let (uuid, note) = (g.uuid(), g.words(6));
            format!("{uuid}\t{}\t{time}\t{money}\tpaid\t{note}", g.next() % 500_000)
        }
        2 => format!("{id}\tSKU-{:08}\t{}\t{money}", g.next() % 40_000, 1 + g.next() % 9),
        3 => format!(
            "{id}\t{time}\t{}\t{{\"user\": {}, \"action\": \"{}\", \"ids\": [{}, {}], \"ref\": \"{}\"}}",
            g.word(),
            g.next() % 100_000,
            g.word(),
            g.next() % 1000,
            g.next() % 1000,
            g.uuid()
        ),
        4 => format!("{id}\t{}\t{}", g.words(4), g.words(120)),
        5 => format!("{id}\t\\\\x{}", g.hex(1024)),
        _ => format!("{id}\t{time}\t{} {}: {}", g.word(), g.next() % 65_536, g.words(8)),
    }
}

/// Writes a dump of about `bytes` bytes. On night 0 every row is as first inserted; on night n a
/// row has changed with the given odds since.
pub(crate) fn write(path: &Path, bytes: u64, seed: u64, night: u64) -> io::Result<u64> {
    // Rows are about this long on average over the tables' shares.
    let rows = bytes / 165;
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    writeln!(out, "--\n-- PostgreSQL database dump\n--\n\nSET client_encoding = 'UTF8';\n")?;
    let mut written = 0;
    for (table, (name, columns, share)) in TABLES.iter().enumerate() {
        writeln!(out, "COPY public.{name} ({columns}) FROM stdin;")?;
        for id in 0..rows * share / 1000 {
            let line = row(seed, table, id, version(seed, table, id, night));
            written += line.len() as u64 + 1;
            out.write_all(line.as_bytes())?;
            out.write_all(b"\n")?;
        }
        writeln!(out, "\\.\n")?;
    }
    writeln!(out, "--\n-- PostgreSQL database dump complete\n--\n")?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(written)
}

/// The last night on which a row changed: 1 % of the orders, 0.5 % of the items and 0.2 % of the
/// customers change each night.
fn version(seed: u64, table: usize, id: u64, night: u64) -> u64 {
    let odds = match table {
        0 => 500,
        1 => 100,
        2 => 200,
        _ => return 0,
    };
    let changed =
        |n: &u64| Generator::new(seed ^ 0x5eed, table, id, *n).next().is_multiple_of(odds);
    (1..=night).rev().find(changed).unwrap_or(0)
}
