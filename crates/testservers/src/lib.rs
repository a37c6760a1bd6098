//! Object stores on this machine, for tests: real servers where there is one, a fake where not.
//!
//! - [`Moto`]: S3, KMS, STS and IAM, as moto plays them;
//! - [`S3Files`]: S3 over a directory, quick, for benches only: its conditional creation races;
//! - [`Azurite`]: Azure's blob service, Microsoft's own emulator;
//! - [`GcsFake`]: Google Cloud Storage, a fake of ours for want of a real one;
//! - [`Garage`]: a cluster that ignores conditional creation, for the slower suite;
//! - [`Proxy`]: stands before any of them, counts requests, and does wrong what it is told to;
//! - [`Link`]: a line with latency and a rate, to any of them;
//! - [`Authority`]: certificates, for a fake or a proxy that speaks TLS.
//!
//! Each listens on a free port of 127.0.0.1 as soon as `start` returns, belongs to the test that
//! started it, and ends with it, however the test ends. `scripts/test` installs moto and Azurite,
//! `scripts/test-slow` Garage, and they say where they are.
#![expect(clippy::panic, reason = "a test whose server does not run has failed")]

mod azurite;
mod garage;
mod gcs;
mod link;
mod moto;
mod process;
mod proxy;
mod request;
mod s3_files;
mod served;
mod tls;

pub use azurite::Azurite;
pub use garage::Garage;
pub use gcs::{GcsFake, GcsFakeBuilder};
pub use link::{Line, Link};
pub use moto::Moto;
pub use proxy::{Fault, Proxy, Seen};
pub use request::Head;
pub use s3_files::S3Files;
pub use tls::Authority;
