//! Tests in a network namespace of their own.
//!
//! A test runs its own program again under `unshare`, for itself alone, and does its work there. Where that is not
//! permitted it prints why it was skipped; where ESPSTRESS_REQUIRE names what it needs, it fails.

use std::process::Command;

const INSIDE: &str = "ESPSTRESS_TEST_INSIDE";

/// The name by which this test program knows a test: that of `module_path!` without the crate.
pub(crate) fn in_this_program(test: &str) -> &str {
    test.split_once("::").map_or(test, |(_, rest)| rest)
}

/// Runs `body` in a fresh namespace: `unshare` with these options, this test alone, which is named with its module as
/// `module_path!` has it.
pub(crate) fn apart(needs: &str, test: &str, options: &[&str], body: fn()) {
    let test = in_this_program(test);
    if std::env::var(INSIDE).as_deref() == Ok(test) {
        body();
        return;
    }
    let required = std::env::var("ESPSTRESS_REQUIRE").is_ok_and(|v| v.split(',').any(|w| w.trim() == needs));
    let works = Command::new("unshare").args(options).arg("true").output();
    let reason = match &works {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(e) => Some(format!("unshare: {e}")),
    };
    if let Some(reason) = reason {
        assert!(!required, "{test} is required here, but: {reason}");
        println!("SKIPPED {test}: {reason}");
        return;
    }
    let output = Command::new("unshare")
        .args(options)
        .arg("--")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, test)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let skipped = said.lines().find(|l| l.starts_with("SKIPPED"));
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    // A name that this program does not know runs nothing, and that succeeds.
    assert!(said.contains("1 passed"), "{test} did not run: {said}");
    if let Some(line) = skipped {
        assert!(!required, "{line}");
        println!("{line}");
    }
}

/// A network of its own, for ordinary users as well.
pub(crate) const OWN_NETWORK: [&str; 3] = ["--user", "--map-root-user", "--net"];

/// Runs `ip` with these words.
pub(crate) fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}
