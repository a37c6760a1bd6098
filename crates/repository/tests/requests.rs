//! What a run costs in requests on a repository that is years old.
//!
//! `NIGHTJAR_YEARS=SNAPSHOTS,PACKS,BLOBS,NIGHTS` takes another repository than the usual one; what
//! was measured is printed. A terabyte and ten thousand snapshots, with a ledger of three years in
//! which every night forgot and collected, are `10000,65536,256,1095`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
#![expect(clippy::print_stdout, reason = "what was measured")]
#![expect(clippy::disallowed_methods, reason = "another repository can be asked for")]

use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;
use nightjar_format::object::ObjectName;
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_storage::{Counters, Store, StoreSettings, StoreUrl};
use nightjar_testkit::damage::{names, read};
use nightjar_testkit::edits::touched;
use nightjar_testkit::fixture::{Fixture, back_up, restore};
use nightjar_testkit::generate::noise;
use nightjar_testkit::years::{self, Years};
use nightjar_testservers::GcsFake;

fn years() -> Years {
    let text = std::env::var("NIGHTJAR_YEARS").unwrap_or_else(|_| "1000,2000,32,365".into());
    let numbers: Vec<u32> = text.split(',').map(|number| number.parse().unwrap()).collect();
    let [snapshots, packs, blobs, nights] = numbers[..] else { panic!("NIGHTJAR_YEARS={text}") };
    Years { snapshots, packs, blobs, nights }
}

/// A server that holds the repository, and packs of zeros where the index speaks of others.
struct Server {
    google: GcsFake,
    bucket: String,
    fixture: Fixture,
}

impl Server {
    fn start(years: &Years) -> Self {
        let fixture = Fixture::new(151);
        let last = fixture.night(&noise(151, 2_000_000));
        let zeros = Bytes::from(vec![0; 16 << 20]);
        let packs = years::pass(&fixture, years, &last.snapshot);
        let google = GcsFake::start();
        let bucket = google.new_bucket();
        let small = names(&fixture.store, "");
        google.fill(
            &bucket,
            small.into_iter().map(|name| {
                let object = read(&fixture.store, &name).into();
                (name, object)
            }),
        );
        google.fill(
            &bucket,
            packs.iter().map(|pack| {
                let size = usize::try_from(pack.bytes).unwrap();
                (ObjectName::Pack(pack.id).to_string(), zeros.slice(..size))
            }),
        );
        Self { google, bucket, fixture }
    }

    /// The repository as a machine with this cache directory reaches it.
    fn from(&self, cache: PathBuf) -> Fixture {
        let key = ("GOOGLE_SERVICE_ACCOUNT_KEY".into(), self.google.service_account_key());
        let settings =
            StoreSettings { variables: vec![key], allow_http: true, ..StoreSettings::default() };
        let url = StoreUrl::parse(&format!("gs://{}", self.bucket), Path::new("/")).unwrap();
        self.fixture.at(Store::open(&url, &settings).unwrap(), cache)
    }

    /// One run of a process of its own.
    fn night(&self, cache: &Path, bytes: &[u8], what: &str) -> (SnapshotInfo, Counters) {
        let here = self.from(cache.to_path_buf());
        here.world.sleep_until_next_night();
        let began = Instant::now();
        let info = back_up(&here.open(), bytes).unwrap();
        let Counters { http_requests, put, create, get, head, list, delete, .. } =
            here.store.counters();
        println!(
            "{what}: {http_requests} HTTP requests (put {put} create {create} get {get} head {head} \
             list {list} delete {delete}), {} bytes down, {} bytes up, {:.1?}",
            here.store.counters().bytes_down,
            here.store.counters().bytes_up,
            began.elapsed(),
        );
        (info, here.store.counters())
    }
}

#[test]
fn few_requests_on_a_repository_of_years() {
    let years = years();
    let server = Server::start(&years);
    let mut bytes = noise(151, 2_000_000);
    let home = server.fixture.world.fresh_cache();
    // Everything is loose at first; this run makes bundles of it.
    bytes = touched(&bytes, 1);
    server.night(&home, &bytes, "first, without bundles");
    bytes = touched(&bytes, 2);
    server.night(&home, &bytes, "changed");
    let (_, unchanged) = server.night(&home, &bytes, "unchanged");
    let cold = server.fixture.world.fresh_cache();
    let (info, started_cold) = server.night(&cold, &bytes, "without a cache");
    // Listings come in pages, whatever is done: of packs, index objects, registers and the ledger.
    let pages = u64::from(years.packs + 4 * years.snapshots + 6 * years.nights) / 1000;
    assert!(unchanged.http_requests <= 24 + pages, "{} requests", unchanged.http_requests);
    assert!(started_cold.http_requests <= 200, "{} requests", started_cold.http_requests);
    assert!(restore(&server.from(cold).open(), &info).unwrap() == bytes);
}
