//! `nightjar.toml`: repositories by name, and what the file says of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nightjar_testservers::{Azurite, GcsFake, Head, Moto};

use crate::harness::data::noise;
use crate::harness::{Nightjar, PASSPHRASE, Sandbox, WEAK, files_below};

/// The repository `a` in a bucket, with more lines.
fn in_cloud(url: &str, endpoint: &str, more: &str) -> String {
    format!(
        "default-repository = \"a\"\n\
         [repository.a]\n\
         url = \"{url}\"\n\
         endpoint = \"{endpoint}\"\n\
         allow-http = true\n\
         password-file = \"passphrase\"\n\
         cache-dir = \"cache\"\n\
         {more}\n"
    )
}

const ON_DISK: &str = "
default-repository = \"near\"
[repository.near]
url = \"repository\"
password-file = \"passphrase\"
cache-dir = \"cache\"
";

/// The program with the sandbox's file, and nothing else said.
fn with_file(sandbox: &Sandbox, args: &str) -> Nightjar {
    Nightjar::new().args(args).env("NIGHTJAR_CONFIG", sandbox.path("nightjar.toml"))
}

#[test]
fn a_name_is_all_that_a_command_needs() {
    let sandbox = Sandbox::without_repository();
    let file = sandbox.write("nightjar.toml", ON_DISK);
    let run = |args: &str| with_file(&sandbox, args);
    run("-r near init").args(WEAK).done();
    assert!(sandbox.repository().join("repository").exists(), "paths begin at the file");
    let dump = noise(1, 100_000);
    run("backup --stdin dump --repository near").stdin(dump.clone()).done();
    run("restore latest --stdout").env("NIGHTJAR_REPOSITORY", "near").done().prints_bytes(&dump);
    // Named by default.
    for command in ["snapshot list", "snapshot verify --all", "status", "key list", "index status"]
    {
        run(command).done();
    }
    run("restore latest --stdout").done().prints_bytes(&dump);
    assert!(!files_below(&sandbox.cache()).is_empty(), "the cache is elsewhere");
    // The file is found in other ways as well.
    let elsewhere = Nightjar::new().args("snapshot list").in_directory(Path::new("/"));
    elsewhere.args("--config").arg(&file).done().prints("dump");
    fs::create_dir_all(sandbox.path("home/nightjar")).unwrap();
    let text = ON_DISK.replace("= \"", "= \"../../").replace("../../near", "near");
    sandbox.write("home/nightjar/nightjar.toml", text);
    let users = || Nightjar::new().env("XDG_CONFIG_HOME", sandbox.path("home"));
    users().args("snapshot list").done().prints("dump");
    // What is named goes before what is found.
    let empty = sandbox.write("empty.toml", "");
    users().args("snapshot list --config").arg(empty).exits(2).says("no repository was given");
}

#[test]
fn what_is_said_elsewhere_goes_before_the_file() {
    let sandbox = Sandbox::without_repository();
    sandbox.write("nightjar.toml", ON_DISK);
    let run = |args: &str| with_file(&sandbox, args);
    run("init").args(WEAK).done();
    run("snapshot list").env("NIGHTJAR_PASSWORD", "wrong").exits(12).says("NIGHTJAR_PASSWORD");
    let right = sandbox.path("passphrase");
    let both = run("snapshot list").env("NIGHTJAR_PASSWORD", "wrong");
    both.args("--password-file").arg(right).done();
    fs::remove_dir_all(sandbox.cache()).unwrap();
    run("snapshot list").env("NIGHTJAR_CACHE_DIR", sandbox.path("other")).done();
    run("snapshot list").args("--cache-dir").arg(sandbox.path("third")).done();
    assert!(!sandbox.cache().exists(), "the file's cache was used");
    // The command line names another repository than the variable and the file.
    let other = run("snapshot list").env("NIGHTJAR_REPOSITORY", "near").args("-r");
    other.arg(sandbox.path("nowhere")).exits(10);
}

