//! The wire between us and a cloud: what goes wrong on it, and what comes of that.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::time::{Duration, Instant};

use nightjar_storage::{Created, Store, StoreError, StoreSettings, StoreUrl};
use nightjar_testservers::{Authority, Fault, Moto, Proxy};

const LIMIT: u64 = 64 << 20;

/// A server behind a proxy that does wrong.
struct Far {
    moto: Moto,
    proxy: Proxy,
    bucket: String,
}

impl Far {
    fn new() -> Self {
        let moto = Moto::start();
        let (proxy, bucket) = (Proxy::start(moto.endpoint()), moto.new_bucket());
        Self { moto, proxy, bucket }
    }

    /// Settings that give up within seconds.
    fn settings(&self) -> StoreSettings {
        let variables = self.moto.variables();
        StoreSettings {
            variables: variables.map(|(name, value)| (name.into(), value.into())).into(),
            endpoint: Some(self.proxy.endpoint().to_owned()),
            allow_http: true,
            retry_budget: Duration::from_secs(3),
            ..StoreSettings::default()
        }
    }

    fn url(&self) -> StoreUrl {
        StoreUrl::parse(&format!("s3://{}/x", self.bucket), Path::new("/")).unwrap()
    }

    /// One that has been reached before.
    fn store(&self, settings: &StoreSettings) -> Store {
        let store = Store::open(&self.url(), settings).unwrap();
        assert!(store.list("").unwrap().is_empty());
        store
    }

    fn patient(&self) -> StoreSettings {
        StoreSettings { retry_budget: Duration::from_mins(2), ..self.settings() }
    }
}

#[test]
fn what_fails_for_a_moment_is_tried_again() {
    let far = Far::new();
    let store = far.store(&far.patient());
    let data = "0123456789".repeat(10_000);
    for fault in [
        Fault::answer(500, "InternalError"),
        Fault::answer(502, "Bad"),
        Fault::answer_after(504, "Late"),
        Fault::slow_down(),
        Fault::hang_up(),
        Fault::hang_up_after(),
    ] {
        far.proxy.inject(fault.method("PUT"));
    }
    store.put("a", data.clone().into()).unwrap();
    far.proxy.inject(Fault::cut(5000).method("GET"));
    far.proxy.inject(Fault::slow_down().method("GET"));
    assert_eq!(store.get("a", LIMIT).unwrap(), data);
    far.proxy.inject(Fault::hang_up().method("GET"));
    assert_eq!(store.list("").unwrap().len(), 1);
    let counters = store.counters();
    assert_eq!((counters.retries, counters.throttled), (9, 2));
    assert_eq!((counters.put, counters.get), (1, 1));
}

#[test]
fn a_creation_that_meets_itself_is_our_own() {
    let far = Far::new();
    let store = far.store(&far.patient());
    for (name, fault) in [
        ("done, and called failed", Fault::answer_after(500, "InternalError")),
        ("done, and not answered", Fault::hang_up_after()),
        ("not decided", Fault::answer(409, "ConditionalRequestConflict")),
    ] {
        far.proxy.inject(fault.method("PUT"));
        assert_eq!(store.create(name, "ours".into()).unwrap(), Created::Created, "{name}");
        assert_eq!(store.create(name, "theirs".into()).unwrap(), Created::Exists, "{name}");
        assert_eq!(store.get(name, LIMIT).unwrap(), "ours");
    }
}

#[test]
fn a_creation_whose_answers_are_all_lost_is_read_back() {
    let far = Far::new();
    let store = far.store(&far.settings());
    far.proxy.inject(Fault::answer_after(500, "InternalError").method("PUT").always());
    assert_eq!(store.create("a", "ours".into()).unwrap(), Created::Created);
    assert_eq!(store.create("a", "theirs".into()).unwrap(), Created::Exists);
}

#[test]
fn a_creation_that_never_arrives_is_a_failure() {
    let far = Far::new();
    let store = far.store(&far.settings());
    far.proxy.inject(Fault::slow_down().method("PUT").always());
    let error = store.create("a", "ours".into()).unwrap_err();
    assert!(matches!(error, StoreError::Failed { .. }), "{error}");
    far.proxy.heal();
    assert!(store.head("a").unwrap().is_none());
    assert!(store.counters().throttled > 1);
}

