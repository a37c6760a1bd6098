# shellcheck shell=bash
# Sourced by scripts/demo, scripts/test and .ci/run: where builds go, and how what is missing
# gets installed. Everything is built once, with one profile, in one target directory that
# every checkout on this machine shares: RocksDB alone takes ten minutes of two cores.

nightjar_cache="${XDG_CACHE_HOME:-$HOME/.cache}/nightjar"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$nightjar_cache/target}"
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"

# shellcheck disable=SC2034 # used by the scripts that source this
build_packages=(build-essential clang libclang-dev pkg-config)
# shellcheck disable=SC2034
test_packages=(postgresql strace python3-venv)

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$(basename "$0"): $*"
    exit 1
}

# need_packages NAME...: installs those of the Debian packages that are missing.
need_packages() {
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        say "This is not a Debian machine: make sure that it has what these packages hold: $*"
        return
    fi
    local package missing=() as_root=()
    for package in "$@"; do
        if [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
            missing+=("$package")
        fi
    done
    if [ ${#missing[@]} -eq 0 ]; then return; fi
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null ||
            die "these packages are missing; as root run: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    say "Installing ${missing[*]}"
    "${as_root[@]}" apt-get update -qq || die "apt-get update failed (see above)"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 ||
        die "could not install ${missing[*]} (see above)"
}

# need_rust: checks for the toolchain that rust-toolchain.toml names. Run it in the checkout.
need_rust() {
    command -v cargo >/dev/null ||
        die "Rust is missing: install it from https://rustup.rs, then run this again"
    cargo --version >/dev/null ||
        die "the Rust of rust-toolchain.toml is missing: rustup toolchain install 1.95.0 -c rustfmt -c clippy"
}

# claim_target: drops what another checkout built of Nightjar's own crates. In a shared target
# directory cargo tells checkouts apart by file times only, and would take the other's program
# for this one's.
claim_target() {
    local claim="$CARGO_TARGET_DIR/checkout"
    if [ "$(cat "$claim" 2>/dev/null)" = "$PWD" ]; then return; fi
    cargo clean --quiet --locked --workspace --release
    mkdir -p "$CARGO_TARGET_DIR"
    printf '%s\n' "$PWD" >"$claim"
}

# need_cargo_tool NAME VERSION: builds a cargo subcommand when there is none.
need_cargo_tool() {
    if command -v "$1" >/dev/null; then return; fi
    say "Installing $1 $2 from crates.io (takes some minutes)"
    env -u CARGO_TARGET_DIR cargo install --quiet --locked "$1" --version "$2" ||
        die "could not install $1 $2 (see above)"
}
