//! `repair`: what is lost comes back from a copy, or from packs, or is left out of new snapshots.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Nightjar, Sandbox, assert_has_fields, assert_same, data, files_below, id_of};

/// A tree and a dump, of several packs, and a copy of the whole directory.
struct Scene {
    sandbox: Sandbox,
    dump: Vec<u8>,
    ids: [String; 2],
}

impl Scene {
    fn new() -> Self {
        let sandbox = Sandbox::without_repository();
        sandbox.nightjar("init --pack-size 1MiB --argon2-memory 1MiB").done();
        fs::create_dir_all(sandbox.path("home/letters")).unwrap();
        sandbox.write("home/letters/one", data::noise(1, 300_000));
        sandbox.write("home/large", data::noise(2, 3_000_000));
        let tree = sandbox.nightjar("backup --series home").source(sandbox.path("home")).json();
        let dump = data::dump(3, 20_000);
        let second = sandbox.store("dump.sql", &dump);
        copy_directory(&sandbox.repository(), &sandbox.path("copy"));
        Self { sandbox, dump, ids: [id_of(&tree), second] }
    }

    fn repair(&self, words: &str) -> Nightjar {
        self.sandbox.nightjar(&format!("repair {words}"))
    }

    fn repair_from_copy(&self, words: &str) -> Nightjar {
        self.repair(words).args("--from").arg(self.sandbox.path("copy"))
    }

    /// The repository's objects below a folder, the largest first.
    fn objects(&self, folder: &str) -> Vec<PathBuf> {
        let mut found = files_below(&self.sandbox.repository().join(folder));
        found.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().len()));
        found
    }

    /// The name that messages call an object by.
    fn name(&self, path: &Path) -> String {
        path.strip_prefix(self.sandbox.repository()).unwrap().to_str().unwrap().to_owned()
    }

    /// Loses a pack that nothing needs but the large file.
    fn lose_a_part_of_the_large_file(&self) {
        for pack in self.objects("packs") {
            let bytes = fs::read(&pack).unwrap();
            fs::remove_file(&pack).unwrap();
            let told = self.repair("snapshots --all --dry-run").run().text();
            if told.contains("lost 1 entry") && told.contains("  home/large: ") {
                return;
            }
            fs::write(&pack, bytes).unwrap();
        }
        panic!("every pack is needed by something else");
    }

    fn forget_caches(&self) {
        fs::remove_dir_all(self.sandbox.cache()).unwrap();
    }

    #[track_caller]
    fn assert_whole(&self) {
        self.sandbox.assert_verifies();
        assert_same(&self.sandbox.stream(&self.ids[1]), &self.dump);
    }
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let place = bytes.len() / 2;
    bytes[place] ^= 4;
    fs::write(path, bytes).unwrap();
}

