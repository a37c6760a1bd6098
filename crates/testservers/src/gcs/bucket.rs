//! What a bucket holds, and what conditions decide.

use std::collections::{BTreeMap, HashMap};

use axum::http::{HeaderName, HeaderValue};
use bytes::Bytes;
use jiff::Timestamp;

use super::error::Refusal;

/// All that a server holds. Every request looks at it and changes it under one lock, so
/// conditions are decided one after the other.
#[derive(Default)]
pub(super) struct Buckets {
    buckets: HashMap<String, Bucket>,
    /// The number of changes so far.
    changes: u64,
}

/// One bucket: its objects in the order of their names, and uploads that are not complete.
#[derive(Default)]
pub(super) struct Bucket {
    pub(super) objects: BTreeMap<String, Object>,
    pub(super) uploads: HashMap<String, Upload>,
}

#[derive(Clone)]
pub(super) struct Object {
    pub(super) data: Bytes,
    pub(super) generation: u64,
    pub(super) modified: Timestamp,
    /// Type, encoding, class and metadata that came with it.
    pub(super) attributes: Attributes,
}

pub(super) type Attributes = Vec<(HeaderName, HeaderValue)>;

/// An upload in parts.
pub(super) struct Upload {
    pub(super) name: String,
    pub(super) attributes: Attributes,
    pub(super) parts: BTreeMap<u32, Part>,
}

#[derive(Clone)]
pub(super) struct Part {
    pub(super) data: Bytes,
    pub(super) etag: String,
}

/// Parts of an upload but the last are at least this long.
const LEAST_PART_BYTES: usize = 5 << 20;

impl Object {
    pub(super) fn etag(&self) -> String {
        format!("\"{:016x}\"", self.generation)
    }
}

impl Buckets {
    pub(super) fn create(&mut self, name: &str) {
        self.buckets.entry(name.to_owned()).or_default();
    }

    pub(super) fn bucket(&mut self, name: &str) -> Result<&mut Bucket, Refusal> {
        self.buckets.get_mut(name).ok_or(Refusal::NO_BUCKET)
    }

    /// Stores an object if the generation that stands there is the `expected` one, where 0 is
    /// none.
    pub(super) fn put(
        &mut self,
        bucket: &str,
        name: String,
        data: Bytes,
        attributes: Attributes,
        expected: Option<u64>,
    ) -> Result<Object, Refusal> {
        let generation = self.next();
        let bucket = self.bucket(bucket)?;
        check(bucket.objects.get(&name), expected)?;
        let object = Object { data, generation, modified: Timestamp::now(), attributes };
        bucket.objects.insert(name, object.clone());
        Ok(object)
    }

    pub(super) fn delete(
        &mut self,
        bucket: &str,
        name: &str,
        expected: Option<u64>,
    ) -> Result<(), Refusal> {
        let bucket = self.bucket(bucket)?;
        check(bucket.objects.get(name), expected)?;
        bucket.objects.remove(name).map(drop).ok_or(Refusal::NO_OBJECT)
    }

    /// Opens an upload in parts and returns its id.
    pub(super) fn open(
        &mut self,
        bucket: &str,
        name: String,
        attributes: Attributes,
    ) -> Result<String, Refusal> {
        let id = format!("upload-{:x}", self.next());
        let upload = Upload { name, attributes, parts: BTreeMap::new() };
        self.bucket(bucket)?.uploads.insert(id.clone(), upload);
        Ok(id)
    }

    /// Stores a part in place of what had its number and returns its tag.
    pub(super) fn put_part(
        &mut self,
        bucket: &str,
        name: &str,
        id: &str,
        number: u32,
        data: Bytes,
    ) -> Result<String, Refusal> {
        let etag = format!("\"{:016x}\"", self.next());
        let part = Part { data, etag: etag.clone() };
        self.bucket(bucket)?.upload(name, id)?.parts.insert(number, part);
        Ok(etag)
    }

    /// Makes an object of the listed parts, which are named by number and tag.
    pub(super) fn complete(
        &mut self,
        bucket: &str,
        name: &str,
        id: &str,
        listed: &[(u32, String)],
    ) -> Result<Object, Refusal> {
        let upload = self.bucket(bucket)?.upload(name, id)?;
        if !listed.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err(Refusal::PART_ORDER);
        }
        let mut parts = Vec::new();
        for (number, etag) in listed {
            let part = upload.parts.get(number).filter(|part| part.etag == *etag);
            parts.push(part.ok_or(Refusal::NO_PART)?.data.clone());
        }
        let Some((_, but_last)) = parts.split_last() else { return Err(Refusal::NO_PART) };
        if but_last.iter().any(|part| part.len() < LEAST_PART_BYTES) {
            return Err(Refusal::SMALL_PART);
        }
        let attributes = upload.attributes.clone();
        self.bucket(bucket)?.uploads.remove(id);
        self.put(bucket, name.to_owned(), parts.concat().into(), attributes, None)
    }

    pub(super) fn abort(&mut self, bucket: &str, name: &str, id: &str) -> Result<(), Refusal> {
        let bucket = self.bucket(bucket)?;
        bucket.upload(name, id)?;
        bucket.uploads.remove(id);
        Ok(())
    }

    /// Generations look like Google's: microseconds since 1970, but counted.
    fn next(&mut self) -> u64 {
        self.changes += 1;
        1_700_000_000_000_000 + self.changes
    }
}

impl Bucket {
    /// The object, in this generation if one is asked for.
    pub(super) fn object(&self, name: &str, generation: Option<u64>) -> Result<&Object, Refusal> {
        let object = self.objects.get(name);
        let object =
            object.filter(|object| generation.is_none_or(|asked| asked == object.generation));
        object.ok_or(Refusal::NO_OBJECT)
    }

    fn upload(&mut self, name: &str, id: &str) -> Result<&mut Upload, Refusal> {
        self.uploads.get_mut(id).filter(|upload| upload.name == name).ok_or(Refusal::NO_UPLOAD)
    }
}

fn check(object: Option<&Object>, expected: Option<u64>) -> Result<(), Refusal> {
    match expected {
        Some(expected) if object.map_or(0, |object| object.generation) != expected => {
            Err(Refusal::PRECONDITION)
        }
        _ => Ok(()),
    }
}
