//! What is refused before the first packet, and what is said then.

use super::{heard_server, refused};
use crate::common::{espstress, espstress_with, failure};

#[test]
fn listening_needs_no_device_and_says_where_it_listens() {
    let output = espstress().args(["outage", "--listen", "0", "-d", "1s"]).output().unwrap();
    let (said, page) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert_eq!(output.status.code(), Some(4), "{said}{page}");
    assert!(said.contains("waiting for devices to dial ") && said.contains("127.0.0.1:"), "{said}");
    assert!(page.starts_with("INCONCLUSIVE") && page.contains("no device dialled in to port "), "{page}");
    refused("outage", 2, &["TARGET"]);
    refused("run quick -t dials-in", 2, &["outage", "--listen"]);
}

#[test]
fn a_wrong_scenario_key_is_told_with_its_line_and_the_allowed_ones() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    std::fs::write(&file, "name = 'mine'\n\n[[phase]]\nname = 'a'\nkind = 'head'\nconections = 4\n").unwrap();
    refused(
        &format!("run {} -t sim", file.display()),
        2,
        &["mine.toml:6", "conections", "connections", "timeout_connect"],
    );
}

#[test]
fn an_unknown_scenario_names_the_built_in_ones() {
    refused("run no-such-scenario -t sim", 2, &["quick", "timewait"]);
}

#[test]
fn an_unknown_persona_is_told_with_the_allowed_ones() {
    refused(
        "head sim -n 1 --persona nobody",
        2,
        &["`nobody`", "no such persona", "robust", "unread-close", "half-closer"],
    );
}

#[test]
fn a_wrong_name_in_a_scenario_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    let run = format!("run {} ", file.display());
    let phase = "[[phase]]\nname = 'a'\nkind = 'head'\ncount = 1\n";
    for (text, says) in [
        (format!("# mine\ntarget = 'sim'\npersona = 'nobody'\n{phase}"), ["mine.toml:3:", "`nobody`"]),
        (format!("target = 'twin'\nlink = 'rope'\n{phase}"), ["mine.toml:2:", "`rope`"]),
        (format!("\n\ntarget = 'ftp://x'\n{phase}"), ["mine.toml:3:", "`ftp://x`"]),
        ("target = 'sim'\n[[phase]]\nname = 'a'\n\nkind = 'haed'\n".to_owned(), ["mine.toml:5:", "`haed`"]),
    ] {
        std::fs::write(&file, text).unwrap();
        refused(&run, 2, &says);
    }
    // What is typed stands in no line of the file.
    std::fs::write(&file, format!("target = 'sim'\npersona = 'robust'\n{phase}")).unwrap();
    let (message, _) = failure(&espstress_with(&format!("{run} --persona nobody")));
    assert!(message.contains("`nobody`") && !message.contains("mine.toml:"), "{message}");
}

#[test]
fn a_name_that_does_not_resolve_is_the_environments() {
    refused("head no-such-device.invalid -n 1", 3, &["no-such-device.invalid"]);
}

#[test]
fn a_refused_port_is_the_targets() {
    let (_closed, target) = crate::common::closed_port();
    let output = espstress_with(&format!("head {target} -n 2 -q --no-probes"));
    let (message, status) = failure(&output);
    let page = String::from_utf8_lossy(&output.stdout);
    assert_eq!(status, 3, "{message}{page}");
    assert!(format!("{message}{page}").contains("refuses"), "{message}{page}");
}

#[test]
fn an_output_file_that_cannot_be_written_is_found_before_the_first_connection() {
    let (target, hears) = heard_server();
    refused(&format!("head {target} -n 1 -o /no-such-folder/report.json"), 2, &["/no-such-folder"]);
    assert!(hears.try_recv().is_err(), "there was a connection");
}

#[test]
fn a_public_address_is_refused() {
    // From a loopback source nothing could leave the machine, should the check ever fail.
    let nowhere = "-n 1 --source 127.0.0.1 --no-probes --no-capture";
    refused(&format!("head 8.8.8.8 {nowhere}"), 2, &["--allow-public"]);
    refused(&format!("head http://8.8.4.4:8080/ {nowhere}"), 2, &["--allow-public"]);
}

#[test]
fn a_local_name_is_resolved() {
    let (target, hears) = heard_server();
    let output = espstress_with(&format!("head localhost:{} -n 3 -q --no-probes --no-gate", target.port()));
    // `localhost` may be ::1 first, where this server is not.
    if output.status.success() {
        hears.recv().unwrap();
    } else {
        assert_eq!(output.status.code(), Some(3), "{:?}", failure(&output));
    }
}
