//! What disks and enemies do to objects.

use nightjar_format::SlotId;
use nightjar_format::object::ObjectName;
use nightjar_storage::Store;

use crate::generate::Rng;

/// One act of damage to one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// It is gone.
    Delete,
    /// Only the first half is left.
    Halve,
    /// It is empty.
    Empty,
    /// One bit differs, in the byte at this many thousandths of its length.
    Flip(usize),
    /// It and another object have each other's bytes.
    Swap(String),
    /// It has these bytes, which once were right.
    Replace(Vec<u8>),
}

impl Damage {
    /// What can be done to any object, whatever others there are.
    pub const BASIC: &[Self] = &[
        Self::Delete,
        Self::Halve,
        Self::Empty,
        Self::Flip(0),
        Self::Flip(8),
        Self::Flip(310),
        Self::Flip(700),
        Self::Flip(1000),
    ];

    /// Does it.
    pub fn inflict(&self, store: &Store, name: &str) {
        let mut object = read(store, name);
        match self {
            Self::Delete => return store.delete(name).unwrap(),
            Self::Halve => object.truncate(object.len() / 2),
            Self::Empty => object.clear(),
            Self::Flip(thousandths) => {
                let place = (object.len() * thousandths / 1000).min(object.len() - 1);
                let bit = Rng::new(place as u64).below(8);
                if let Some(byte) = object.get_mut(place) {
                    *byte ^= 1 << bit;
                }
            }
            Self::Swap(other) => {
                let others = read(store, other);
                write(store, other, object);
                object = others;
            }
            Self::Replace(bytes) => object = bytes.clone(),
        }
        write(store, name, object);
    }

    /// The damage in a word or two.
    pub fn label(&self) -> String {
        match self {
            Self::Swap(other) => format!("swap with {other}"),
            Self::Replace(_) => "replace by an older version".into(),
            Self::Flip(thousandths) => format!("flip a bit at {thousandths} ‰"),
            other => format!("{other:?}"),
        }
    }
}

/// An object's bytes.
pub fn read(store: &Store, name: &str) -> Vec<u8> {
    store.get(name, u64::MAX).unwrap().to_vec()
}

/// Writes an object, whatever stands there.
pub fn write(store: &Store, name: &str, object: Vec<u8>) {
    store.put(name, object.into()).unwrap();
}

/// The names of the objects below a prefix.
pub fn names(store: &Store, prefix: &str) -> Vec<String> {
    store.list(prefix).unwrap().into_iter().map(|info| info.name).collect()
}

/// A store in memory with the same objects.
pub fn copy_of(store: &Store) -> Store {
    let copy = Store::memory();
    for name in names(store, "") {
        write(&copy, &name, read(store, &name));
    }
    copy
}

/// The name of a slot's keyring of an epoch.
pub fn keyring_name(store: &Store, epoch: u32, slot: SlotId) -> String {
    let fits = |name: &String| {
        let parsed = ObjectName::parse(name);
        matches!(parsed, Some(ObjectName::Keyring(e, _, s)) if (e, s) == (epoch, slot))
    };
    names(store, "keyring").into_iter().find(fits).unwrap()
}
