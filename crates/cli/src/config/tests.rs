//! What the file says, and how its mistakes are told.

use std::path::{Path, PathBuf};

use super::*;

fn parsed(text: &str) -> Result<Configuration> {
    Configuration::parse(PathBuf::from("/etc/nightjar/nightjar.toml"), text.to_owned())
}

fn access(text: &str, words: &[&str]) -> Result<Access> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nightjar.toml");
    std::fs::write(&path, text).unwrap();
    let words = ["nightjar", "status"].iter().chain(words).map(Into::into);
    let mut globals = crate::args::read(words).ok().unwrap().globals;
    globals.config = Some(path);
    Access::of(&globals)
}

/// What is said of a mistake behind the file's path.
fn told<T>(outcome: Result<T>) -> String {
    let error = outcome.err().expect("a mistake is refused");
    assert_eq!(crate::exit::of(&error), crate::exit::Exit::Usage, "{error}");
    let text = error.to_string();
    text.split_once("nightjar.toml, ").map_or(text.clone(), |(_, rest)| rest.to_owned())
}

const WHOLE: &str = r#"
default-repository = "offsite"

[repository.offsite]
url = "s3://backups/orders"
endpoint = "https://minio.example:9000"
region = "eu-central-1"
password-file = "passphrase"
cache-dir = "/var/cache/nightjar"
limit-upload = "20MiB"
limit-download = "50 MB"

[repository.offsite.credentials]
profile = "backup"

[repository.offsite.storage-class]
data = "glacier_ir"
metadata = "own-class"

[repository.offsite.encryption]
mode = "aws:kms"
kms-key-id = "arn:x"
bucket-key = true

[repository.near]
url = "near"
key-file = "/root/key"
"#;

#[test]
fn a_repository_is_described_wholly() {
    use crate::secret_input::Origin;
    let offsite = access(WHOLE, &[]).unwrap();
    assert_eq!(offsite.url.to_string(), "s3://backups/orders");
    assert_eq!(offsite.cache_dir, Some("/var/cache/nightjar".into()));
    let Origin::PasswordFile(path) = &offsite.origin else { panic!("{:?}", offsite.origin) };
    assert!(path.is_absolute() && path.ends_with("passphrase"), "{}", path.display());
    let settings = offsite.settings;
    assert_eq!(settings.endpoint.as_deref(), Some("https://minio.example:9000"));
    assert_eq!(settings.region.as_deref(), Some("eu-central-1"));
    assert_eq!(settings.upload_limit, Some(20 << 20));
    assert_eq!(settings.download_limit, Some(50_000_000));
    assert_eq!(settings.profile.as_deref(), Some("backup"));
    assert_eq!(settings.classes.data.as_deref(), Some("GLACIER_IR"));
    assert_eq!(settings.classes.metadata.as_deref(), Some("own-class"));
    let encryption = settings.encryption.unwrap();
    assert_eq!(encryption.mode, nightjar_storage::EncryptionMode::Kms);
    assert_eq!(
        (encryption.kms_key_id.as_deref(), encryption.bucket_key),
        (Some("arn:x"), Some(true))
    );
    let near = access(WHOLE, &["--repository", "near"]).unwrap();
    assert!(near.url.directory().unwrap().ends_with("near"));
    assert_eq!(near.origin, Origin::KeyFile("/root/key".into()));
    assert_eq!(near.settings.endpoint, None);
}

#[test]
fn the_command_line_goes_before_the_file() {
    use crate::secret_input::Origin;
    let words = "--endpoint https://other --region r --cache-dir /c --limit-upload 1KiB \
                 --password-command c --allow-http";
    let words: Vec<&str> = words.split_whitespace().collect();
    let access = access(WHOLE, &words).unwrap();
    assert_eq!(access.settings.endpoint.as_deref(), Some("https://other"));
    assert_eq!(access.settings.region.as_deref(), Some("r"));
    assert_eq!(access.settings.upload_limit, Some(1024));
    assert_eq!(access.settings.download_limit, Some(50_000_000));
    assert!(access.settings.allow_http);
    assert_eq!(access.cache_dir, Some("/c".into()));
    assert_eq!(access.origin, Origin::PasswordCommand("c".into()));
}

