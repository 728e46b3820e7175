//! Processes that come to nothing, and what does not go together.

use super::refused;

#[test]
fn a_process_that_ends_at_once_is_told_with_its_last_words() {
    let target = "tap:sh -c 'echo no such board as {tap}; exit 3'";
    let Some(said) = refused(&["head", target], 3) else { return };
    assert!(said.contains("ended before it showed an address: exit status 3"), "{said}");
    assert!(said.contains("no such board as tap0"), "{said}");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let Some(said) = refused(&["head", "tap:./no-such-emulator --net {tap}"], 3) else { return };
    assert!(said.contains("cannot start `./no-such-emulator`"), "{said}");
}

#[test]
fn a_process_that_goes_to_the_background_is_told_so_and_does_not_stay() {
    let target = "tap:sh -c 'setsid sleep 4242 & : {tap}'";
    let Some(said) = refused(&["head", target], 3) else { return };
    assert!(said.contains("went to the background"), "{said}");
    let left = std::fs::read_dir("/proc").unwrap().flatten().any(|process| {
        std::fs::read(process.path().join("cmdline")).is_ok_and(|line| line == b"sleep\x004242\x00")
    });
    assert!(!left, "its child is still there");
}

#[cfg(feature = "long")]
#[test]
fn a_process_that_never_shows_an_address_is_told_with_its_last_words() {
    let target = "tap:sh -c 'echo waiting for {tap}; sleep 100'";
    let Some(said) = refused(&["head", target], 3) else { return };
    assert!(said.contains("shows no address: it neither asks for one by DHCP"), "{said}");
    assert!(said.contains("it wrote: waiting for tap0"), "{said}");
}

#[test]
fn what_belongs_to_the_device_program_is_refused() {
    for (options, wrong) in [
        (["head", "--persona", "leaky"], "--persona works only with twin and sim"),
        (["head", "--stack", "lwip"], "--stack works only with twin"),
        (["head", "--heap", "64KiB"], "--heap works only with twin"),
        (["head", "--program", "./x"], "--program works only with twin"),
        (["outage", "--by", "device"], "--by device isn't for tap:CMD and emu:IMAGE"),
        (["head", "--device-address", "192.168.4.1"], "can't be a device's address"),
        (["head", "--device-address", "esp.local"], "give an IPv4 address"),
    ] {
        let arguments = [options.as_slice(), &["tap:./x {tap}"]].concat();
        let Some(said) = refused(&arguments, 2) else { return };
        assert!(said.contains(wrong), "{options:?}: {said}");
    }
    let Some(said) = refused(&["head", "twin", "--device-address", "192.168.4.7"], 2) else { return };
    assert!(said.contains("--device-address works only with tap:CMD and emu:IMAGE"), "{said}");
}

#[test]
fn a_scenario_names_such_a_target_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tap.toml");
    let text =
        "target = \"tap:./no-such-emulator {tap}\"\ndevice_address = \":8080\"\n[[phase]]\nkind = \"head\"\n";
    std::fs::write(&file, text).unwrap();
    let Some(said) = refused(&["run", file.to_str().unwrap()], 3) else { return };
    assert!(said.contains("cannot start `./no-such-emulator`"), "{said}");
}
