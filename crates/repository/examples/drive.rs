//! temporary driver
#![allow(
    clippy::all,
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods
)]
use nightjar_codec::slot::Unlock;
use nightjar_repository::ingest::*;
use nightjar_repository::*;
use std::sync::Arc;
use std::time::Instant;
struct C;
impl Clock for C {
    fn now(&self) -> i64 {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos()
            as i64
    }
}
struct R;
impl nightjar_codec::Random for R {
    fn fill(&self, o: &mut [u8]) {
        use std::io::Read;
        std::fs::File::open("/dev/urandom").unwrap().read_exact(o).unwrap()
    }
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let env = Environment {
        clock: Arc::new(C),
        random: Arc::new(R),
        host: "h".into(),
        user: "u".into(),
        process: std::process::id(),
        program: "x".into(),
        cache_dir: format!("{}-cache", a[2]).into(),
    };
    let url = nightjar_storage::StoreUrl::parse(&a[2], &std::env::current_dir().unwrap()).unwrap();
    let unlock = Unlock::Passphrase(b"pw".to_vec().into());
    let t = Instant::now();
    if a[1] == "init" {
        let s = nightjar_storage::Store::open_or_create(&url).unwrap();
        Repository::create(s, &NewRepository::default(), &unlock, "l", env).unwrap();
        return;
    }
    let repo =
        Repository::open(nightjar_storage::Store::open(&url).unwrap(), &unlock, env).unwrap();
    println!("open {:?}", t.elapsed());
    let p = Progress::default();
    if a[1] == "create" {
        let mut f = std::fs::File::open(&a[3]).unwrap();
        let i = create_snapshot::<RepositoryError>(
            &repo,
            &SnapshotRequest { series: "s".into(), labels: vec![], level: 3 },
            &p,
            |feeder| {
                feeder.stream(&mut f, "x")?;
                feeder.file(nightjar_format::manifest::Entry {
                    name: b"d".to_vec(),
                    mode: 0o600,
                    uid: 0,
                    gid: 0,
                    user: vec![],
                    group: vec![],
                    modified: Default::default(),
                    origin: None,
                    hard_link: None,
                    attributes: vec![],
                    kind: nightjar_format::manifest::EntryKind::File(
                        nightjar_format::manifest::FileContent {
                            size: 0,
                            content: nightjar_format::manifest::Content::Chunks(vec![]),
                            holes: vec![],
                            changed_while_read: false,
                        },
                    ),
                })?;
                Ok(Fed {
                    source: nightjar_format::snapshot::Source::Stdin { name: "d".into() },
                    unreadable: 0,
                })
            },
        )
        .unwrap();
        println!("{:?}", i.snapshot.counts);
    } else {
        let l = snapshots::list(&repo).unwrap();
        let i = l.snapshots.last().unwrap();
        let r = read::Reader::open(&repo, &p).unwrap();
        println!("reader {:?}", t.elapsed());
        let mut w = nightjar_repository::manifest::walk::DirectoryWalk::new(i.snapshot.root);
        let e = w.next(&r).unwrap().unwrap();
        if let nightjar_format::manifest::EntryKind::File(f) = e.kind {
            let mut o = std::fs::File::create(&a[3]).unwrap();
            r.copy_content(&f.content, &mut o).unwrap();
        }
    }
    println!("total {:?}", t.elapsed());
}
