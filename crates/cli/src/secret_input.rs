//! Where passphrases and key files come from.
//!
//! What the command line names goes before what the environment names, and that before what the
//! configuration file names. A secret itself is never
//! an argument: other users of the machine can read those. An empty passphrase is refused
//! everywhere, because it is far more often an unset variable than somebody's wish.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use nightjar_codec::Random;
use nightjar_codec::slot::Unlock;
use nightjar_format::ids::to_hex;
use nightjar_format::limits;
use zeroize::Zeroizing;

use crate::args::Globals;
use crate::environment;
use crate::exit::CommandError;

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The passphrase itself, in a variable of the environment.
    Variable(OsString),
    PasswordFile(PathBuf),
    PasswordCommand(OsString),
    KeyFile(PathBuf),
    Terminal,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Variable(_) => f.write_str("the passphrase in NIGHTJAR_PASSWORD"),
            Self::PasswordFile(path) => write!(f, "the passphrase in {}", path.display()),
            Self::PasswordCommand(_) => f.write_str("the passphrase that the command printed"),
            Self::KeyFile(path) => write!(f, "the key file {}", path.display()),
            Self::Terminal => f.write_str("the passphrase"),
        }
    }
}

impl Origin {
    /// The first that the command line names, else the first that the environment names, else
    /// what the configuration file says, else the terminal.
    pub(crate) fn choose(globals: &Globals, configured: Option<Self>) -> Self {
        Self::choose_from(globals, &environment::variable, configured)
    }

    fn choose_from(
        globals: &Globals,
        variable: &dyn Fn(&str) -> Option<OsString>,
        configured: Option<Self>,
    ) -> Self {
        if let Some(path) = &globals.password_file {
            return Self::PasswordFile(path.clone());
        }
        if let Some(command) = &globals.password_command {
            return Self::PasswordCommand(command.clone());
        }
        if let Some(path) = &globals.key_file {
            return Self::KeyFile(path.clone());
        }
        None.or_else(|| variable("NIGHTJAR_PASSWORD").map(Self::Variable))
            .or_else(|| {
                variable("NIGHTJAR_PASSWORD_FILE").map(|path| Self::PasswordFile(path.into()))
            })
            .or_else(|| variable("NIGHTJAR_PASSWORD_COMMAND").map(Self::PasswordCommand))
            .or_else(|| variable("NIGHTJAR_KEY_FILE").map(|path| Self::KeyFile(path.into())))
            .or(configured)
            .unwrap_or(Self::Terminal)
    }

    /// Reads the secret that opens a repository.
    pub(crate) fn read(&self) -> Result<Unlock> {
        match self {
            Self::Terminal => {
                require_terminal()?;
                Ok(Unlock::Passphrase(not_empty(ask("Passphrase: ")?, self)?))
            }
            Self::KeyFile(path) => read_key_file(path),
            other => other.read_passphrase(),
        }
    }

    fn read_passphrase(&self) -> Result<Unlock> {
        let bytes = match self {
            Self::Variable(value) => Zeroizing::new(value.as_bytes().to_vec()),
            Self::PasswordFile(path) => without_newline(read_file(path, "passphrase")?),
            Self::PasswordCommand(command) => run(command)?,
            Self::KeyFile(_) | Self::Terminal => Zeroizing::default(),
        };
        Ok(Unlock::Passphrase(not_empty(bytes, self)?))
    }
}

/// The secret of a slot that is about to be made.
pub(crate) struct NewSecret {
    pub(crate) unlock: Unlock,
    /// The key file that was made for it.
    pub(crate) made: Option<PathBuf>,
}

impl NewSecret {
    /// Reads or makes the secret of a new slot: asks twice on a terminal, makes a key file that
    /// is not there.
    pub(crate) fn obtain(origin: &Origin, whose: &str) -> Result<Self> {
        match origin {
            Origin::Terminal => {
                require_terminal()?;
                let first = not_empty(ask(&format!("Passphrase {whose}: "))?, origin)?;
                if first != ask("The same again: ")? {
                    return Err(no_key("the two passphrases differ; nothing was done"));
                }
                Ok(Self { unlock: Unlock::Passphrase(first), made: None })
            }
            Origin::KeyFile(path) if !path.try_exists().unwrap_or(true) => {
                let key = make_key_file(path, &*environment::random())?;
                Ok(Self { unlock: Unlock::KeyFile(key), made: Some(path.clone()) })
            }
            other => Ok(Self { unlock: other.read()?, made: None }),
        }
    }

