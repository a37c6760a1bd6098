//! Object stores on this machine, for tests: real servers where there is one, a fake where not.
//!
//! - [`Moto`]: S3, KMS, STS and IAM, as moto plays them;
//! - [`Azurite`]: Azure's blob service, Microsoft's own emulator.
//!
//! Each listens on a free port of 127.0.0.1 as soon as `start` returns, belongs to the test that
//! started it, and ends with it, however the test ends. `scripts/test` installs moto and Azurite
//! and says where they are.
#![expect(clippy::panic, reason = "a test whose server does not run has failed")]

mod azurite;
mod moto;
mod process;
mod request;

pub use azurite::Azurite;
pub use moto::Moto;
