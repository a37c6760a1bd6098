//! Nights of a real PostgreSQL database. Rows stand where PostgreSQL's heap has them: an updated
//! row goes where there is room, at the end or into the hole that another one left.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;

use crate::data::rows::{LOG, TABLES};
use crate::data::server::Server;
use crate::data::{DataSet, whole_file};
use crate::measure::succeed;

/// What writes the dump.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// pg_dump
    Plain,
    /// pg_dump -Fc -Z0
    Custom,
    /// pg_basebackup -Ft
    Basebackup,
}

impl Format {
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Plain => "sql",
            Self::Custom => "dump",
            Self::Basebackup => "tar",
        }
    }
}

/// Makes a database, changes it each night and dumps it. The first night's is as it was filled.
pub(crate) fn make(base: &Path, set: &DataSet, nights: &[PathBuf]) -> Result<()> {
    let server = Server::start(base, matches!(set.format, Format::Basebackup))?;
    fill(&server, set)?;
    for (night, path) in (1..).zip(nights) {
        if night > 1 {
            change(&server, set, night)?;
        }
        server.sql(|script| writeln!(script, "VACUUM;"))?;
        whole_file(path, |part| dump(&server, set.format, part))?;
    }
    Ok(())
}

fn fill(server: &Server, set: &DataSet) -> Result<()> {
    server.sql(|script| {
        // In one transaction: what such a transaction fills needs no write-ahead log.
        writeln!(script, "BEGIN;")?;
        for table in &TABLES {
            table.create(script)?;
            table.fill(script, set.seed, 0..table.rows(set.bytes()))?;
            writeln!(script, "ALTER TABLE {} ADD PRIMARY KEY (id);", table.name)?;
        }
        writeln!(script, "COMMIT;")
    })
}

/// A night's work: some rows of three tables change, one by one and in random order, as an
/// application changes them; the log grows and a few events go.
fn change(server: &Server, set: &DataSet, night: u64) -> Result<()> {
    let updates = [
        (
            "orders",
            100,
            "status = (ARRAY['packed', 'sent', 'returned'])[1 + more % 3], updated = now",
        ),
        ("items", 200, "quantity = 1 + more % 9, price = (more % 1000000) / 100.0"),
        ("customers", 500, "balance = balance + (more % 20000) / 100.0, seen = now"),
    ];
    let salt = set.seed * 1000 + night;
    let logged = LOG.rows(set.bytes()) / 40;
    let logged_before = LOG.rows(set.bytes()) + (night - 2) * logged;
    let deleted = (set.bytes() / 4_500_000).max(200);
    server.sql(|script| {
        writeln!(
            script,
            "CREATE FUNCTION pg_temp.draw(id text, salt bigint) RETURNS bigint IMMUTABLE \
             LANGUAGE sql AS 'SELECT hashtextextended(id, salt) & 9223372036854775807';"
        )?;
        for (table, odds, changes) in updates {
            writeln!(
                script,
                "DO $$ DECLARE chosen record; more bigint; now timestamptz; BEGIN
                   FOR chosen IN SELECT id, pg_temp.draw(id::text, {salt}) AS draw FROM {table}
                     WHERE pg_temp.draw(id::text, {salt}) % {odds} = 0 ORDER BY draw, id LOOP
                     more := chosen.draw / {odds};
                     now := timestamptz '2026-01-01' + {night} * interval '1 day'
                       + more % 86400000000 * interval '1 microsecond';
                     UPDATE {table} SET {changes} WHERE id = chosen.id;
                     COMMIT;
                   END LOOP;
                 END $$;"
            )?;
        }
        LOG.fill(script, set.seed, logged_before..logged_before + logged)?;
        writeln!(
            script,
            "DELETE FROM events WHERE id IN (SELECT id FROM events \
             ORDER BY pg_temp.draw(id::text, {salt}), id LIMIT {deleted});"
        )
    })
}

fn dump(server: &Server, format: Format, part: &Path) -> Result<()> {
    let mut command = match format {
        Format::Plain => server.client("pg_dump"),
        Format::Custom => {
            let mut command = server.client("pg_dump");
            command.args(["-Fc", "-Z0"]);
            command
        }
        Format::Basebackup => {
            let mut command = server.client("pg_basebackup");
            command.args(["-Ft", "-D", "-", "-X", "none", "--checkpoint=fast", "--no-sync"]);
            command
        }
    };
    if !matches!(format, Format::Basebackup) {
        command.arg("postgres");
    }
    succeed(command.stdout(File::create(part)?))
}