#[test]
fn an_address_takes_nothing_from_the_file() {
    for address in ["s3://backups/orders", "/srv/offsite", "./offsite"] {
        let access = access(WHOLE, &["--repository", address]).unwrap();
        assert_eq!((access.settings.region, access.cache_dir), (None, None), "{address}");
        assert_eq!(access.settings.classes, Default::default());
    }
}

#[test]
fn a_word_is_a_name_or_a_directory_that_exists() {
    let says = told(access(WHOLE, &["-r", "ofsite"]));
    assert!(says.contains(r#"did you mean "offsite"?"#), "{says}");
    assert!(says.contains(r#""near", "offsite""#) && says.contains("./ofsite"), "{says}");
    let says = told(access(WHOLE, &["-r", "elsewhere"]));
    assert!(!says.contains("did you mean") && says.contains(r#""near", "offsite""#), "{says}");
    // The tests run in the crate's directory.
    assert!(access(WHOLE, &["-r", "src"]).unwrap().url.directory().unwrap().ends_with("cli/src"));
    let access = access("", &["-r", "new"]).unwrap();
    assert!(access.url.directory().unwrap().ends_with("new"));
}

#[test]
fn mistakes_are_told_with_line_column_key_and_what_there_should_be() {
    for (text, expected) in [
        (
            "[repository.a]\nurl = \"/x\"\npasword-file = \"p\"",
            "line 3, column 1: there is no key \"pasword-file\" here; did you mean \"password-file\"?",
        ),
        (
            "defaultrepository = \"a\"",
            "line 1, column 1: there is no key \"defaultrepository\" here; did you mean \"default-repository\"?",
        ),
        (
            "[repositories.a]\nurl = \"/x\"",
            "line 1, column 2: there is no key \"repositories\" here; did you mean \"repository\"?",
        ),
        (
            "[repository.a]\nurl = \"/x\"\nsecret = \"s3cr3t\"",
            "line 3, column 1: there is no key \"secret\" here; there are \"url\", \"endpoint\"",
        ),
        (
            "[repository.a]\nurl = \"/x\"\n\n[repository.a.storage-class]\ndat = \"X\"",
            "line 5, column 1: there is no key \"dat\" here; did you mean \"data\"?",
        ),
        (
            "[repository.a]\nurl = \"/x\"\nlimit-upload = \"fast\"",
            "line 3, column 16: limit-upload: expected a number of bytes",
        ),
        (
            "[repository.a]\nurl = \"/x\"\nlimit-upload = 20",
            "line 3, column 16: limit-upload: expected text in quotes",
        ),
        (
            "[repository.a]\nurl = \"/x\"\nallow-http = \"yes\"",
            "line 3, column 14: allow-http: expected true or false",
        ),
        (
            "[repository.a]\nurl = \"/x\"\nencryption = { mode = \"aws:kmss\" }",
            "line 3, column 23: mode: \"aws:kmss\" is not known; did you mean \"aws:kms\"? it may be \"AES256\", \"aws:kms\", \"aws:kms:dsse\"",
        ),
        (
            "[repository.a]\nurl = \"/x\"\ncredentials = \"s3cr3t\"",
            "line 3, column 15: credentials: expected a table",
        ),
        ("[repository]\na = 1", "line 2, column 5: a: expected a table"),
        ("\n[repository.a]\nregion = \"x\"", "line 2, column 1: the key `url` is missing here"),
        (
            "[repository.\"a/b\"]\nurl = \"/x\"",
            "line 1, column 13: \"a/b\" cannot be a repository's name",
        ),
        ("x = = 1", "line 1, column 5: "),
        ("a = 1\na = 2", "line 2, column 1: duplicate key"),
    ] {
        let says = told(parsed(text));
        assert!(says.starts_with(expected), "{text}\n{says}");
        assert!(!says.contains("s3cr3t"), "{says}");
    }
}

#[test]
fn what_does_not_go_together_is_told_where_it_stands() {
    let s3 = "default-repository = \"a\"\n[repository.a]\nurl = \"s3://b\"\n";
    let disk = "default-repository = \"a\"\n[repository.a]\nurl = \"/srv\"\n";
    let azure = "default-repository = \"a\"\n[repository.a]\nurl = \"az://b\"\n";
    for (base, text, expected) in [
        (
            s3,
            "password-file = \"p\"\nkey-file = \"k\"",
            "line 5, column 12: key-file: the repository is opened by something else",
        ),
        (
            s3,
            "credentials = { profile = \"p\", file = \"f\" }",
            "line 4, column 39: file: there is another source",
        ),
        (
            s3,
            "credentials = { service-account = \"f\" }",
            "line 4, column 35: service-account: s3://b takes no credentials of this kind; a service account is for gs://",
        ),
        (
            s3,
            "credentials = { account = \"f\" }",
            "line 4, column 27: account: s3://b has no account",
        ),
        (
            s3,
            "storage-class = { data = \"DEEP_ARCHIVE\" }",
            "line 4, column 26: data: objects of the class DEEP_ARCHIVE must be brought back",
        ),
        (
            s3,
            "storage-class = { data = \"GLACIR\" }",
            "line 4, column 26: data: S3 has no storage class \"GLACIR\"; use one of STANDARD,",
        ),
        (
            s3,
            "encryption = { mode = \"AES256\", bucket-key = true }",
            "line 4, column 23: mode: encryption AES256 has no bucket keys",
        ),
        (
            disk,
            "credentials = { file = \"f\" }",
            "line 4, column 24: file: /srv takes no credentials",
        ),
        (
            disk,
            "storage-class = { metadata = \"STANDARD\" }",
            "line 4, column 30: metadata: only stores in a cloud have storage classes",
        ),
        (azure, "encryption = { mode = \"AES256\" }", "line 4, column 23: mode: only S3 is told"),
        (
            azure,
            "credentials = { profile = \"p\" }",
            "line 4, column 27: profile: az://b takes no credentials of this kind",
        ),
        (
            "default-repository = \"b\"\n[repository.a]\nurl = \"/x\"",
            "",
            "line 1, column 22: default-repository: there is no repository \"b\": did you mean \"a\"?",
        ),
        (
            "default-repository = \"a\"\n[repository.a]\nurl = \"ftp://x\"",
            "",
            "line 3, column 7: url: cannot use ftp://x as a store",
        ),
    ] {
        let says = told(access(&format!("{base}{text}"), &[]));
        assert!(says.starts_with(expected), "{text}\n{says}");
    }
}

#[test]
fn a_file_that_was_named_must_be_there_and_readable() {
    let says = told(Configuration::read(Some(Path::new("/nowhere/nightjar.toml"))));
    assert!(says.contains("/nowhere/nightjar.toml"), "{says}");
    told(Configuration::read(Some(Path::new("/"))));
    assert!(Configuration::read(Some(Path::new("/dev/null"))).unwrap().is_some());
}

#[test]
fn who_names_no_repository_is_told_how_to() {
    let says = told(access("[repository.a]\nurl = \"/x\"", &[]));
    assert!(says.contains("NIGHTJAR_REPOSITORY") && says.contains("default-repository"), "{says}");
}

#[test]
fn the_users_file_is_looked_for_before_the_machines() {
    let places = places();
    assert_eq!(places.last().unwrap(), Path::new("/etc/nightjar/nightjar.toml"));
    assert!(places.iter().all(|place| place.ends_with("nightjar/nightjar.toml")), "{places:?}");
}
