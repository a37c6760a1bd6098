//! Stores that are not directories: servers on this machine, if need be behind a long line.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use bytesize::ByteSize;
use clap::{Args, ValueEnum};
use nightjar_testservers::{GcsFake, Line, Link, Moto, S3Files};

use crate::tools::Program;

/// Where repositories are.
#[derive(Debug, Clone, Args)]
pub(crate) struct StoreArguments {
    /// Where repositories are; of those that are not directories, sizes are not measured.
    #[arg(long, value_enum, default_value_t = StoreKind::Directory)]
    store: StoreKind,
    /// Milliseconds that a round trip to the store takes.
    #[arg(long, value_name = "MS", requires = "rate")]
    latency: Option<u64>,
    /// Bytes per second to the store and back, such as 125MB for a gigabit.
    #[arg(long, value_name = "SIZE", requires = "latency")]
    rate: Option<ByteSize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StoreKind {
    /// A directory
    Directory,
    /// S3, as moto plays it (`NIGHTJAR_TEST_MOTO`): Nightjar and restic only
    S3,
    /// S3 over a directory, as s3s-fs plays it, which is quicker: Nightjar and restic only
    S3Files,
    /// Google Cloud Storage, as the tests' own fake plays it, which is quicker: Nightjar only
    Google,
}

/// A server that runs as long as this is there.
pub(crate) struct Far {
    server: Server,
    line: Option<Link>,
}

enum Server {
    S3(Moto),
    S3Files(S3Files),
    Google(GcsFake),
}

impl StoreArguments {
    /// Starts the server, unless repositories are directories.
    pub(crate) fn start(&self) -> Option<Far> {
        let server = match self.store {
            StoreKind::Directory => return None,
            StoreKind::S3 => Server::S3(Moto::start()),
            StoreKind::S3Files => Server::S3Files(S3Files::start()),
            StoreKind::Google => Server::Google(GcsFake::start()),
        };
        let line = self.latency.zip(self.rate).map(|(milliseconds, rate)| {
            let round_trip = Duration::from_millis(milliseconds);
            Link::start(server.endpoint(), Line { round_trip, rate: rate.as_u64() })
        });
        Some(Far { server, line })
    }
}

impl Server {
    fn endpoint(&self) -> &str {
        match self {
            Self::S3(moto) => moto.endpoint(),
            Self::S3Files(files) => files.endpoint(),
            Self::Google(google) => google.endpoint(),
        }
    }
}

impl Far {
    /// Makes an empty bucket and returns its name.
    pub(crate) fn new_bucket(&self) -> String {
        match &self.server {
            Server::S3(moto) => moto.new_bucket(),
            Server::S3Files(files) => files.new_bucket(),
            Server::Google(google) => google.new_bucket(),
        }
    }

    /// Tells a tool of its repository in a bucket.
    pub(crate) fn tell(&self, program: Program, bucket: &str, command: &mut Command) -> Result<()> {
        let endpoint = match &self.line {
            Some(line) => line.endpoint(),
            None => self.server.endpoint().to_owned(),
        };
        match &self.server {
            Server::S3(moto) => command.envs(moto.variables()),
            Server::S3Files(files) => command.envs(files.variables()),
            Server::Google(google) => {
                command.env("GOOGLE_SERVICE_ACCOUNT_KEY", google.service_account_key())
            }
        };
        match (program, &self.server) {
            (Program::Nightjar, server) => {
                let scheme = if matches!(server, Server::Google(_)) { "gs" } else { "s3" };
                command
                    .env("NIGHTJAR_REPOSITORY", format!("{scheme}://{bucket}/nightjar"))
                    .env("NIGHTJAR_ENDPOINT", endpoint)
                    .arg("--allow-http");
            }
            (Program::Restic, Server::S3(_) | Server::S3Files(_)) => {
                command.env("RESTIC_REPOSITORY", format!("s3:{endpoint}/{bucket}/restic"));
            }
            _ => bail!(
                "{} cannot be measured on this store: leave it out of --tools",
                program.name()
            ),
        }
        Ok(())
    }
}
