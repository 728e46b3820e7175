//! The checked-in header is the one that the sources give.

use std::path::Path;

#[test]
fn the_header_is_the_one_that_the_sources_give() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml is read");
    let mut builder = cbindgen::Builder::new().with_config(config);
    for module in ["types", "storage", "device", "connection"] {
        builder = builder.with_src(root.join(format!("src/{module}.rs")));
    }
    let mut fresh = Vec::new();
    builder.generate().expect("the sources give a header").write(&mut fresh);
    let fresh = String::from_utf8(fresh).expect("a header is text");
    let path = root.join("include/espstress_device.h");
    if std::env::var_os("UPDATE_HEADER").is_some() {
        std::fs::write(&path, &fresh).expect("the header is written");
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked_in == fresh,
        "{} is stale: run `UPDATE_HEADER=1 cargo test --test header` and look at what changed",
        path.display()
    );
}
