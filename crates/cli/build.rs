//! Leaves debug information out of the program: RocksDB's alone takes hundreds of megabytes.
//! Symbols stay, so profiles and backtraces name functions.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-bins=-Wl,--strip-debug");
}