fn state(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    files_below(directory).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn what_is_lost_comes_back_from_a_copy() {
    let scene = Scene::new();
    let repository = scene.sandbox.repository();
    let [first, second, ..] = &scene.objects("packs")[..] else { panic!("too few packs") };
    let gone = [first, &repository.join("snapshots").join(&scene.ids[0])].map(|it| scene.name(it));
    fs::remove_file(first).unwrap();
    flip(second);
    fs::remove_file(repository.join(&gone[1])).unwrap();
    scene.sandbox.nightjar("snapshot verify --all").exits(4);

    let before = state(&repository);
    let text = scene.repair_from_copy("--check --dry-run").done().text();
    for name in &gone {
        assert!(text.contains(&format!("{name} is missing, and comes from the copy (")), "{text}");
    }
    assert!(text.contains(&format!("{} is damaged", scene.name(second))), "{text}");
    assert!(text.contains("3 objects (") && text.ends_with("nothing was changed\n"), "{text}");
    assert!(before == state(&repository), "a dry run changed something");

    let plan = scene.repair_from_copy("--check --dry-run").json();
    let fields = "dry_run from objects bytes suspects repaired packs_read left requests";
    assert_has_fields(&plan, fields);
    assert_eq!((&plan["dry_run"], plan["left"].as_array().unwrap().len()), (&true.into(), 0));
    let objects = plan["objects"].as_array().unwrap();
    assert_has_fields(&objects[0], "object kind problem means bytes");
    assert_eq!(objects.len(), 3);

    let done = scene.repair_from_copy("--check").done();
    done.prints("brought back 2 packs (").prints("1 snapshot (").prints("all that was found is");
    scene.assert_whole();
    let again = scene.repair_from_copy("").done();
    again.prints("nothing was found to be missing or damaged").prints("only with --check");
    assert_eq!(scene.repair_from_copy("--check").json()["objects"], Value::Array(vec![]));
}

#[test]
fn a_repository_that_cannot_be_opened_any_more_is_mended() {
    for folder in ["repository", "slots", "keyring", "ledger"] {
        for is_flipped in [false, true] {
            let scene = Scene::new();
            let path = match folder {
                "repository" => scene.sandbox.repository().join(folder),
                folder => scene.objects(folder).pop().unwrap(),
            };
            match is_flipped {
                true => flip(&path),
                false => fs::remove_file(&path).unwrap(),
            }
            scene.forget_caches();
            let name = scene.name(&path);
            let outcome = scene.sandbox.nightjar("snapshot verify --all").run();
            assert!(!outcome.is_done(), "{name}: {outcome}");
            scene.repair_from_copy("--dry-run").done().prints(&name);
            scene.repair_from_copy("").done().prints("brought back 1 ");
            scene.assert_whole();
        }
    }
}

#[test]
fn what_no_copy_has_is_named_and_the_rest_is_mended() {
    let scene = Scene::new();
    let copy = scene.sandbox.path("copy");
    let [first, second, ..] = &scene.objects("packs")[..] else { panic!("too few packs") };
    let (lost, mended) = (scene.name(first), scene.name(second));
    fs::remove_file(first).unwrap();
    fs::remove_file(second).unwrap();
    flip(&copy.join(&lost));
    let outcome = scene.repair_from_copy("").exits(4);
    outcome.prints("brought back 1 pack").prints(&lost).prints("1 finding could not be mended");
    assert!(!scene.sandbox.repository().join(&lost).exists(), "something unverified was written");
    assert!(scene.sandbox.repository().join(&mended).exists());
    let document = scene.repair_from_copy("").with_json().exits(4).json();
    assert_eq!(document["left"][0]["object"], lost.as_str());
    assert!(document["left"][0]["problem"].as_str().unwrap().contains("hash"), "{document}");
    fs::remove_file(copy.join(&lost)).unwrap();
    scene.repair_from_copy("--dry-run").exits(4).prints("the copy does not have it");
}

#[test]
fn a_copy_is_told_from_what_is_none() {
    let scene = Scene::new();
    let sandbox = &scene.sandbox;
    fs::remove_file(&scene.objects("packs")[0]).unwrap();
    let before = state(&sandbox.repository());
    let other = sandbox.path("other");
    let init = sandbox.nightjar("init --argon2-memory 1MiB");
    init.env("NIGHTJAR_REPOSITORY", &other).done();
    let from = |path: &Path| scene.repair("--from").arg(path);
    from(&other).exits(1).says("is no copy of this repository");
    from(&sandbox.path("nowhere")).exits(10);
    from(&sandbox.path("home")).exits(10).says("there is no repository");
    from(&sandbox.repository()).exits(1).says("the repository itself");
    for line in ["", "--check", "--from", "--from x index", "snapshots", "snapshots a5 --all"] {
        scene.repair(line).exits(2);
    }
    sandbox.write("passphrase", "wrong");
    scene.repair_from_copy("").exits(12).says("wrong passphrase");
    assert!(before == state(&sandbox.repository()));
}

#[test]
fn a_copy_may_have_a_name() {
    let scene = Scene::new();
    let sandbox = &scene.sandbox;
    fs::remove_file(&scene.objects("packs")[0]).unwrap();
    let file = sandbox.write(
        "nightjar.toml",
        "[repository.here]\nurl = \"repository\"\n[repository.spare]\nurl = \"copy\"\n",
    );
    let named = |words: &str| {
        sandbox.nightjar(words).arg("--config").arg(&file).env("NIGHTJAR_REPOSITORY", "here")
    };
    named("repair --from nobody").exits(2).says("spare");
    named("repair --from spare").done().prints("brought back 1 pack");
    scene.assert_whole();
}

#[test]
fn lost_index_objects_are_made_from_packs() {
    let scene = Scene::new();
    let sandbox = &scene.sandbox;
    let objects = scene.objects("index");
    assert!(objects.len() > 1);
    fs::remove_file(&objects[0]).unwrap();
    flip(&objects[1]);
    scene.forget_caches();
    let before = state(&sandbox.repository());
    let plan = scene.repair("index --dry-run").exits(4);
    plan.prints("listed by no index object").prints(&scene.name(&objects[1]));
    assert!(before == state(&sandbox.repository()));
    let host = sandbox.add_write_slot();
    scene.repair("index").env("NIGHTJAR_PASSWORD_FILE", host).exits(12);
    let document = scene.repair("index").with_json().exits(4).json();
    let fields =
        "dry_run packs bytes busy damaged written packs_listed blobs deleted left requests";
    assert_has_fields(&document, fields);
    assert_has_fields(&document["damaged"][0], "object problem deletable");
    assert!(document["packs_listed"].as_u64().unwrap() > 0);
    assert_same(&sandbox.stream(&scene.ids[1]), &scene.dump);
    scene.repair("index").exits(4).prints("--delete-damaged");
    let done = scene.repair("index --delete-damaged").done();
    done.prints("no pack had to be listed anew").prints("deleted index/");
    scene.assert_whole();
}

#[test]
fn what_is_lost_for_good_is_left_out_of_new_snapshots() {
    let scene = Scene::new();
    let sandbox = &scene.sandbox;
    scene.lose_a_part_of_the_large_file();
    sandbox.nightjar("snapshot verify --all").exits(4);
    let before = state(&sandbox.repository());
    let plan = scene.repair("snapshots --all --dry-run").done();
    plan.prints("lost 1 entry").prints("  home/large: ").prints("nothing was changed");
    assert!(before == state(&sandbox.repository()));
    let document = scene.repair("snapshots --all --dry-run").json();
    assert_has_fields(&document, "dry_run snapshots whole left requests");
    let one = &document["snapshots"][0];
    let fields = "original snapshot was_there series time left_out files bytes_added";
    assert_has_fields(one, fields);
    assert_has_fields(&one["left_out"][0], "path directory problem");
    assert_eq!((&one["snapshot"], &document["whole"]), (&Value::Null, &1.into()));

    let host = sandbox.add_write_slot();
    scene.repair("snapshots --all").env("NIGHTJAR_PASSWORD_FILE", host).exits(12);
    let done = scene.repair("snapshots --series home").done();
    done.prints("has the rest").prints("the originals are still there");
    let snapshots = sandbox.snapshots();
    assert_eq!(snapshots.len(), 3);
    let new = snapshots.iter().map(id_of).find(|id| !scene.ids.contains(id)).unwrap();
    let letters = sandbox.nightjar("snapshot cat").arg(&new).arg("home/letters/one").done();
    letters.prints_bytes(&data::noise(1, 300_000));
    sandbox.nightjar("snapshot verify --level data").arg(&new).done();
    let again = scene.repair("snapshots").arg(&scene.ids[0]).done();
    again.prints("made by an earlier run");
    assert_eq!(sandbox.snapshots().len(), 3);
    scene.repair("snapshots").arg(&scene.ids[1]).done().prints("1 snapshot lost nothing");
    sandbox.nightjar("snapshot forget --reason lost").arg(&scene.ids[0]).done();
    sandbox.nightjar("gc").done();
    sandbox.nightjar("snapshot verify --level data --series home").done();
    assert_same(&sandbox.stream(&scene.ids[1]), &scene.dump);
}

#[test]
fn a_snapshot_of_which_nothing_is_left_is_named() {
    let scene = Scene::new();
    scene.objects("packs").iter().for_each(|path| fs::remove_file(path).unwrap());
    let outcome = scene.repair("snapshots").arg(&scene.ids[1]).exits(4);
    outcome.prints("nothing would be left of it").prints("snapshot forget");
    assert_eq!(scene.sandbox.snapshots().len(), 2);
}
