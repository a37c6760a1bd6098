//! A repository in a bucket, with a proxy on the way that can do wrong.

use nightjar_testservers::{Fault, Moto, Proxy};

use crate::harness::{Nightjar, Sandbox, WEAK, data::noise};

pub(super) struct Far {
    pub(super) sandbox: Sandbox,
    pub(super) moto: Moto,
    pub(super) proxy: Proxy,
    pub(super) url: String,
}

impl Far {
    /// Without a repository.
    pub(super) fn new() -> Self {
        let (sandbox, moto) = (Sandbox::without_repository(), Moto::start());
        let proxy = Proxy::start(moto.endpoint());
        let url = format!("s3://{}/backups", moto.new_bucket());
        Self { sandbox, moto, proxy, url }
    }

    /// With one that holds a dump in the series `dump.sql`.
    pub(super) fn with_dump() -> (Self, Vec<u8>) {
        let far = Self::new();
        far.run(&format!("init {WEAK}")).done();
        let dump = noise(1, 5_000_000);
        far.run("backup --stdin dump.sql").stdin(dump.clone()).done();
        (far, dump)
    }

    pub(super) fn run(&self, args: &str) -> Nightjar {
        let run = self.sandbox.nightjar("--allow-http").args(args);
        let run = run.env("NIGHTJAR_REPOSITORY", &self.url);
        let run = run.env("NIGHTJAR_ENDPOINT", self.proxy.endpoint());
        self.moto.variables().into_iter().fold(run, |run, (name, value)| run.env(name, value))
    }

    /// The same on a machine that has never seen the repository.
    pub(super) fn run_elsewhere(&self, args: &str) -> Nightjar {
        self.run(args).env("NIGHTJAR_CACHE_DIR", self.sandbox.path("elsewhere"))
    }

    /// From now on the credentials may only read.
    pub(super) fn refuse_writes(&self) {
        for method in ["PUT", "POST", "DELETE"] {
            self.proxy.inject(Fault::answer(403, "AccessDenied").method(method).always());
        }
    }

    /// All is well again, and the dump comes back.
    #[track_caller]
    pub(super) fn nothing_is_lost(&self, dump: &[u8]) {
        self.proxy.heal();
        let restored = self.run_elsewhere("restore latest --series dump.sql --stdout");
        restored.done().prints_bytes(dump);
        self.run("snapshot verify --all --level data").done().prints("no damage found");
        self.run("status").done();
    }
}