    /// Removes the key file that was made, because it opens nothing.
    pub(crate) fn discard(self) {
        if let Some(path) = self.made {
            // It stays behind, unused.
            let _ = fs::remove_file(path);
        }
    }
}

fn no_key(message: impl Into<String>) -> anyhow::Error {
    CommandError::NoKey(message.into()).into()
}

fn require_terminal() -> Result<()> {
    if io::stdin().is_terminal() || io::stderr().is_terminal() {
        return Ok(());
    }
    Err(no_key(
        "no passphrase or key file was given, and there is no terminal to ask on; \
         set NIGHTJAR_PASSWORD_FILE, NIGHTJAR_PASSWORD_COMMAND, NIGHTJAR_PASSWORD or \
         NIGHTJAR_KEY_FILE",
    ))
}

fn ask(prompt: &str) -> Result<Zeroizing<Vec<u8>>> {
    let text = rpassword::prompt_password(prompt).map_err(|error| {
        anyhow::Error::new(error)
            .context(CommandError::NoKey("no passphrase could be read from the terminal".into()))
    })?;
    Ok(Zeroizing::new(text.into_bytes()))
}

fn not_empty(secret: Zeroizing<Vec<u8>>, origin: &Origin) -> Result<Zeroizing<Vec<u8>>> {
    if secret.is_empty() {
        return Err(no_key(format!("{origin} is empty, and an empty one protects nothing")));
    }
    Ok(secret)
}

/// Reads a file of bounded length.
fn read_file(path: &Path, what: &str) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    let limit = limits::KEY_FILE_BYTES as u64;
    File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)).with_context(
        || CommandError::NoKey(format!("cannot read the {what} from {}", path.display())),
    )?;
    if bytes.len() as u64 > limit {
        let path = path.display();
        return Err(no_key(format!("{path} is too large for a {what}: more than {limit} bytes")));
    }
    Ok(bytes)
}

fn read_key_file(path: &Path) -> Result<Unlock> {
    let key = read_file(path, "key")?;
    if key.is_empty() {
        return Err(no_key(format!("the key file {} is empty", path.display())));
    }
    Ok(Unlock::KeyFile(key))
}

/// Drops one line end, which editors and `echo` leave at the end of a file.
fn without_newline(mut bytes: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    bytes
}

/// The first line that a shell command prints. Its standard input is empty: it must not take
/// away a dump that is waiting there.
fn run(command: &OsStr) -> Result<Zeroizing<Vec<u8>>> {
    let output = Command::new("sh")
        .arg("-c")
        .arg(command)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context(CommandError::NoKey("cannot run the passphrase command".into()))?;
    let printed = Zeroizing::new(output.stdout);
    if !output.status.success() {
        return Err(no_key(format!("the passphrase command failed: {}", output.status)));
    }
    let end = printed.iter().position(|byte| *byte == b'\n').map_or(printed.len(), |at| at + 1);
    let line = printed.get(..end).unwrap_or_default();
    Ok(without_newline(Zeroizing::new(line.to_vec())))
}

