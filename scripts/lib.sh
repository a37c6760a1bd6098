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
command -v node >/dev/null || test_packages+=(nodejs)
command -v npm >/dev/null || test_packages+=(npm)

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

# cargo_program NAME VERSION: prints the path of a program of crates.io that only tests run.
cargo_program() {
    local folder="$nightjar_cache/$1-$2"
    if [ ! -x "$folder/bin/$1" ]; then
        say "Compiling $1 $2 from crates.io (takes half an hour on two cores)"
        CARGO_TARGET_DIR="$folder/target" cargo install --quiet --locked "$1" --version "$2" \
            --root "$folder" >&2 || die "could not install $1 $2 (see above)"
        rm -rf "$folder/target"
    fi
    printf '%s\n' "$folder/bin/$1"
}

# once FOLDER COMMAND...: runs COMMAND, which fills FOLDER, unless that has been done. Scripts
# that run side by side wait for each other.
once() {
    local folder=$1
    shift
    if [ -f "$folder/complete" ]; then return; fi
    mkdir -p "$folder"
    (
        flock 9
        [ -f "$folder/complete" ] || { "$@" && touch "$folder/complete"; }
    ) 9>"$folder.lock" >&2
}

# python_packages LIST: prints the folder of a Python environment that holds the packages of the
# list. Each version of a list has its own.
python_packages() {
    [ -f "$1" ] || die "$1 is missing"
    local folder
    folder="$nightjar_cache/python-$(sha256sum "$1" | cut -c1-12)"
    once "$folder" install_python "$1" "$folder" ||
        die "could not install the Python packages of $1 (see above)"
    printf '%s\n' "$folder"
}

install_python() {
    say "Installing the Python packages of $1"
    # Debian's own Python first: python3-venv belongs to it.
    local python=/usr/bin/python3
    [ -x "$python" ] || python=python3
    "$python" -m venv --clear "$2" &&
        "$2/bin/pip" install --quiet --disable-pip-version-check --requirement "$1"
}

# npm_packages FOLDER: prints a folder whose node_modules holds what the package-lock.json of
# FOLDER lists. Each version of the lock has its own.
npm_packages() {
    [ -f "$1/package-lock.json" ] || die "$1/package-lock.json is missing"
    local folder
    folder="$nightjar_cache/npm-$(sha256sum "$1/package-lock.json" | cut -c1-12)"
    once "$folder" install_npm "$1" "$folder" ||
        die "could not install the npm packages of $1 (see above)"
    printf '%s\n' "$folder"
}

# Nothing of what the tests need has a step of its own to run at installation.
install_npm() {
    say "Installing the npm packages of $1"
    cp "$1/package.json" "$1/package-lock.json" "$2" &&
        npm ci --prefix "$2" --ignore-scripts --no-audit --no-fund --loglevel=error
}
