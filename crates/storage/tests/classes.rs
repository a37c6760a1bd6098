//! What a store is told beside an object's bytes, as its servers see it: classes and encryption.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use nightjar_storage::{
    Encryption, EncryptionMode, Multipart, Purpose, StorageClasses, Store, StoreError,
    StoreSettings, StoreUrl,
};
use nightjar_testservers::{Azurite, GcsFake, Moto};

const MIB: usize = 1 << 20;

fn settings(endpoint: &str, variables: &[(&str, &str)], data: &str, meta: &str) -> StoreSettings {
    let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    StoreSettings {
        endpoint: Some(endpoint.to_owned()),
        allow_http: true,
        variables: variables.collect(),
        classes: StorageClasses { data: Some(data.to_owned()), metadata: Some(meta.to_owned()) },
        multipart: Multipart { above_bytes: 6 * MIB as u64, part_bytes: 5 * MIB },
        ..StoreSettings::default()
    }
}

fn open(url: &str, settings: &StoreSettings) -> Result<Store, StoreError> {
    Store::open(&StoreUrl::parse(url, Path::new("/")).unwrap(), settings)
}

/// One object of each way to write one.
fn write(store: &Store) {
    store.start_put("data".into(), "x".into(), Purpose::Data).wait().unwrap();
    store.start_put("tree".into(), "x".into(), Purpose::Metadata).wait().unwrap();
    store.start_put("large".into(), vec![7; 11 * MIB].into(), Purpose::Data).wait().unwrap();
    store.put("session", "x".into()).unwrap();
    store.create("index", "x".into()).unwrap();
}

const DATA: [&str; 2] = ["data", "large"];
const METADATA: [&str; 3] = ["tree", "session", "index"];

#[test]
fn s3_keeps_data_and_metadata_in_classes_of_their_own() {
    let moto = Moto::start();
    let bucket = moto.new_bucket();
    let settings = settings(moto.endpoint(), &moto.variables(), "GLACIER_IR", "STANDARD_IA");
    write(&open(&format!("s3://{bucket}/x"), &settings).unwrap());
    let class = |name: &&str| {
        let head = moto.head(&bucket, &format!("x/{name}"));
        head.field("x-amz-storage-class").map(str::to_owned)
    };
    assert_eq!(DATA.iter().filter_map(class).collect::<Vec<_>>(), ["GLACIER_IR"; 2]);
    assert_eq!(METADATA.iter().filter_map(class).collect::<Vec<_>>(), ["STANDARD_IA"; 3]);
}

#[test]
fn azure_keeps_data_and_metadata_in_tiers_of_their_own() {
    let azurite = Azurite::start();
    let container = azurite.new_bucket();
    let settings = settings(azurite.endpoint(), &azurite.variables(), "cold", "Cool");
    write(&open(&format!("az://{container}/x"), &settings).unwrap());
    let tier = |name: &&str| {
        let head = azurite.head(&container, &format!("x/{name}"));
        head.field("x-ms-access-tier").map(str::to_owned)
    };
    assert_eq!(DATA.iter().filter_map(tier).collect::<Vec<_>>(), ["Cold"; 2]);
    assert_eq!(METADATA.iter().filter_map(tier).collect::<Vec<_>>(), ["Cool"; 3]);
}

#[test]
fn google_keeps_data_and_metadata_in_classes_of_their_own() {
    let google = GcsFake::start();
    let bucket = google.new_bucket();
    let key = google.service_account_key();
    let variables = [("GOOGLE_SERVICE_ACCOUNT_KEY", key.as_str())];
    let settings = settings(google.endpoint(), &variables, "COLDLINE", "STANDARD");
    write(&open(&format!("gs://{bucket}/x"), &settings).unwrap());
    let class = |name: &&str| google.header(&bucket, &format!("x/{name}"), "x-goog-storage-class");
    assert_eq!(DATA.iter().filter_map(class).collect::<Vec<_>>(), ["COLDLINE"; 2]);
    assert_eq!(METADATA.iter().filter_map(class).collect::<Vec<_>>(), ["STANDARD"; 3]);
}

#[test]
fn s3_is_told_how_to_encrypt_whatever_is_written() {
    let moto = Moto::start();
    let key = moto.new_kms_key();
    let (s3, kms) = (EncryptionMode::S3, EncryptionMode::Kms);
    for (mode, kms_key_id, bucket_key, told) in [
        (s3, None, None, "AES256"),
        (kms, Some(key.clone()), Some(true), "aws:kms"),
        (kms, None, None, "aws:kms"),
        (EncryptionMode::DualKms, Some(key.clone()), None, "aws:kms:dsse"),
    ] {
        let bucket = moto.new_bucket();
        let classes = settings(moto.endpoint(), &moto.variables(), "STANDARD", "STANDARD");
        let encryption = Encryption { mode, kms_key_id: kms_key_id.clone(), bucket_key };
        // One source at a time: this one would not go with it.
        let mut settings = StoreSettings { encryption: Some(encryption), ..classes };
        settings.variables.push(("AWS_SSE_KMS_KEY_ID".into(), "another".into()));
        write(&open(&format!("s3://{bucket}/x"), &settings).unwrap());
        for name in DATA.iter().chain(&METADATA) {
            let head = moto.head(&bucket, &format!("x/{name}"));
            let field = |name: &str| head.field(&format!("x-amz-server-side-encryption{name}"));
            assert_eq!(field(""), Some(told), "{name}\n{head}");
            let key = field("-aws-kms-key-id");
            // Of the second way of KMS, moto keeps no key.
            match kms_key_id.as_ref().filter(|_| mode == kms) {
                Some(id) => assert!(key.is_some_and(|key| key.ends_with(id)), "{name}\n{head}"),
                None => assert_ne!(key, Some("another"), "{name}\n{head}"),
            }
            // What came with an upload in parts, moto forgets.
            let on = field("-bucket-key-enabled").is_some_and(|on| on.eq_ignore_ascii_case("true"));
            assert_eq!(on, bucket_key == Some(true) && *name != "large", "{name}\n{head}");
        }
    }
}

#[test]
fn what_a_store_cannot_be_told_is_refused_before_anything_is_written() {
    let class = |name: &str| {
        let data = Some(name.to_owned());
        let classes = StorageClasses { data, metadata: None };
        StoreSettings { classes, ..StoreSettings::default() }
    };
    let encryption = Encryption { mode: EncryptionMode::S3, kms_key_id: None, bucket_key: None };
    let encrypted = StoreSettings { encryption: Some(encryption), ..StoreSettings::default() };
    for (url, settings, why) in [
        ("s3://b", class("DEEP_ARCHIVE"), "use GLACIER_IR"),
        ("az://b", class("archive"), "use Cold"),
        ("gs://b", class("Cool"), "use one of STANDARD"),
        ("/nowhere", class("STANDARD"), "only stores in a cloud"),
        ("memory://classes", class("STANDARD"), "only stores in a cloud"),
        ("az://b", encrypted.clone(), "set on the container"),
        ("gs://b", encrypted.clone(), "set on the bucket"),
        ("/nowhere", encrypted, "a directory is encrypted by its disk"),
    ] {
        let error = open(url, &settings).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, StoreError::BadUrl { .. }) && text.contains(why), "{url}: {text}");
    }
}
