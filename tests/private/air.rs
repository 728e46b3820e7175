//! The air beside a run. No wireless card is needed: a TAP device that calls itself a monitor interface (`TUNSETLINK`)
//! hands on the frames that the test writes to it. What a card's driver does is not shown by this.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::time::Duration;

use espstress_targets::network::PrivateNetwork;
use libtest_mimic::Trial;

use crate::runner::{self, Case, Outcome, judge};

const ALL: &[Case] = cases![
    a_monitor_interface_is_heard_beside_a_run,
    an_interface_that_is_no_monitor_is_refused_and_the_run_goes_on,
];

/// `ARPHRD_IEEE80211_RADIOTAP` (linux/if_arp.h).
const RADIOTAP: libc::c_int = 803;
const AP: [u8; 6] = [0x02, 0xaa, 0, 0, 0, 1];
const BOARD: [u8; 6] = [0x24, 0x6f, 0x28, 0, 0, 7];

pub(crate) fn trials() -> Vec<Trial> {
    ALL.iter()
        .map(|&(name, _)| Trial::test(whole(name), move || judge(&mut runner::case_command(&whole(name))?)))
        .collect()
}

pub(crate) fn inside() -> impl Iterator<Item = (String, fn(&PrivateNetwork) -> Outcome)> {
    ALL.iter().map(|&(name, case)| (whole(name), case))
}

fn whole(name: &str) -> String {
    format!("air::{name}")
}

/// A TAP device of this name; what is written to it arrives there.
#[expect(unsafe_code, reason = "TUNSETIFF and TUNSETLINK are ioctls")]
fn tap(name: &str, kind: Option<libc::c_int>) -> Result<File, Box<dyn Error>> {
    /// linux/if_tun.h.
    const TUNSETLINK: libc::c_ulong = 0x4004_54cd;
    let tun = File::options().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: all its bytes zero is a valid `ifreq`: integers, arrays and a null pointer.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as i16;
    // SAFETY: the descriptor is open as long as `tun` is, and the kernel reads and writes one `ifreq` there.
    if unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF as libc::c_ulong, &raw mut request) } < 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    if let Some(kind) = kind {
        // SAFETY: the argument is a number.
        if unsafe { libc::ioctl(tun.as_raw_fd(), TUNSETLINK, kind) } < 0 {
            return Err(std::io::Error::last_os_error().into());
        }
    }
    let up = Command::new("ip").args(["link", "set", name, "up"]).status()?;
    if up.success() { Ok(tun) } else { Err(format!("ip link set {name} up: {up}").into()) }
}

/// A frame behind radiotap with a signal of -50 dBm.
fn frame(control: [u8; 2], addresses: [[u8; 6]; 3], number: u16, body: &[u8]) -> Vec<u8> {
    let [to, from, network] = addresses;
    let radiotap = [0, 0, 9, 0, 0x20, 0, 0, 0, 206];
    let sequence = (number << 4).to_le_bytes();
    [&radiotap[..], &control, &[0, 0], &to, &from, &network, &sequence, body].concat()
}

/// What is on the air: the board joins, and the access point throws it out.
fn story() -> Vec<Vec<u8>> {
    let beacon = |n: u16| {
        let mut body = (u64::from(n) * 102_400).to_le_bytes().to_vec();
        body.extend(b"\x64\x00\x11\x04\x00\x04home\x03\x01\x06\x05\x04\x00\x01\x00\x00");
        frame([0x80, 0], [[0xff; 6], AP, AP], n, &body)
    };
    let mut frames = vec![
        beacon(1),
        frame([0xb0, 0], [AP, BOARD, AP], 1, &[0, 0, 1, 0, 0, 0]),
        frame([0xb0, 0], [BOARD, AP, AP], 2, &[0, 0, 2, 0, 0, 0]),
        frame([0x00, 0], [AP, BOARD, AP], 2, b"\x11\x04\x03\x00\x00\x04home"),
        frame([0x10, 0], [BOARD, AP, AP], 3, &[0x11, 0x04, 0, 0, 1, 0xc0]),
    ];
    frames.extend((4..40).map(beacon));
    frames.push(frame([0xc0, 0], [BOARD, AP, AP], 40, &[15, 0]));
    frames
}

fn head_on_sim(air: &str) -> Result<std::process::Child, Box<dyn Error>> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_espstress"));
    command.args(["head", "sim", "-d", "1500ms", "--rate", "20/s", "--watch", "0s", "--no-gate", "--json"]);
    command.args(["--air", air, "--station", "24:6f:28:00:00:07"]);
    Ok(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?)
}

fn a_monitor_interface_is_heard_beside_a_run(_: &PrivateNetwork) -> Outcome {
    let mut air = match tap("air0", Some(RADIOTAP)) {
        Ok(air) => air,
        Err(error) => {
            println!("SKIPPED: a TAP device can't be made a monitor interface: {error}");
            return Ok(());
        }
    };
    let mut run = head_on_sim("air0")?;
    // The story again and again, until the run has ended: some of it is within.
    let frames = story();
    while run.try_wait()?.is_none() {
        for frame in &frames {
            air.write_all(frame)?;
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    let output = run.wait_with_output()?;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let station = &report["air"]["station"];
    assert_eq!((&station["espressif"], &station["chosen"]), (&true.into(), &"named".into()), "{report:#}");
    let departure = &station["departures"][0];
    assert_eq!(
        (&departure["by"], &departure["reason_name"]),
        (&"access_point".into(), &"4WAY_HANDSHAKE_TIMEOUT".into())
    );
    assert_eq!(station["received"]["signal"]["p50_dbm"], -50);
    assert_eq!(report["air"]["networks"][0]["ssid"], "home");
    let ids: Vec<_> = report["findings"].as_array().into_iter().flatten().map(|f| f["id"].clone()).collect();
    assert!(ids.contains(&"wifi_deauthenticated".into()), "{ids:?}");
    // The same clock: what was heard is within the run, and on its timeline.
    let at = departure["first_s"].as_f64().unwrap_or(-1.0);
    assert!((0.0..=report["duration_s"].as_f64().unwrap_or(0.0)).contains(&at), "{at}");
    let rows = report["timeline"]["rows"].as_array().cloned().unwrap_or_default();
    assert!(rows.iter().any(|row| row["source"] == "air" && row["kind"] == "association"), "{rows:?}");
    Ok(())
}

fn an_interface_that_is_no_monitor_is_refused_and_the_run_goes_on(_: &PrivateNetwork) -> Outcome {
    let output = head_on_sim("lo")?.wait_with_output()?;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(report["air"], serde_json::Value::Null);
    let remarks = report["remarks"].to_string();
    assert!(remarks.contains("the air was not heard: lo is not in monitor mode"), "{remarks}");
    assert!(remarks.contains("iw dev lo set type monitor"), "{remarks}");
    assert_eq!(output.status.code(), Some(0));
    Ok(())
}