#[test]
fn a_path_or_url_needs_no_file() {
    let sandbox = Sandbox::new();
    sandbox.write("nightjar.toml", "nonsense");
    fs::create_dir(sandbox.path("nightjar")).unwrap();
    sandbox.write("nightjar/nightjar.toml", "nonsense");
    // Found, and not asked for.
    let found = || sandbox.nightjar("snapshot list").env("XDG_CONFIG_HOME", sandbox.path(""));
    found().done();
    found().env("NIGHTJAR_REPOSITORY", "repository").exits(2).says("line 1, column 9");
    sandbox.nightjar("snapshot list --config").arg(sandbox.path("nightjar.toml")).exits(2);
    sandbox.nightjar("snapshot list --config /nowhere/x.toml").exits(2).says("/nowhere/x.toml");
}

#[test]
fn a_word_that_nobody_knows_is_answered_with_those_that_are_known() {
    let sandbox = Sandbox::without_repository();
    sandbox.write("nightjar.toml", ON_DISK);
    for command in ["init", "snapshot list"] {
        let run = with_file(&sandbox, command).args("-r neer").in_directory(&sandbox.path(""));
        run.exits(2).says("did you mean \"near\"?").says("./neer");
        assert!(!sandbox.path("neer").exists());
    }
    // A directory that is there is what it was without a file.
    fs::create_dir(sandbox.path("neer")).unwrap();
    let run = with_file(&sandbox, "snapshot list -r neer").in_directory(&sandbox.path(""));
    run.exits(10);
    // So is a new one, where there are no names.
    sandbox.write("nightjar.toml", "");
    let run = with_file(&sandbox, "init -r new").args(WEAK).in_directory(&sandbox.path(""));
    run.env("NIGHTJAR_PASSWORD", PASSPHRASE).done();
    assert!(sandbox.path("new/repository").exists());
}

#[test]
fn a_mistake_is_told_with_its_line_before_anything_is_done() {
    let sandbox = Sandbox::without_repository();
    for (more, says) in [
        ("pasword-file = \"x\"", "line 7, column 1: there is no key \"pasword-file\""),
        ("limit-upload = \"fast\"", "line 7, column 16: limit-upload: expected a number of bytes"),
        ("key-file = \"x\"", "line 7, column 12: key-file: the repository is opened by something"),
        ("storage-class.data = \"STANDARD\"", "line 7, column 22: storage-class.data: only stores"),
        ("encryption.mode = \"AES256\"", "line 7, column 19: encryption.mode: only S3 is told"),
        ("credentials.profile = \"x\"", "line 7, column 23: credentials.profile: "),
        ("[repository.", "line 7, column 13: "),
    ] {
        let file = sandbox.write("nightjar.toml", format!("{ON_DISK}{more}\n"));
        for command in ["init", "snapshot list", "backup --stdin x", "restore latest --stdout"] {
            let says = format!("{}, {says}", file.display());
            with_file(&sandbox, command).exits(2).says(&says).prints_nothing();
        }
        let told = with_file(&sandbox, "--json status").exits(2);
        assert!(told.json_lines()[0]["error"]["message"].as_str().unwrap().contains("line 7"));
        assert!(!sandbox.repository().exists(), "{more}");
    }
}

#[test]
fn credentials_come_from_a_file_that_only_its_owner_may_read() {
    let (sandbox, moto) = (Sandbox::without_repository(), Moto::start());
    let url = format!("s3://{}/x", moto.new_bucket());
    let text = in_cloud(&url, moto.endpoint(), "credentials.file = \"aws.env\"");
    sandbox.write("nightjar.toml", text);
    let lines: Vec<String> =
        moto.variables().iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    let file = sandbox.write("aws.env", format!("# of the host\n{}", lines.concat()));
    let open_to = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    // Half a key from elsewhere does not mix with it.
    let run = |args: &str| with_file(&sandbox, args).env("AWS_ACCESS_KEY_ID", "of somebody else");
    for mode in [0o644, 0o602] {
        open_to(mode);
        run("init").args(WEAK).exits(2).says("chmod o-rw").never_says(moto.secret_key());
    }
    open_to(0o640);
    run("init").args(WEAK).done();
    sandbox.write("aws.env", "AWS_ACCESS_KEY_ID=x\nwJalrXUtnFEMI\n");
    run("status").exits(2).says("aws.env, line 2: expected NAME=VALUE").never_says("wJalrXUtnFEMI");
    sandbox.write("aws.env", "AWS_REGION=x\n");
    run("status").exits(2).says("has neither AWS_ACCESS_KEY_ID");
    fs::remove_file(&file).unwrap();
    run("status").exits(2).says("cannot read the credentials in");
}

