//! Large objects in parts, on each kind of cloud, and with faults in between.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use nightjar_storage::{Multipart, Purpose, Store, StoreError, StoreSettings, StoreUrl};
use nightjar_testservers::{Azurite, Fault, GcsFake, Moto, Proxy};

const MIB: usize = 1 << 20;
const LIMIT: u64 = 64 << 20;

/// Three parts, of which the last is short, and no two are alike.
fn large() -> Bytes {
    (0..(12 << 20) / 4_u32).flat_map(u32::to_le_bytes).collect()
}

/// A bucket behind a proxy.
struct Far {
    proxy: Proxy,
    url: StoreUrl,
    variables: Vec<(String, String)>,
}

impl Far {
    fn new(endpoint: &str, url: &str, variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Self {
            proxy: Proxy::start(endpoint),
            url: StoreUrl::parse(url, Path::new("/")).unwrap(),
            variables: variables.collect(),
        }
    }

    /// One that has been reached before.
    fn store(&self, retry_budget: Duration) -> Store {
        let settings = StoreSettings {
            variables: self.variables.clone(),
            endpoint: Some(self.proxy.endpoint().to_owned()),
            allow_http: true,
            multipart: Multipart { above_bytes: 6 * MIB as u64, part_bytes: 5 * MIB },
            retry_budget,
            ..StoreSettings::default()
        };
        let store = Store::open(&self.url, &settings).unwrap();
        assert!(store.head("nothing").unwrap().is_none());
        self.proxy.forget();
        store
    }

    fn patient(&self) -> Store {
        self.store(Duration::from_mins(2))
    }

    fn hasty(&self) -> Store {
        self.store(Duration::from_secs(2))
    }
}

fn put(store: &Store, name: &str, data: Bytes) -> Result<(), StoreError> {
    store.start_put(name.to_owned(), data, Purpose::Data).wait()
}

fn with_moto(test: impl FnOnce(&Far, &Moto, &str)) {
    let moto = Moto::start();
    let bucket = moto.new_bucket();
    test(
        &Far::new(moto.endpoint(), &format!("s3://{bucket}/x"), &moto.variables()),
        &moto,
        &bucket,
    );
}

fn with_azurite(test: impl FnOnce(&Far)) {
    let azurite = Azurite::start();
    let container = azurite.new_bucket();
    let url = format!("az://{container}/x");
    test(&Far::new(azurite.endpoint(), &url, &azurite.variables()));
}

fn with_google(test: impl FnOnce(&Far, &GcsFake, &str)) {
    let google = GcsFake::start();
    let bucket = google.new_bucket();
    let key =
        r#"{"private_key": "", "private_key_id": "", "client_email": "", "disable_oauth": true}"#;
    let variables = [("GOOGLE_SERVICE_ACCOUNT_KEY", key)];
    test(&Far::new(google.endpoint(), &format!("gs://{bucket}/x"), &variables), &google, &bucket);
}

/// A large object goes in parts, a small one and a created one do not; bytes and requests count.
fn goes_in_parts(far: &Far, part: &str) {
    let store = far.patient();
    let data = large();
    let parts = || far.proxy.seen().iter().filter(|seen| seen.target.contains(part)).count();
    put(&store, "large", data.clone()).unwrap();
    assert_eq!(parts(), 3);
    assert_eq!(store.get("large", LIMIT).unwrap(), data);
    let counters = store.counters();
    assert_eq!((counters.put, counters.bytes_up), (1, data.len() as u64));
    put(&store, "small", data.slice(..6 * MIB)).unwrap();
    store.create("created", data.slice(..7 * MIB)).unwrap();
    assert_eq!(parts(), 3);
    // It replaces, as any put does.
    put(&store, "large", data.slice(..7 * MIB)).unwrap();
    assert_eq!(store.get("large", LIMIT).unwrap(), data.slice(..7 * MIB));
    assert_eq!(parts(), 5);
    assert_eq!(store.list("").unwrap().len(), 3);
}

#[test]
fn a_large_object_goes_to_s3_in_parts() {
    with_moto(|far, _, _| goes_in_parts(far, "partNumber="));
}

#[test]
fn a_large_object_goes_to_azure_in_parts() {
    with_azurite(|far| goes_in_parts(far, "comp=block&"));
}

#[test]
fn a_large_object_goes_to_google_in_parts() {
    with_google(|far, _, _| goes_in_parts(far, "partNumber="));
}

