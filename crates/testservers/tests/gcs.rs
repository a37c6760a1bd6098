//! The fake of Google Cloud Storage does what the store of `object_store` asks of the real one.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod promises;

use std::sync::Arc;

use futures::TryStreamExt;
use nightjar_testservers::{Authority, GcsFake};
use object_store::gcp::{GcpCredential, GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::path::Path;
use object_store::{
    Certificate, ClientOptions, Error, GetOptions, ObjectStore, ObjectStoreExt, PutMode,
    RetryConfig, StaticCredentialProvider,
};

fn builder(fake: &GcsFake, bucket: &str) -> GoogleCloudStorageBuilder {
    GoogleCloudStorageBuilder::new()
        .with_service_account_key(fake.service_account_key())
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .with_bucket_name(bucket)
}

fn store(fake: &GcsFake) -> GoogleCloudStorage {
    builder(fake, &fake.new_bucket()).build().unwrap()
}

#[tokio::test]
async fn the_fake_keeps_what_a_store_promises() {
    promises::hold(&store(&GcsFake::start())).await;
}

#[tokio::test]
async fn listings_go_on_over_pages_and_behind_an_offset() {
    let fake = GcsFake::builder().page(2).start();
    let store = store(&fake);
    for name in ["a/1", "a/2", "a/3", "b", "c/1", "c/2", "d", "e"] {
        store.put(&Path::from(name), name.into()).await.unwrap();
    }
    let offset = Path::from("a/2");
    let listed = store.list_with_offset(None, &offset);
    let listed: Vec<String> =
        listed.map_ok(|object| object.location.to_string()).try_collect().await.unwrap();
    assert_eq!(listed, ["a/3", "b", "c/1", "c/2", "d", "e"]);
    let list = store.list_with_delimiter(None).await.unwrap();
    let prefixes: Vec<&str> = list.common_prefixes.iter().map(Path::as_ref).collect();
    assert_eq!((prefixes, list.objects.len()), (vec!["a", "c"], 3));
}

#[tokio::test]
async fn copies_and_conditions_on_reads_are_played() {
    let fake = GcsFake::start();
    let store = store(&fake);
    let (from, to) = (Path::from("from"), Path::from("to"));
    let put = store.put(&from, "text".into()).await.unwrap();
    store.copy_if_not_exists(&from, &to).await.unwrap();
    let again = store.copy_if_not_exists(&from, &to).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
    let same = GetOptions { if_none_match: put.e_tag.clone(), ..GetOptions::default() };
    assert!(matches!(store.get_opts(&from, same).await, Err(Error::NotModified { .. })));
    let other = GetOptions { if_match: Some("\"other\"".to_owned()), ..GetOptions::default() };
    assert!(matches!(store.get_opts(&from, other).await, Err(Error::Precondition { .. })));
    let old = GetOptions { version: Some("1".to_owned()), ..GetOptions::default() };
    assert!(matches!(store.get_opts(&from, old).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_missing_bucket_and_a_missing_object_are_told_apart() {
    let fake = GcsFake::start();
    let path = Path::from("missing");
    let missing = builder(&fake, "no-such-bucket").build().unwrap().get(&path).await.unwrap_err();
    assert!(format!("{missing:?}").contains("NoSuchBucket"), "{missing:?}");
    let missing = store(&fake).get(&path).await.unwrap_err();
    assert!(format!("{missing:?}").contains("NoSuchKey"), "{missing:?}");
}

#[tokio::test]
async fn a_wrong_token_is_refused() {
    let fake = GcsFake::builder().token("right").start();
    let bucket = fake.new_bucket();
    let path = Path::from("a");
    for (token, may) in [("right", true), ("wrong", false), ("", false)] {
        let credential = GcpCredential { bearer: token.to_owned() };
        let store = builder(&fake, &bucket)
            .with_credentials(Arc::new(StaticCredentialProvider::new(credential)))
            .build()
            .unwrap();
        let put = store.put(&path, "a".into()).await;
        assert_eq!(put.is_ok(), may, "{put:?}");
        assert!(may || matches!(put, Err(Error::Unauthenticated { .. })), "{put:?}");
    }
}

#[tokio::test]
async fn tls_is_for_those_who_trust_the_authority() {
    let authority = Authority::new();
    let fake = GcsFake::builder().tls(&authority).start();
    let bucket = fake.new_bucket();
    let path = Path::from("secret");
    let pem = std::fs::read(authority.pem_file()).unwrap();
    let trusting = ClientOptions::new().with_root_certificate(Certificate::from_pem(&pem).unwrap());
    let store = builder(&fake, &bucket).with_client_options(trusting).build().unwrap();
    store.put(&path, "secret".into()).await.unwrap();
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "secret");
    let stranger = builder(&fake, &bucket).build().unwrap();
    let refused = stranger.get(&path).await.unwrap_err();
    assert!(format!("{refused:?}").contains("UnknownIssuer"), "{refused:?}");
}

#[tokio::test]
async fn the_fake_keeps_its_objects_when_started_again_and_is_gone_after_drop() {
    let mut fake = GcsFake::start();
    // Connections from before are dead, which is what retries are for.
    let store = builder(&fake, &fake.new_bucket()).with_retry(RetryConfig::default());
    let (store, path) = (store.build().unwrap(), Path::from("kept"));
    store.put_opts(&path, "kept".into(), PutMode::Create.into()).await.unwrap();
    fake.stop();
    assert!(!promises::takes_connections(fake.endpoint()));
    fake.start_again();
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "kept");
    let endpoint = fake.endpoint().to_owned();
    drop(fake);
    assert!(!promises::takes_connections(&endpoint));
}
