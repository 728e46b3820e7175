//! The carrier compiles against lwIP's socket headers as well as against a host's.
//!
//! That is as near to an ESP-IDF build as can be had without ESP-IDF: the same headers under `compat/posix`, another C
//! library.

use std::path::{Path, PathBuf};
use std::process::Command;

fn lwip() -> PathBuf {
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .other_options(vec!["--locked".to_owned()])
        .exec()
        .expect("cargo knows where the package is");
    let package = metadata.packages.iter().find(|package| package.name.as_str() == "lwip");
    let manifest = package.expect("it is locked").manifest_path.clone();
    manifest.parent().expect("a manifest has a folder").join("src/include").into_std_path_buf()
}

#[test]
fn the_carrier_needs_nothing_that_lwips_sockets_do_not_have() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lwip = lwip();
    let compiled = Command::new("cc")
        .current_dir(root)
        .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"])
        .args(["-Iinclude", "-Itests/lwip_port"])
        // lwIP's own headers are not held to these warnings, and come before the host's.
        .arg("-isystem")
        .arg(lwip.join("compat/posix"))
        .arg("-isystem")
        .arg(&lwip)
        .args(["carrier/carrier.c", "carrier/sockets.c"])
        .output()
        .expect("cc is installed");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
}

#[test]
fn the_headers_looked_at_are_lwips() {
    let preprocessed = Command::new("cc")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .args(["-std=c99", "-E", "-Iinclude", "-Itests/lwip_port", "-isystem"])
        .arg(lwip().join("compat/posix"))
        .arg("-isystem")
        .arg(lwip())
        .arg("carrier/sockets.c")
        .output()
        .expect("cc is installed");
    let text = String::from_utf8_lossy(&preprocessed.stdout);
    assert!(text.contains("lwip_setsockopt("), "calls go to lwIP");
    assert!(!text.contains("/usr/include/x86_64-linux-gnu/sys/socket.h"), "the host's sockets are mixed in");
}
