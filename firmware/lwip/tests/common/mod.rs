//! What the integration tests share: a process a case, because a process has one stack.
//!
//! The macro [`isolated!`] makes a test that starts its own program again for the one case. `wire` talks to
//! the stack in raw frames and needs no privileges; `tap` puts it on a TAP device in a network namespace.

#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod frame;
pub(crate) mod tap;
pub(crate) mod wire;

use std::env;
use std::process::Command;

/// Tells the started program which case it is for.
const CASE: &str = "ESPSTRESS_LWIP_CASE";

/// What a case needs beyond a process of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing.
    Process,
    /// A network namespace and `/dev/net/tun`.
    Tap,
}

/// Defines a test whose body runs in a process of its own.
#[macro_export]
macro_rules! isolated {
    ($(#[$attr:meta])* $name:ident, $needs:expr, $body:block) => {
        $(#[$attr])*
        #[test]
        fn $name() {
            $crate::common::run_isolated(stringify!($name), $needs, || $body);
        }
    };
}

/// Runs `body` if this process was started for it; starts that process otherwise.
pub(crate) fn run_isolated(name: &str, needs: Needs, body: impl FnOnce()) {
    if env::var_os(CASE).is_some_and(|case| case == name) {
        return body();
    }
    let program = env::current_exe().expect("the test program's path");
    let mut command = Command::new(program);
    command
        .args(["--exact", name, "--nocapture"])
        .env(CASE, name);
    if needs == Needs::Tap {
        if let Some(why) = tap::unavailable() {
            let required = env::var("ESPSTRESS_REQUIRE").is_ok_and(|r| r.contains("twin"));
            assert!(!required, "{name}: {why}");
            println!("SKIPPED: {why}");
            return;
        }
        tap::in_namespace(&mut command);
    }
    let output = command.output().expect("the test program starts");
    print!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(
        output.status.success(),
        "{name}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}
