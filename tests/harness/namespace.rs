//! Tests that mount file systems.

use std::env;
use std::process::Command;

use super::is_root;

/// Only root may mount. Anybody else runs the test again as root of a namespace of its own; then
/// this returns true and there is nothing left to do. `module` is `module_path!()` there.
pub(crate) fn done_in_namespace(module: &str, test: &str) -> bool {
    if is_root() {
        return false;
    }
    let module = module.split_once("::").expect("a module lies in a crate").1;
    let executable = env::current_exe().expect("a process knows its executable");
    let mut again = Command::new("unshare");
    again.args(["--user", "--map-root-user", "--mount"]).arg(executable);
    again.args(["--exact", "--nocapture"]).arg(format!("{module}::{test}"));
    let output = again.output().expect("unshare runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    // Of a name that no test has, none passes and none fails.
    assert!(
        output.status.success() && said.contains("1 passed"),
        "this test mounts a file system: run it as root, or allow user namespaces\n{said}"
    );
    true
}
