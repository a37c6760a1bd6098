//! A proxy passes on what it is not told to break.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod promises;

use std::time::{Duration, Instant};

use nightjar_testservers::{Authority, Azurite, Fault, GcsFake, Proxy};
use object_store::ObjectStore;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::path::Path;
use object_store::{Certificate, ClientOptions, Error, ObjectStoreExt, PutMode, RetryConfig};

fn store(fake: &GcsFake, proxy: &Proxy, retries: usize) -> GoogleCloudStorage {
    GoogleCloudStorageBuilder::new()
        .with_service_account_key(fake.service_account_key())
        .with_base_url(proxy.endpoint())
        .with_retry(RetryConfig { max_retries: retries, ..RetryConfig::default() })
        .with_bucket_name(fake.new_bucket())
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_proxy_without_faults_is_not_noticed() {
    let fake = GcsFake::start();
    let proxy = Proxy::start(fake.endpoint());
    promises::hold(&store(&fake, &proxy, 0)).await;
}

#[tokio::test]
async fn refused_requests_are_counted_and_do_not_reach_the_server() {
    let fake = GcsFake::start();
    let proxy = Proxy::start(fake.endpoint());
    let (store, path) = (store(&fake, &proxy, 3), Path::from("a"));
    proxy.inject(Fault::slow_down().method("PUT").times(2));
    store.put(&path, "a".into()).await.unwrap();
    assert_eq!((proxy.count("PUT"), proxy.count("GET")), (3, 0));
    proxy.inject(Fault::answer(409, "Conflict").on("/a").always());
    assert!(matches!(store.get(&path).await, Err(Error::AlreadyExists { .. })));
    store.put(&Path::from("b"), "b".into()).await.unwrap();
    proxy.heal();
    store.get(&path).await.unwrap();
}

#[tokio::test]
async fn an_answer_can_be_lost_after_the_server_did_its_work() {
    let fake = GcsFake::start();
    let proxy = Proxy::start(fake.endpoint());
    let store = store(&fake, &proxy, 0);
    for fault in [Fault::answer_after(500, "InternalError"), Fault::hang_up_after()] {
        let path = Path::from("a");
        proxy.inject(fault);
        store.put_opts(&path, "a".into(), PutMode::Create.into()).await.unwrap_err();
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "a");
        store.delete(&path).await.unwrap();
    }
    proxy.inject(Fault::hang_up());
    let path = Path::from("b");
    let refused = store.put(&path, "b".into()).await.unwrap_err();
    assert!(format!("{refused:?}").contains("IncompleteMessage"), "{refused:?}");
    assert!(matches!(store.get(&path).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn bodies_are_cut_and_stalled() {
    let fake = GcsFake::start();
    let proxy = Proxy::start(fake.endpoint());
    let (store, path) = (store(&fake, &proxy, 0), Path::from("a"));
    store.put(&path, "0123456789".into()).await.unwrap();
    proxy.inject(Fault::cut(4).method("GET"));
    store.get(&path).await.unwrap().bytes().await.unwrap_err();
    for fault in
        [Fault::stall(Duration::from_millis(300)), Fault::stall_body(4, Duration::from_millis(300))]
    {
        let start = Instant::now();
        proxy.inject(fault);
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "0123456789");
        assert!(start.elapsed() >= Duration::from_millis(300));
    }
}

#[tokio::test]
async fn a_proxy_keeps_the_path_of_an_endpoint() {
    let azurite = Azurite::start();
    let proxy = Proxy::start(azurite.endpoint());
    let container = azurite.new_bucket();
    let store = MicrosoftAzureBuilder::new()
        .with_endpoint(proxy.endpoint().to_owned())
        .with_allow_http(true)
        .with_account(azurite.account())
        .with_access_key(azurite.access_key())
        .with_container_name(&container)
        .build()
        .unwrap();
    promises::conditional_writes(&store).await;
    let path = format!("/{}/{container}", azurite.account());
    let seen = proxy.seen();
    assert!(seen.iter().all(|seen| seen.target.starts_with(&path)), "{seen:?}");
}

#[tokio::test]
async fn a_proxy_speaks_tls_for_a_server_that_does_not() {
    let fake = GcsFake::start();
    let authority = Authority::new();
    let proxy = Proxy::start_tls(fake.endpoint(), &authority);
    let trusted = Certificate::from_pem(authority.pem().as_bytes()).unwrap();
    let store = GoogleCloudStorageBuilder::new()
        .with_service_account_key(fake.service_account_key())
        .with_base_url(proxy.endpoint())
        .with_client_options(ClientOptions::new().with_root_certificate(trusted))
        .with_bucket_name(fake.new_bucket())
        .build()
        .unwrap();
    store.put(&Path::from("a"), "a".into()).await.unwrap();
    assert_eq!(proxy.count("PUT"), 1);
}