/// Makes a key file of 64 random hexadecimal digits that only its owner can read, durably: it is
/// there before anything is sealed with it. Never replaces a file.
fn make_key_file(path: &Path, random: &dyn Random) -> Result<Zeroizing<Vec<u8>>> {
    let bytes = Zeroizing::new(random.array::<32>());
    let key = Zeroizing::new(to_hex(bytes.as_slice()).into_bytes());
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| {
            file.write_all(&key)?;
            file.sync_all()
        })
        .and_then(|()| File::open(directory)?.sync_all())
        .with_context(|| format!("cannot make the key file {}", path.display()))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn globals(words: &[&str]) -> Globals {
        let words = ["nightjar"].iter().chain(words).chain(["status"].iter()).map(Into::into);
        crate::args::read(words).ok().unwrap().globals
    }

    fn passphrase(origin: &Origin) -> Result<Vec<u8>> {
        match origin.read()? {
            Unlock::Passphrase(bytes) => Ok(bytes.to_vec()),
            Unlock::KeyFile(_) => panic!("a key file"),
        }
    }

    #[test]
    fn the_command_line_goes_before_the_environment() {
        let all = |name: &str| Some(OsString::from(name));
        let configured = || Some(Origin::KeyFile("configured".into()));
        let chosen = |words: &[&str]| Origin::choose_from(&globals(words), &all, configured());
        assert_eq!(chosen(&["--password-file", "f"]), Origin::PasswordFile("f".into()));
        assert_eq!(chosen(&["--password-command", "c"]), Origin::PasswordCommand("c".into()));
        assert_eq!(chosen(&["--key-file", "k"]), Origin::KeyFile("k".into()));
        assert_eq!(chosen(&[]), Origin::Variable("NIGHTJAR_PASSWORD".into()));
    }

    #[test]
    fn the_environment_goes_before_the_file_and_that_before_the_terminal() {
        let only = |wanted: &'static str| {
            let variable = move |name: &str| (name == wanted).then(|| "x".into());
            Origin::choose_from(&globals(&[]), &variable, Some(Origin::KeyFile("file".into())))
        };
        assert_eq!(only("NIGHTJAR_PASSWORD_FILE"), Origin::PasswordFile("x".into()));
        assert_eq!(only("NIGHTJAR_PASSWORD_COMMAND"), Origin::PasswordCommand("x".into()));
        assert_eq!(only("NIGHTJAR_KEY_FILE"), Origin::KeyFile("x".into()));
        assert_eq!(only(""), Origin::KeyFile("file".into()));
        assert_eq!(Origin::choose_from(&globals(&[]), &|_| None, None), Origin::Terminal);
    }

    #[test]
    fn one_newline_is_dropped_from_a_passphrase_file_and_no_more() {
        let cases: [(&[u8], &[u8]); 6] = [
            (b"secret", b"secret"),
            (b"secret\n", b"secret"),
            (b"secret\r\n", b"secret"),
            (b"secret\n\n", b"secret\n"),
            (b" secret ", b" secret "),
            (b"two\nlines\n", b"two\nlines"),
        ];
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passphrase");
        for (content, secret) in cases {
            fs::write(&path, content).unwrap();
            assert_eq!(passphrase(&Origin::PasswordFile(path.clone())).unwrap(), secret);
        }
    }

    #[test]
    fn an_empty_passphrase_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passphrase");
        fs::write(&path, "\n").unwrap();
        for origin in [
            Origin::PasswordFile(path),
            Origin::PasswordCommand("true".into()),
            Origin::PasswordCommand("echo".into()),
        ] {
            let error = origin.read().err().unwrap();
            assert_eq!(crate::exit::of(&error), crate::exit::Exit::NoKey, "{origin:?}");
        }
    }

    #[test]
    fn a_command_gives_its_first_line_if_it_succeeds() {
        let command = |text: &str| passphrase(&Origin::PasswordCommand(text.into()));
        assert_eq!(command("printf 'one\\ntwo\\n'").unwrap(), b"one");
        assert_eq!(command("printf one").unwrap(), b"one");
        let error = command("echo one; exit 3").unwrap_err();
        assert_eq!(crate::exit::of(&error), crate::exit::Exit::NoKey);
    }

    #[test]
    fn a_missing_passphrase_file_is_named() {
        let error = passphrase(&Origin::PasswordFile("/nowhere/at/all".into())).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
        assert_eq!(crate::exit::of(&error), crate::exit::Exit::NoKey);
    }

    #[test]
    fn a_key_file_is_made_once_for_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let origin = Origin::KeyFile(path.clone());
        let new = NewSecret::obtain(&origin, "").unwrap();
        assert_eq!(new.made.as_deref(), Some(path.as_path()));
        let content = fs::read(&path).unwrap();
        assert_eq!(content.len(), 64);
        assert!(content.iter().all(u8::is_ascii_hexdigit));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = NewSecret::obtain(&origin, "").unwrap();
        assert_eq!(again.made, None);
        assert_eq!(fs::read(&path).unwrap(), content);
        assert!(make_key_file(&path, &*environment::random()).is_err());
    }
}
