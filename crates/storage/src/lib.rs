//! From a URL to an object store: the only crate that talks to disks and clouds.
//!
//! A [`Store`] is a flat set of named, immutable-in-practice byte objects with six operations:
//! put, create, get, head, delete, list. It knows nothing of packs, keys or sessions; names are
//! slash-separated and mean nothing here.
//!
//! What the engine above relies on, and what every store must pass `tests/conformance.rs` for:
//!
//! - **Acknowledged means durable.** When a put, create or delete has answered, a power failure
//!   does not undo it, nor the directories that it needed (`local.rs` says how).
//! - **Creation is decided once.** Of any number of racing [`Store::create`] calls for a name,
//!   exactly one is answered [`Created::Created`]. A store that does not honour this is told
//!   apart by [`Store::probe_conditional_create`].
//! - **A listing is complete or an error.** An object that cannot be looked at is never left out
//!   in silence: the garbage collector would take it for deleted.
//! - **No partial objects.** A reader sees all bytes of an object or no object.
//!
//! The engine is synchronous: methods block, and `start_…` methods return a [`Pending`] answer.
//! The asynchronous runtime below is an implementation detail that no caller can see; calls from
//! plain threads, rayon workers and even foreign asynchronous code are all in order.
//!
//! Cross-cutting behaviour is a decorator around [`ObjectStore`], never an option of the store:
//! [`counters`] counts, [`faults`] breaks things in tests. [`Store::inner`] and [`Store::over`] put
//! one in between.

mod class;
mod cloud;
pub mod counters;
mod encryption;
mod error;
mod executor;
pub mod faults;
mod local;
mod memory;
mod multipart;
mod object;
mod requests;
mod settings;
mod store;
mod url;

pub use class::{Purpose, StorageClasses};
pub use counters::Counters;
pub use encryption::{Encryption, EncryptionMode};
pub use error::{Cause, StoreError};
pub use executor::Pending;
pub use object::{Created, ObjectInfo};
pub use object_store::ObjectStore;
pub use object_store::memory::InMemory;
pub use settings::{Multipart, StoreSettings};
pub use store::Store;
pub use url::StoreUrl;