#[test]
fn credentials_come_from_a_profile_of_aws() {
    let (sandbox, moto) = (Sandbox::without_repository(), Moto::start());
    let url = format!("s3://{}/x", moto.new_bucket());
    let aws = format!(
        "[profile backup]\nregion = {}\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        moto.region(),
        moto.access_key(),
        moto.secret_key()
    );
    let aws = sandbox.write("aws", aws);
    let run = |args: &str, profile: &str| {
        let profile = format!("credentials.profile = \"{profile}\"");
        sandbox.write("nightjar.toml", in_cloud(&url, moto.endpoint(), &profile));
        let run = with_file(&sandbox, args).env("AWS_CONFIG_FILE", &aws);
        run.env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null").env("AWS_ACCESS_KEY_ID", "other's")
    };
    run("init", "backup").args(WEAK).done();
    run("status", "bakup").exits(1).says("bakup");
}

#[test]
fn azure_and_google_have_credentials_of_their_own_kind() {
    let (sandbox, azurite) = (Sandbox::without_repository(), Azurite::start());
    let secret = |name: &str, text: String| {
        let path = sandbox.write(name, text);
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    secret("azure.env", format!("export AZURE_STORAGE_ACCOUNT_KEY='{}'", azurite.access_key()));
    let more =
        format!("credentials = {{ file = \"azure.env\", account = \"{}\" }}", azurite.account());
    let url = format!("az://{}/x", azurite.new_bucket());
    sandbox.write("nightjar.toml", in_cloud(&url, azurite.endpoint(), &more));
    let run = |args: &str| with_file(&sandbox, args).env("AZURE_STORAGE_ACCOUNT_NAME", "another");
    run("init").args(WEAK).done();
    run("backup --stdin x").stdin("text").done();

    let google = GcsFake::start();
    secret("google.json", google.service_account_key());
    let url = format!("gs://{}/x", google.new_bucket());
    let more = "credentials.service-account = \"google.json\"";
    sandbox.write("nightjar.toml", in_cloud(&url, google.endpoint(), more));
    let run = |args: &str| {
        with_file(&sandbox, args).env("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/at/all")
    };
    run("init").args(WEAK).done();
    run("backup --stdin x").stdin("text").done();
    secret("google.json", google.service_account_key());
    fs::set_permissions(sandbox.path("google.json"), fs::Permissions::from_mode(0o644)).unwrap();
    run("status").exits(2).says("chmod o-rw");
}

/// Every object has the class of its kind; what is large and incompressible is in data packs.
fn assert_classes(objects: &[(String, Head)], class_header: &str, data: &str, metadata: &str) {
    let mut data_packs = 0;
    for (name, head) in objects {
        let size: u64 = head.field("content-length").unwrap().parse().unwrap();
        let holds_data = name.contains("/packs/") && size > 1_000_000;
        data_packs += u32::from(holds_data);
        let expected = if holds_data { data } else { metadata };
        assert_eq!(head.field(class_header).unwrap_or("STANDARD"), expected, "{name}\n{head}");
    }
    assert!(data_packs > 0, "no pack with data was written");
    let packs = objects.iter().filter(|(name, _)| name.contains("/packs/")).count();
    assert!(packs > data_packs as usize, "no pack with trees was written");
    for kind in ["repository", "slots/", "index/", "snapshots/", "ledger/"] {
        assert!(objects.iter().any(|(name, _)| name.contains(kind)), "no object of {kind}");
    }
}

#[test]
fn data_and_metadata_lie_in_classes_of_their_own_and_are_encrypted_as_was_said() {
    let (sandbox, moto) = (Sandbox::without_repository(), Moto::start());
    let (bucket, key) = (moto.new_bucket(), moto.new_kms_key());
    let more = format!(
        "storage-class = {{ data = \"glacier_ir\", metadata = \"STANDARD\" }}\n\
         encryption = {{ mode = \"aws:kms\", kms-key-id = \"{key}\", bucket-key = true }}"
    );
    let text = in_cloud(&format!("s3://{bucket}/x"), moto.endpoint(), &more);
    sandbox.write("nightjar.toml", text);
    let run = |args: &str| {
        let run = with_file(&sandbox, args);
        moto.variables().into_iter().fold(run, |run, (name, value)| run.env(name, value))
    };
    run("init").args(WEAK).done();
    let dump = noise(1, 3_000_000);
    run("backup --stdin dump").stdin(dump.clone()).done();
    run("restore latest --stdout").done().prints_bytes(&dump);
    let objects: Vec<(String, Head)> = moto
        .names(&bucket)
        .into_iter()
        .map(|name| (name.clone(), moto.head(&bucket, &name)))
        .collect();
    assert_classes(&objects, "x-amz-storage-class", "GLACIER_IR", "STANDARD");
    for (name, head) in &objects {
        let field = |field: &str| head.field(&format!("x-amz-server-side-encryption{field}"));
        assert_eq!(field(""), Some("aws:kms"), "{name}\n{head}");
        assert!(field("-aws-kms-key-id").unwrap().ends_with(&key), "{name}\n{head}");
        assert!(field("-bucket-key-enabled").is_some(), "{name}\n{head}");
    }
}

#[test]
fn data_and_metadata_lie_in_tiers_of_their_own() {
    let (sandbox, azurite) = (Sandbox::without_repository(), Azurite::start());
    let container = azurite.new_bucket();
    let more = "storage-class = { data = \"Cold\", metadata = \"hot\" }";
    let text = in_cloud(&format!("az://{container}/x"), azurite.endpoint(), more);
    sandbox.write("nightjar.toml", text);
    let run = |args: &str| {
        let run = with_file(&sandbox, args);
        azurite.variables().into_iter().fold(run, |run, (name, value)| run.env(name, value))
    };
    run("init").args(WEAK).done();
    run("backup --stdin dump").stdin(noise(1, 3_000_000)).done();
    let names = azurite.names(&container).into_iter();
    let objects: Vec<(String, Head)> =
        names.map(|name| (name.clone(), azurite.head(&container, &name))).collect();
    assert_classes(&objects, "x-ms-access-tier", "Cold", "Hot");
}

#[test]
fn a_class_that_must_be_brought_back_first_is_refused() {
    let sandbox = Sandbox::without_repository();
    for (url, class, instead) in
        [("s3://b", "DEEP_ARCHIVE", "GLACIER_IR"), ("az://b", "Archive", "Cold")]
    {
        let more = format!("storage-class.data = \"{class}\"");
        sandbox.write("nightjar.toml", in_cloud(url, "http://127.0.0.1:1", &more));
        with_file(&sandbox, "init").exits(2).says("line 8, column 22").says(instead);
    }
}

#[test]
fn large_packs_go_to_a_bucket_in_parts() {
    let (sandbox, moto) = (Sandbox::without_repository(), Moto::start());
    let bucket = moto.new_bucket();
    let text = in_cloud(&format!("s3://{bucket}/x"), moto.endpoint(), "");
    sandbox.write("nightjar.toml", text);
    let run = |args: &str| {
        let run = with_file(&sandbox, args);
        moto.variables().into_iter().fold(run, |run, (name, value)| run.env(name, value))
    };
    run("init --pack-size 128MiB").args(WEAK).done();
    let dump = noise(1, 140_000_000);
    run("backup --stdin dump").stdin(dump.clone()).done();
    // S3 marks such objects in their tags, with the number of parts: those of 16 MiB are nine.
    let tags: Vec<String> = moto
        .names(&bucket)
        .iter()
        .filter_map(|name| moto.head(&bucket, name).field("etag").map(str::to_owned))
        .collect();
    assert_eq!(tags.iter().filter(|tag| tag.ends_with("-9\"")).count(), 1, "{tags:?}");
    assert_eq!(tags.iter().filter(|tag| tag.contains('-')).count(), 1, "{tags:?}");
    assert_eq!(moto.open_uploads(&bucket), 0);
    run("restore latest --stdout").done().prints_bytes(&dump);
    run("snapshot verify --all --level packs").done();
}
