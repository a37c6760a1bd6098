//! What the file says, and how its mistakes are told.

use std::path::{Path, PathBuf};

use super::*;
use crate::args::Globals;

fn parsed(text: &str) -> Result<Configuration> {
    Configuration::parse(PathBuf::from("/etc/nightjar/nightjar.toml"), text.to_owned())
}

fn access(text: &str, words: &[&str]) -> Result<Access> {
    with_globals(text, words, Access::of)
}

/// The file and the words, as a command is handed them.
fn with_globals<T>(text: &str, words: &[&str], ask: impl Fn(&Globals) -> T) -> T {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nightjar.toml");
    std::fs::write(&path, text).unwrap();
    let words = ["nightjar", "status"].iter().chain(words).map(Into::into);
    let mut globals = crate::args::read(words).ok().unwrap().globals;
    globals.config = Some(path);
    ask(&globals)
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
keeps-deleted = "30d"

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
series = ["orders-*", "users"]
"#;

#[test]
fn a_repository_is_described_wholly() {
    use crate::secret_input::Origin;
    let offsite = access(WHOLE, &[]).unwrap();
    assert_eq!(offsite.url.to_string(), "s3://backups/orders");
    assert_eq!(offsite.cache_dir, Some("/var/cache/nightjar".into()));
    let Origin::PasswordFile(path) = &offsite.origin else { panic!("{:?}", offsite.origin) };
    assert!(path.is_absolute() && path.ends_with("passphrase"), "{}", path.display());
    assert_eq!(offsite.keeps_deleted, Some(30 * 24 * 3600 * 1_000_000_000));
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
fn a_second_repository_is_reached_as_the_file_says() {
    let words = ["--repository", "near", "--endpoint", "https://other", "--limit-download", "1KiB"];
    let target =
        |text: &str| with_globals(WHOLE, &words, |globals| Access::of_target(globals, text));
    let offsite = target("offsite").unwrap();
    assert_eq!(offsite.url.to_string(), "s3://backups/orders");
    assert_eq!(offsite.settings.endpoint.as_deref(), Some("https://minio.example:9000"));
    // But for the limits, which hold for both.
    assert_eq!(offsite.settings.download_limit, Some(1024));
    assert_eq!(offsite.settings.profile.as_deref(), Some("backup"));
    assert!(offsite.series.is_empty());
    let series = target("near").unwrap().series;
    let fits = |name: &str| series.iter().any(|pattern| pattern.fits(name));
    assert_eq!(["orders-eu", "users", "orders"].map(fits), [true, true, false]);
    // One without a name is reached as the command line says.
    let address = target("s3://copy/orders").unwrap();
    assert_eq!(address.settings.endpoint.as_deref(), Some("https://other"));
    for wrong in ["", "offsight"] {
        let error = target(wrong).unwrap_err();
        assert_eq!(crate::exit::of(&error), crate::exit::Exit::Usage, "{error}");
    }
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

const RETENTION: &str = r#"
default-repository = "a"

[retention]
time-zone = "Europe/Berlin"
copied-until = "2026-05-01"

[[retention.policy]]
series = ["orders-*", "shop"]
preset = "1y"
keep-daily = 60
keep-weekly-within = "26w"
keep-labels = ["tier=gold", "keep"]
slots = "db1"
size-drop = "30%"
time-tolerance = "2d"

[[retention.policy]]
keep-within = "30d"
keep-at-least = 5

[repository.a]
url = "/srv/a"

[repository.b]
url = "/srv/b"
retention = { policy = [{ series = "x", keep-last = 3 }] }
"#;

#[test]
fn policies_are_read_in_the_order_of_the_file() {
    let retention = access(RETENTION, &[]).unwrap().retention;
    assert_eq!(retention.time_zone.as_deref(), Some("Europe/Berlin"));
    assert!(retention.copied_until.is_some());
    let [orders, rest] = &retention.policies[..] else { panic!("{retention:?}") };
    assert!(orders.fits("orders-eu") && orders.fits("shop") && !orders.fits("mail"));
    assert!(rest.fits("mail") && rest.fits("orders-eu"));
    assert_eq!(
        orders.policy.to_string(),
        "keep-daily 60, keep-weekly-within 26w, keep-monthly-within 1y, keep-label tier=gold, \
         keep-label keep"
    );
    assert_eq!(
        (orders.slots.as_slice(), orders.policy.size_drop_percent),
        (&["db1".into()][..], 30)
    );
    assert_eq!(orders.policy.tolerance, 2 * 24 * 3600 * 1_000_000_000);
    assert_eq!(rest.policy.to_string(), "keep-within 30d, keep-at-least 5");
    assert_eq!((rest.policy.name.as_str(), rest.policy.size_drop_percent), ("*", 50));
}

#[test]
fn a_repositorys_own_policies_stand_in_place_of_those_for_all() {
    let own = access(RETENTION, &["-r", "b"]).unwrap().retention;
    assert_eq!(own.policies.len(), 1);
    assert!(own.policies[0].fits("x") && !own.policies[0].fits("orders-eu"));
    assert_eq!(own.time_zone, None);
    // One that has no name in the file has none of its own.
    assert_eq!(access(RETENTION, &["-r", "/srv/c"]).unwrap().retention.policies.len(), 2);
}

#[test]
fn a_mistake_in_a_policy_is_told_with_its_line() {
    for (lines, expected) in [
        (
            "keep-dayly = 3",
            "line 3, column 1: there is no key \"keep-dayly\" here; did you mean \"keep-daily\"?",
        ),
        ("keep-last = 0", "line 3, column 13: keep-last: expected 1 or more"),
        ("keep-last = \"3\"", "line 3, column 13: keep-last: "),
        ("keep-within = \"6m\"", "line 3, column 15: keep-within: m are minutes; write 6mo"),
        ("keep-within = 30", "line 3, column 15: keep-within: expected text in quotes"),
        (
            "preset = \"10y\"",
            "line 3, column 10: preset: there is no preset \"10y\"; there are 30d,",
        ),
        ("size-drop = \"half\"", "line 3, column 13: size-drop: expected a share"),
        ("time-tolerance = \"x\"", "line 3, column 18: time-tolerance: expected a stretch"),
        ("keep-last = 1\nseries = \"[\"", "line 4, column 10: series: "),
        (
            "keep-last = 1\nseries = 3",
            "line 4, column 10: series: expected text in quotes, or several",
        ),
        ("series = \"orders\"", "line 2, column 1: this policy has no rule"),
    ] {
        let text = format!(
            "default-repository = \"a\"\n[[retention.policy]]\n{lines}\n[repository.a]\nurl = \"/a\""
        );
        let says = told(access(&text, &[]));
        assert!(says.starts_with(expected), "{lines}\n{says}");
    }
    let text =
        "default-repository = \"a\"\n[retention]\ntimezone = \"UTC\"\n[repository.a]\nurl = \"/a\"";
    let says = told(access(text, &[]));
    assert!(says.contains("did you mean \"time-zone\"?"), "{says}");
}
