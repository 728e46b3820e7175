# Rust for a bare RISC-V: rustup's toolchain with its target, or Debian's compiler with core built from source. Sourced by
# scripts that have a function `fail MESSAGE [STATUS]`.

apt_get() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    echo "installing $*"
    apt-get install -y --no-install-recommends "$@" >/dev/null 2>&1 && return
    apt-get update >/dev/null 2>&1 && apt-get install -y --no-install-recommends "$@" >/dev/null 2>&1
}

# Whether the Rust compiler on PATH has a core library for the target.
has_core() {
    command -v rustc >/dev/null && ls "$(rustc --print target-libdir --target "$1" 2>/dev/null)"/libcore-*.rlib >/dev/null 2>&1
}

has_debian() { [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && [ -d /usr/lib/rustlib/src/rust/library/core ]; }

# The newest LLVM linker there is, or the one that comes with the Rust compiler on PATH.
linker() {
    ls /usr/bin/ld.lld-* 2>/dev/null | sort -V | tail -1 | grep . && return
    command -v rustc >/dev/null && ls "$(rustc --print sysroot)"/lib/rustlib/*/bin/rust-lld 2>/dev/null | head -1 | grep .
}

# Sets the array `build` to the command that builds for the target.
choose() {
    local upper
    upper=$(echo "$1" | tr 'a-z-' 'A-Z_')
    if has_core "$1"; then
        build=(cargo build)
        return
    fi
    if ! has_debian; then
        apt_get rustc-web cargo-web rust-web-src lld-22 || true
    fi
    if ! has_debian; then
        command -v rustup >/dev/null && rustup target add "$1" >/dev/null 2>&1 && has_core "$1" && { build=(cargo build); return; }
        fail "there is no Rust core library for $1. With rustup: rustup target add $1.
On Debian, as root: apt-get install rustc-web cargo-web rust-web-src lld-22 (as root, this script does it)."
    fi
    local ld
    ld=$(linker) || fail "there is no linker for $1: apt-get install lld-22"
    build=(env RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=core,alloc
        "CARGO_TARGET_${upper}_LINKER=$ld" /usr/bin/cargo build)
}
