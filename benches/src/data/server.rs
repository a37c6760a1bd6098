//! A PostgreSQL server of the bench's own: on a Unix socket only, gone with its files when the
//! bench ends, however it ends.

use std::fs::{self, File, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, getuid, kill_process};
use tempfile::TempDir;

use crate::measure::succeed;

const INSTALL: &str = "apt-get install postgresql";
/// The server refuses to run as root; Debian's package makes this user.
const SERVICE_USER: &str = "postgres";

pub(crate) struct Server {
    directory: TempDir,
    binaries: PathBuf,
    postmaster: Child,
}

impl Server {
    /// Starts a server with an empty database in a new directory below `base`. One that can give
    /// base backups writes more to its log.
    pub(crate) fn start(base: &Path, base_backups: bool) -> Result<Self> {
        let binaries = find_binaries()?;
        let directory = tempfile::Builder::new().prefix("postgres-").tempdir_in(base)?;
        let path = directory.path();
        fs::set_permissions(path, Permissions::from_mode(0o755))?;
        if getuid().is_root() {
            let (user, group) = service_user()?;
            lchown(path, Some(user), Some(group))?;
        }
        let mut initdb = as_service_user(&binaries.join("initdb"))?;
        initdb
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8"])
            .arg("--no-sync")
            .arg(path.join("data"))
            .current_dir("/")
            .stdout(Stdio::null());
        succeed(&mut initdb)?;
        let (wal_level, wal_senders) = if base_backups { ("replica", 2) } else { ("minimal", 0) };
        // Commits stay synchronous: after an asynchronous one, VACUUM may leave pages unmarked and
        // change them all on the night after.
        let settings = [
            "listen_addresses=",
            &format!("unix_socket_directories={}", path.display()),
            &format!("wal_level={wal_level}"),
            &format!("max_wal_senders={wal_senders}"),
            "fsync=off",
            "full_page_writes=off",
            "autovacuum=off",
            "max_wal_size=4GB",
            "maintenance_work_mem=256MB",
            "shared_buffers=256MB",
            "timezone=UTC",
        ];
        let log = File::create(path.join("log"))?;
        let mut command = as_service_user(&binaries.join("postgres"))?;
        command.arg("-D").arg(path.join("data")).current_dir("/");
        for setting in settings {
            command.arg("-c").arg(setting);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let postmaster = command.spawn().context("cannot run setpriv of util-linux")?;
        let mut server = Self { directory, binaries, postmaster };
        server.wait_until_ready()?;
        Ok(server)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        for _ in 0..600 {
            if let Some(status) = self.postmaster.try_wait()? {
                let log = fs::read_to_string(self.directory.path().join("log"))?;
                bail!("the PostgreSQL server ended ({status}):\n{log}");
            }
            if self.client("pg_isready").arg("--quiet").status()?.success() {
                return Ok(());
            }
            sleep(Duration::from_millis(100));
        }
        bail!("the PostgreSQL server accepted no connection within a minute")
    }

    /// A program of PostgreSQL that talks to this server.
    pub(crate) fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"PG") {
                command.env_remove(name);
            }
        }
        command.env("PGHOST", self.directory.path()).env("PGUSER", "postgres");
        command.stdin(Stdio::null());
        command
    }

    /// Runs the script that `write` writes.
    pub(crate) fn sql(
        &self,
        write: impl FnOnce(&mut BufWriter<&mut dyn Write>) -> std::io::Result<()>,
    ) -> Result<()> {
        let mut psql = self.client("psql");
        psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "postgres"]);
        psql.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut psql = psql.spawn().context("cannot run psql")?;
        let mut stdin = psql.stdin.take().context("psql has a standard input")?;
        let mut script = BufWriter::with_capacity(1 << 17, &mut stdin as &mut dyn Write);
        let taken = write(&mut script).and_then(|()| script.flush());
        drop(script);
        drop(stdin);
        let output = psql.wait_with_output()?;
        if !output.status.success() {
            bail!("psql failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        taken.context("psql did not take the whole script")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGQUIT: at once; nobody needs what it has.
        let _ = kill_process(Pid::from_child(&self.postmaster), Signal::QUIT);
        let _ = self.postmaster.wait();
    }
}

/// Where the newest version's programs are.
fn find_binaries() -> Result<PathBuf> {
    let complete = |directory: &PathBuf| {
        ["initdb", "postgres", "pg_dump", "psql"].iter().all(|it| directory.join(it).exists())
    };
    let version = |directory: &PathBuf| {
        let version = directory.parent()?.file_name()?.to_str()?;
        version.parse::<u32>().ok()
    };
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = debian.map(|entry| entry.path().join("bin")).filter(complete).max_by_key(version);
    debian.with_context(|| format!("no PostgreSQL in /usr/lib/postgresql: {INSTALL} installs it"))
}

/// Runs a program as a user that PostgreSQL accepts. It is told to stop when the bench dies.
fn as_service_user(program: &Path) -> Result<Command> {
    let mut command = Command::new("setpriv");
    if getuid().is_root() {
        let (user, group) = service_user()?;
        command
            .arg(format!("--reuid={user}"))
            .arg(format!("--regid={group}"))
            .arg("--clear-groups");
    }
    command.args(["--pdeathsig", "QUIT", "--"]).arg(program);
    Ok(command)
}

fn service_user() -> Result<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find(|line| line.split(':').next() == Some(SERVICE_USER));
    let line = line.with_context(|| format!("no user {SERVICE_USER}: {INSTALL} makes it"))?;
    let mut fields = line.split(':').skip(2).map(str::parse);
    match (fields.next(), fields.next()) {
        (Some(Ok(user)), Some(Ok(group))) => Ok((user, group)),
        _ => bail!("cannot read {SERVICE_USER}'s line in /etc/passwd"),
    }
}