#[test]
fn what_stands_still_is_given_up_and_asked_for_again() {
    let far = Far::new();
    let patience = Duration::from_secs(2);
    let store = far.store(&StoreSettings { patience, ..far.patient() });
    let data = "0123456789".repeat(10_000);
    store.put("a", data.clone().into()).unwrap();
    far.proxy.inject(Fault::stall_body(5000, Duration::from_mins(10)).method("GET"));
    far.proxy.inject(Fault::stall(Duration::from_mins(10)).method("GET"));
    assert_eq!(store.get("a", LIMIT).unwrap(), data);
    assert_eq!(store.counters().retries, 2);
}

#[test]
fn what_moves_is_never_given_up_however_slowly() {
    let far = Far::new();
    let patience = Duration::from_secs(1);
    let rate = Some(200_000);
    let limits = StoreSettings { upload_limit: rate, download_limit: rate, ..far.patient() };
    let store = far.store(&StoreSettings { patience, ..limits });
    let data = "0123456789".repeat(60_000);
    let start = Instant::now();
    store.put("a", data.clone().into()).unwrap();
    // Three seconds' worth, less what a pause may save up.
    assert!(start.elapsed() > Duration::from_millis(2500));
    let start = Instant::now();
    assert_eq!(store.get("a", LIMIT).unwrap(), data);
    assert!(start.elapsed() > Duration::from_millis(2500));
    assert_eq!(store.counters().retries, 0);
}

#[test]
fn a_refusal_is_not_tried_again() {
    let far = Far::new();
    let store = far.store(&far.patient());
    for (status, code, advice) in [
        (403, "AccessDenied", "does not permit"),
        (403, "SignatureDoesNotMatch", "check the secret"),
        (403, "InvalidAccessKeyId", "does not know the access key"),
        (400, "ExpiredToken", "have expired"),
        (403, "RequestTimeTooSkewed", "clock"),
        (301, "PermanentRedirect", "another region"),
        (403, "QuotaExceeded", "raise the quota"),
        (507, "XMinioStorageFull", "free some space"),
    ] {
        far.proxy.inject(Fault::answer(status, code).method("PUT"));
        let error = store.put("a", "x".into()).unwrap_err();
        assert!(error.to_string().contains(advice), "{code}: {error}");
        // An answer to HEAD has no body that tells.
        far.proxy.inject(Fault::answer(status, code).on("/a").times(2));
        let error = store.head("a").unwrap_err();
        assert!(error.to_string().contains(advice), "{code}: {error}");
        far.proxy.heal();
    }
    assert_eq!(store.counters().retries, 0);
}

#[test]
fn a_listing_that_is_refused_is_told_as_such() {
    let far = Far::new();
    let store = far.store(&far.patient());
    far.proxy.inject(Fault::answer(403, "AccessDenied"));
    let error = store.list("").unwrap_err();
    assert!(matches!(error, StoreError::PermissionDenied { operation: "list", .. }), "{error}");
}

#[test]
fn a_deletion_that_is_refused_within_a_success_is_refused() {
    let far = Far::new();
    let store = far.store(&far.patient());
    store.put("a", "x".into()).unwrap();
    far.proxy.inject(Fault::keep_objects().always());
    let error = store.delete("a").unwrap_err();
    assert!(matches!(error, StoreError::PermissionDenied { operation: "delete", .. }), "{error}");
    // What cannot be removed again can be tried all the same.
    assert!(store.probe_conditional_create("probe").unwrap());
    far.proxy.heal();
    assert_eq!(store.list("").unwrap().len(), 2);
}

#[test]
fn a_certificate_must_be_of_a_trusted_authority() {
    let far = Far::new();
    let authority = Authority::new();
    let proxy = Proxy::start_tls(far.moto.endpoint(), &authority);
    let endpoint = Some(proxy.endpoint().to_owned());
    let settings = StoreSettings { endpoint, allow_http: false, ..far.settings() };
    let store = Store::open(&far.url(), &settings).unwrap();
    let error = store.list("").unwrap_err();
    assert!(error.to_string().contains("--ca-file"), "{error}");
    assert_eq!(store.counters().retries, 0);
    let certificates = vec![authority.pem().into_bytes()];
    let store = Store::open(&far.url(), &StoreSettings { certificates, ..settings }).unwrap();
    store.put("a", "x".into()).unwrap();
    assert_eq!(store.get("a", LIMIT).unwrap(), "x");
}

#[test]
fn an_endpoint_without_tls_must_be_asked_for() {
    let far = Far::new();
    let settings = StoreSettings { allow_http: false, ..far.settings() };
    let error = Store::open(&far.url(), &settings).unwrap_err();
    assert!(error.to_string().contains("--allow-http"), "{error}");
}