/// Faults in a part and in the completion that pass are not seen from above.
fn outlives_faults(far: &Far, part: &str, completion: &str) {
    let store = far.patient();
    let data = large();
    let faults = || {
        [
            Fault::answer(500, "InternalError"),
            Fault::answer_after(503, "SlowDown"),
            Fault::hang_up(),
            Fault::hang_up_after(),
        ]
    };
    let torn = [Fault::tear(100_000), Fault::tear(4 * MIB)];
    for (number, fault) in faults().into_iter().chain(torn).enumerate() {
        far.proxy.inject(fault.on(part).spare(1));
        put(&store, &format!("part-{number}"), data.clone()).unwrap();
        assert_eq!(store.get(&format!("part-{number}"), LIMIT).unwrap(), data, "{number}");
    }
    assert!(store.counters().retries >= 6);
    // A completion that was done, and not answered so, is asked for in vain; and is done.
    for (number, fault) in faults().into_iter().enumerate() {
        far.proxy.inject(fault.on(completion));
        put(&store, &format!("end-{number}"), data.clone()).unwrap();
        assert_eq!(store.get(&format!("end-{number}"), LIMIT).unwrap(), data, "{number}");
    }
    assert!(store.counters().retries >= 10);
}

#[test]
fn s3_gets_it_all_whatever_breaks_on_the_way() {
    with_moto(|far, moto, bucket| {
        outlives_faults(far, "partNumber=", "?uploadId=");
        assert_eq!(moto.open_uploads(bucket), 0);
    });
}

#[test]
fn azure_gets_it_all_whatever_breaks_on_the_way() {
    with_azurite(|far| outlives_faults(far, "comp=block&", "comp=blocklist"));
}

#[test]
fn google_gets_it_all_whatever_breaks_on_the_way() {
    with_google(|far, google, bucket| {
        outlives_faults(far, "partNumber=", "?uploadId=");
        assert_eq!(google.open_uploads(bucket), 0);
    });
}

/// What does not get through leaves nothing: no object, no parts that are paid for.
fn leaves_nothing(far: &Far, part: &str, completion: &str, open_uploads: &dyn Fn() -> usize) {
    for fault in [Fault::slow_down().on(part).spare(1), Fault::slow_down().on(completion)] {
        let store = far.hasty();
        far.proxy.inject(fault.method("PUT").always());
        far.proxy.inject(Fault::slow_down().on(completion).method("POST").always());
        let error = put(&store, "large", large()).unwrap_err();
        assert!(matches!(error, StoreError::Failed { .. }), "{error}");
        far.proxy.heal();
        assert!(store.head("large").unwrap().is_none());
        assert_eq!(open_uploads(), 0);
    }
}

#[test]
fn an_upload_to_s3_that_fails_leaves_nothing() {
    with_moto(|far, moto, bucket| {
        leaves_nothing(far, "partNumber=", "?uploadId=", &|| moto.open_uploads(bucket));
    });
}

#[test]
fn an_upload_to_azure_that_fails_leaves_nothing() {
    with_azurite(|far| leaves_nothing(far, "comp=block&", "comp=blocklist", &|| 0));
}

#[test]
fn an_upload_to_google_that_fails_leaves_nothing() {
    with_google(|far, google, bucket| {
        leaves_nothing(far, "partNumber=", "?uploadId=", &|| google.open_uploads(bucket));
    });
}

#[test]
fn an_object_of_the_same_size_is_not_taken_for_ours() {
    with_moto(|far, _, _| {
        let store = far.hasty();
        let theirs = Bytes::from(vec![1; large().len()]);
        put(&store, "large", theirs.clone()).unwrap();
        far.proxy.inject(Fault::slow_down().on("?uploadId=").method("POST").always());
        put(&store, "large", large()).unwrap_err();
        assert_eq!(store.get("large", LIMIT).unwrap(), theirs);
    });
}

/// S3 answers a completion with 200 before it knows how it ends.
#[test]
fn a_completion_that_fails_within_a_success_is_tried_again() {
    with_moto(|far, _, _| {
        let store = far.patient();
        far.proxy.inject(Fault::answer(200, "InternalError").on("?uploadId=").method("POST"));
        put(&store, "large", large()).unwrap();
        assert_eq!(store.get("large", LIMIT).unwrap(), large());
        assert_eq!(store.counters().retries, 1);
    });
}

#[test]
fn a_refusal_ends_an_upload_at_once() {
    with_moto(|far, moto, bucket| {
        let store = far.patient();
        far.proxy.inject(Fault::answer(403, "AccessDenied").on("partNumber=2"));
        let error = put(&store, "large", large()).unwrap_err();
        assert!(matches!(error, StoreError::PermissionDenied { .. }), "{error}");
        // Nobody is told that the object is missing, which is only about to be written.
        far.proxy.inject(Fault::answer(404, "NoSuchUpload").on("partNumber=2"));
        let error = put(&store, "large", large()).unwrap_err();
        assert!(matches!(error, StoreError::Failed { .. }), "{error}");
        // Each was asked for once; others were given up in the middle.
        let seen = far.proxy.seen();
        assert_eq!(seen.iter().filter(|seen| seen.target.contains("partNumber=2")).count(), 2);
        assert_eq!(moto.open_uploads(bucket), 0);
    });
}
