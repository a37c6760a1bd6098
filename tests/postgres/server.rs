//! A PostgreSQL server of the test's own: in a temporary directory, on a Unix socket only, gone
//! when the test ends, however it ends.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::harness::{Nightjar, is_root, wait_until};

const INSTALL: &str = "apt-get install postgresql";
/// The server refuses to run as root; Debian's package makes this user.
const SERVICE_USER: &str = "postgres";

pub(crate) struct Server {
    directory: TempDir,
    binaries: PathBuf,
    postmaster: Child,
}

impl Server {
    /// With a cluster of its own, which is empty.
    pub(crate) fn start() -> Self {
        Self::start_with(|binaries, data| {
            let locale = "--encoding=UTF8 --locale=C.UTF-8";
            let output = as_service_user(&binaries.join("initdb"))
                .args(["--auth=trust", "--username=postgres", "--no-sync"])
                .args(locale.split(' '))
                .arg(data)
                .current_dir("/")
                .output();
            succeeded("initdb", output);
        })
    }

    /// With a cluster that is restored into the directory it is given.
    pub(crate) fn start_from(restore: impl Fn(&Path)) -> Self {
        Self::start_with(|_, data| restore(data))
    }

    fn start_with(make: impl Fn(&Path, &Path)) -> Self {
        let binaries = find_binaries();
        // Not in $TMPDIR: the path of a socket has at most 107 bytes.
        let directory = tempfile::Builder::new().prefix("nightjar-pg-").tempdir_in("/tmp").unwrap();
        let path = directory.path();
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        if is_root() {
            let (user, group) = service_user();
            lchown(path, Some(user), Some(group)).unwrap();
        }
        let data = path.join("data");
        make(&binaries, &data);
        // The server refuses a directory that others may look into or own.
        fs::set_permissions(&data, Permissions::from_mode(0o700)).unwrap();
        if is_root() {
            let (user, group) = service_user();
            lchown(&data, Some(user), Some(group)).unwrap();
        }
        let settings = [
            "listen_addresses=",
            &format!("unix_socket_directories={}", path.display()),
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "autovacuum=off",
            "max_wal_size=4GB",
            "shared_buffers=64MB",
            "timezone=UTC",
        ];
        let log = fs::File::create(path.join("log")).unwrap();
        let mut command = as_service_user(&binaries.join("postgres"));
        command.arg("-D").arg(&data).current_dir("/");
        for setting in settings {
            command.arg("-c").arg(setting);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let postmaster = command.spawn().expect("setpriv of util-linux runs");
        let mut server = Self { directory, binaries, postmaster };
        wait_until("the PostgreSQL server accepts connections", || {
            if let Ok(Some(status)) = server.postmaster.try_wait() {
                let log = fs::read_to_string(server.path().join("log")).unwrap_or_default();
                panic!("the PostgreSQL server ended ({status}):\n{log}");
            }
            let ready = server.client("pg_isready").arg("--quiet").status().unwrap();
            ready.success().then_some(())
        });
        server
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// What tells PostgreSQL's programs where the server is.
    fn environment(&self) -> [(&'static str, String); 5] {
        let path = self.binaries.display();
        #[expect(clippy::disallowed_methods, reason = "nobody hands a test its environment")]
        let inherited = std::env::var("PATH").unwrap_or_default();
        [
            ("PGHOST", self.path().display().to_string()),
            ("PGUSER", "postgres".to_owned()),
            ("PGTZ", "UTC".to_owned()),
            ("PGPORT", "5432".to_owned()),
            ("PATH", format!("{path}:{inherited}")),
        ]
    }

    /// A program of PostgreSQL.
    pub(crate) fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"PG") {
                command.env_remove(name);
            }
        }
        command.envs(self.environment()).stdin(Stdio::null());
        command
    }

    /// Lets `nightjar` run PostgreSQL's programs against this server.
    pub(crate) fn reachable_for(&self, nightjar: Nightjar) -> Nightjar {
        self.environment().into_iter().fold(nightjar, |run, (name, value)| run.env(name, value))
    }

    /// Runs a program of PostgreSQL; it must succeed. Returns what it prints.
    #[track_caller]
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> String {
        succeeded(program, self.client(program).args(args).output())
    }

    /// Runs a script in a database and returns what it prints, as unaligned rows.
    #[track_caller]
    pub(crate) fn sql(&self, database: &str, script: &str) -> String {
        let options = "--no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1";
        let mut psql = self.client("psql");
        psql.args(options.split(' ')).arg(database);
        psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut psql = psql.spawn().expect("psql runs");
        let taken = psql.stdin.take().unwrap().write_all(script.as_bytes());
        let printed = succeeded("psql", psql.wait_with_output());
        taken.expect("psql takes the whole script");
        printed
    }

    pub(crate) fn create_database(&self, name: &str) {
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGQUIT: at once; nobody needs what it has.
        let _ = kill_process(Pid::from_child(&self.postmaster), Signal::QUIT);
        let _ = self.postmaster.wait();
    }
}

#[track_caller]
fn succeeded(program: &str, output: std::io::Result<Output>) -> String {
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {}\n{stdout}\n{stderr}", output.status);
    stdout
}

/// Where the newest version's programs are.
#[expect(clippy::disallowed_methods, reason = "nobody hands a test its environment")]
fn find_binaries() -> PathBuf {
    let complete = |directory: &PathBuf| {
        ["initdb", "postgres", "pg_dump", "pgbench"].iter().all(|it| directory.join(it).exists())
    };
    let version = |directory: &PathBuf| {
        let version = directory.parent()?.file_name()?.to_str()?;
        version.parse::<u32>().ok()
    };
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = debian.map(|entry| entry.path().join("bin")).filter(complete).max_by_key(version);
    let in_path = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).find(complete)
    };
    debian.or_else(in_path).unwrap_or_else(|| {
        panic!("PostgreSQL's server and pgbench are missing: {INSTALL} installs them")
    })
}

/// Runs a program as a user that PostgreSQL accepts. It is told to stop when the test dies.
fn as_service_user(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        let (user, group) = service_user();
        command
            .arg(format!("--reuid={user}"))
            .arg(format!("--regid={group}"))
            .arg("--clear-groups");
    }
    command.args(["--pdeathsig", "QUIT", "--"]).arg(program);
    command
}

fn service_user() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.split(':').next() == Some(SERVICE_USER));
    let line =
        line.unwrap_or_else(|| panic!("there is no user {SERVICE_USER}: {INSTALL} makes it"));
    let mut fields = line.split(':').skip(2).map(|field| field.parse().unwrap());
    (fields.next().unwrap(), fields.next().unwrap())
}
