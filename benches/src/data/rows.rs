//! The rows of a shop's database, made from a seed: seven tables with uuids, text, numerics,
//! jsonb, bytea and timestamps, in the form that `COPY` reads.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::ops::Range;

use crate::data::random::Random;

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

/// Bytes of plain dump per row, over the tables' shares.
const BYTES_PER_ROW: u64 = 450;

/// One table.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    columns: &'static str,
    /// Share of all rows in per mille.
    share: u64,
    /// Appends the columns behind the id.
    row: fn(&mut Random, u64, &mut String),
}

/// The table that grows every night.
pub(crate) const LOG: Table = Table {
    name: "log",
    columns: "id bigint, at timestamptz, host text, message text",
    share: 100,
    row: |g, id, out| {
        let (at, host, process) = (time(g, id), g.below(40), g.below(65_536));
        add(out, format_args!("{at}\tweb-{host:02}\t{process}: {}", words(g, 12)));
    },
};

pub(crate) const TABLES: [Table; 7] = [
    Table {
        name: "customers",
        columns: "id bigint, name text, email text, created timestamptz, balance numeric(12,2), \
                  address text, settings jsonb, seen timestamptz",
        share: 110,
        row: |g, id, out| {
            let (first, last) = (word(g), word(g));
            let (created, seen, balance) = (time(g, id), time(g, id + 9_000), money(g));
            add(out, format_args!("{first} {last}\t{first}.{last}{id}@example.com\t{created}"));
            add(out, format_args!("\t{balance}\t{} {}\t", g.below(300), words(g, 4)));
            let (theme, mails, token) = (word(g), g.below(2) == 0, uuid(g));
            add(out, format_args!("{{\"theme\": \"{theme}\", \"mails\": {mails}, "));
            add(out, format_args!("\"token\": \"{token}\"}}\t{seen}"));
        },
    },
    Table {
        name: "orders",
        columns: "id uuid, customer bigint, placed timestamptz, total numeric(12,2), status text, \
                  note text, details jsonb, updated timestamptz",
        share: 330,
        row: |g, id, out| {
            let (customer, placed, total) = (g.below(400_000), time(g, id), money(g));
            add(out, format_args!("{customer}\t{placed}\t{total}\tpaid\t{}\t", words(g, 8)));
            let (cart, coupon, weight) = (uuid(g), word(g), g.below(20_000));
            add(out, format_args!("{{\"cart\": \"{cart}\", \"coupon\": \"{coupon}\", "));
            add(out, format_args!("\"weight\": {weight}}}\t{placed}"));
        },
    },
    Table {
        name: "items",
        columns: "id bigint, order_number bigint, sku text, quantity int, price numeric(12,2), \
                  added timestamptz, remark text",
        share: 200,
        row: |g, id, out| {
            let (sku, quantity, price) = (g.below(40_000), 1 + g.below(9), money(g));
            add(out, format_args!("{}\tSKU-{sku:08}\t{quantity}\t{price}", id * 5 / 3));
            add(out, format_args!("\t{}\t{}", time(g, id), words(g, 4)));
        },
    },
    Table {
        name: "events",
        columns: "id bigint, at timestamptz, kind text, payload jsonb",
        share: 150,
        row: |g, id, out| {
            let (at, kind, user) = (time(g, id), word(g), g.below(400_000));
            add(out, format_args!("{at}\t{kind}\t{{\"user\": {user}, \"page\": \"/{}/", word(g)));
            add(out, format_args!("{}\", \"ids\": [{}, ", word(g), g.below(1000)));
            add(out, format_args!("{}], \"session\": \"{}\", ", g.below(1000), uuid(g)));
            add(out, format_args!("\"agent\": \"{}\"}}", words(g, 10)));
        },
    },
    Table {
        name: "documents",
        columns: "id bigint, title text, body text, revised timestamptz",
        share: 80,
        row: |g, id, out| {
            let length = 50 + g.below(700);
            add(out, format_args!("{}\t{}\t{}", words(g, 4), words(g, length), time(g, id)));
        },
    },
    Table {
        name: "blobs",
        columns: "id bigint, kind text, content bytea",
        share: 30,
        row: |g, _, out| {
            add(out, format_args!("{}\t\\\\x", word(g)));
            for _ in 0..50 + g.below(250) {
                add(out, format_args!("{:016x}", g.next()));
            }
        },
    },
    LOG,
];

impl Table {
    /// How many rows the table has at first, in a database whose dump has about so many bytes.
    pub(crate) fn rows(&self, dump_bytes: u64) -> u64 {
        dump_bytes / BYTES_PER_ROW * self.share / 1000
    }

    /// Writes a script that makes the table.
    pub(crate) fn create(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "CREATE TABLE {} ({});", self.name, self.columns)
    }

    /// Writes a script that adds the rows of these numbers.
    pub(crate) fn fill(&self, out: &mut impl Write, seed: u64, rows: Range<u64>) -> io::Result<()> {
        writeln!(out, "COPY {} FROM stdin;", self.name)?;
        let mut line = String::new();
        for row in rows {
            let mut g = Random::of(self.name, [seed, row]);
            line.clear();
            match self.columns.starts_with("id uuid") {
                true => line.push_str(&uuid(&mut g)),
                false => add(&mut line, format_args!("{row}")),
            }
            line.push('\t');
            (self.row)(&mut g, row, &mut line);
            line.push('\n');
            out.write_all(line.as_bytes())?;
        }
        writeln!(out, "\\.")
    }
}

fn add(line: &mut String, text: std::fmt::Arguments<'_>) {
    // A String takes everything.
    let _ = line.write_fmt(text);
}

fn word(g: &mut Random) -> &'static str {
    let place = usize::try_from(g.below(64)).unwrap_or(0);
    WORDS.get(place).copied().unwrap_or_default()
}

fn words(g: &mut Random, count: u64) -> String {
    let words: Vec<&str> = (0..count).map(|_| word(g)).collect();
    words.join(" ")
}

fn money(g: &mut Random) -> String {
    format!("{}.{:02}", g.below(10_000), g.below(100))
}

/// Ids grow with time: a row's id says which of some 800 days it is from.
fn time(g: &mut Random, id: u64) -> String {
    let (year, month, day) = (2024 + id / 200_000 % 2, 1 + id / 16_700 % 12, 1 + id / 600 % 28);
    let (hour, minute, second) = (id / 25 % 24, g.below(60), g.below(60));
    let micros = g.below(1_000_000);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}+00")
}

fn uuid(g: &mut Random) -> String {
    let (a, b) = (g.next(), g.next());
    let (time, middle, high) = (a >> 32, a >> 16 & 0xffff, a & 0xfff);
    format!("{time:08x}-{middle:04x}-4{high:03x}-a{:03x}-{:012x}", b >> 52, b & 0xffff_ffff_ffff)
}
