//! Trees of everything that Linux keeps, made up, stored, restored and compared with the model in
//! memory that they were made from.

mod changing;
mod model;

use std::fs;
use std::path::Path;

use model::{By, Generator, make};

use crate::harness::tree::{Kind, Node, Tree, difference, read};
use crate::harness::{Nightjar, Sandbox, id_of, is_root};

/// Who `Sandbox::nightjar_unprivileged` is.
const NOBODY: u32 = 65534;

fn whoever() -> By {
    if is_root() { By::Root } else { By::User(rustix::process::geteuid().as_raw()) }
}

/// As the names in the tree have it: the first of the paths of one file, in their order.
fn with_first_names(mut tree: Tree) -> Tree {
    let groups: Vec<_> = tree.values().filter_map(|node| node.same_as.clone()).collect();
    for group in groups {
        let paths: Vec<_> = tree
            .iter()
            .filter(|(_, node)| node.same_as.as_ref() == Some(&group))
            .map(|(path, _)| path.clone())
            .collect();
        for path in &paths {
            tree.get_mut(path).unwrap().same_as = Some(paths[0].clone());
        }
    }
    tree
}

#[track_caller]
fn assert_holds(directory: &Path, tree: &Tree, seed: u64) {
    if let Some(difference) = difference(&read(&directory.join("tree")), tree) {
        panic!("seed {seed}: {difference}");
    }
}

fn backup(run: Nightjar, base: &Path) -> String {
    id_of(&run.args("--series fidelity tree").in_directory(base).json())
}

#[test]
fn every_tree_comes_back_with_everything() {
    for seed in 0..25 {
        let sandbox = Sandbox::new();
        let base = sandbox.path("");
        let tree = with_first_names(Generator::new(seed, whoever()).tree());
        make(&base.join("tree"), &tree);
        assert_holds(&base, &tree, seed);
        backup(sandbox.nightjar("backup"), &base);
        let target = sandbox.path("target");
        let restore = sandbox.nightjar("restore latest --verify --to").arg(&target);
        restore.done().never_says("warning");
        assert_holds(&target, &tree, seed);
        assert_holds(&base, &tree, seed);
        sandbox.assert_verifies();
    }
}

#[test]
fn an_ordinary_user_gets_back_all_that_is_hers() {
    for seed in 100..110 {
        let sandbox = Sandbox::new();
        let base = sandbox.path("");
        let by = if is_root() { By::User(NOBODY) } else { whoever() };
        let tree = with_first_names(Generator::new(seed, by).tree());
        make(&base.join("tree"), &tree);
        backup(sandbox.nightjar_unprivileged("backup"), &base);
        // What was given to her lost setuid on the way.
        let tree = read(&base.join("tree"));
        let target = sandbox.path("target");
        fs::create_dir(&target).unwrap();
        let restore = sandbox.nightjar_unprivileged("restore latest --to").arg(&target);
        restore.done().never_says("warning");
        assert_holds(&target, &tree, seed);
    }
}

#[test]
fn each_of_two_trees_becomes_the_other() {
    for seed in 200..210 {
        let sandbox = Sandbox::new();
        let mut generator = Generator::new(seed, whoever());
        let (one, other) = (sandbox.path("one"), sandbox.path("other"));
        let first = with_first_names(generator.tree());
        let second = generator.tree();
        // The second night has much of the first: a tree in which something else changed.
        let second: Tree = first
            .iter()
            .filter(|(path, node)| path.as_os_str().len() % 3 != 0 || node.kind == Kind::Directory)
            .chain(second.iter())
            .map(|(path, node)| (path.clone(), node.clone()))
            .collect();
        let second = without_orphans(second);
        for (base, tree) in [(&one, &first), (&other, &second)] {
            fs::create_dir(base).unwrap();
            make(&base.join("tree"), tree);
        }
        let ids =
            [backup(sandbox.nightjar("backup"), &one), backup(sandbox.nightjar("backup"), &other)];
        let target = sandbox.path("target");
        for (id, tree) in [(&ids[0], &first), (&ids[1], &second), (&ids[0], &first)] {
            let restore = sandbox.nightjar("restore --overwrite always --delete --to").arg(&target);
            restore.arg(id).done();
            assert_holds(&target, tree, seed);
        }
    }
}

/// Drops links whose first name is another file now, and what lies in no directory.
fn without_orphans(tree: Tree) -> Tree {
    let is_directory =
        |path: &Path| tree.get(path).is_some_and(|node| node.kind == Kind::Directory);
    let stands = |path: &Path| path.ancestors().skip(1).all(is_directory);
    let kept = tree.iter().filter(|(path, _)| stands(path));
    kept.map(|(path, node)| (path.clone(), Node { same_as: None, ..node.clone() })).collect()
}
