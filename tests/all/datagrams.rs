//! `rw --protocol udp` against echo services: well-kept ones, ones with one fault each, and ones that others wrote.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use espstress_diagnose::Severity;
use espstress_event::{Datagrams, Failure};

use crate::common::said::{Said, said};
use crate::common::skipped;

/// A service on a free UDP port: `answer` gets how manyth a datagram is, from 1, and it, and says what goes back.
fn service(mut answer: impl FnMut(u64, &[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        for nth in 1.. {
            let Ok((n, peer)) = socket.recv_from(&mut buffer) else { return };
            for datagram in answer(nth, &buffer[..n]) {
                let _ = socket.send_to(&datagram, peer);
            }
        }
    });
    address
}

#[track_caller]
fn rw(address: SocketAddr, more: &str) -> Said {
    said(&format!("rw --protocol udp --no-capture {more}"), &[&address.to_string()])
}

fn udp(said: &Said) -> &Datagrams {
    said.report.workloads[0].by_protocol.as_ref().unwrap().udp.as_ref().unwrap()
}

fn failures(said: &Said, failure: Failure) -> u64 {
    said.report.workloads[0].failures.get(failure)
}

#[test]
fn an_echo_service_passes_with_every_size() {
    let echo = service(|_, datagram| vec![datagram.to_vec()]);
    let run = rw(echo, "--sweep -n 90 --threshold rw.udp.loss==0 --threshold rw.udp.largest==8192");
    run.passes();
    let udp = udp(&run);
    assert_eq!((udp.sent, udp.echoed, udp.lost, udp.duplicates, udp.reordered), (90, 90, 0, 0, 0));
    assert!(udp.sizes.len() == 9 && udp.sizes.iter().all(|row| row.echoed == 10), "{:?}", udp.sizes);
}

#[test]
fn an_open_loop_does_not_wait_for_echoes() {
    let echo = service(|nth, datagram| if nth % 2 == 0 { vec![] } else { vec![datagram.to_vec()] });
    let run = rw(echo, "--rate 100/s -d 1s --timeout-read 2s");
    let udp = udp(&run);
    assert!((80..=101).contains(&udp.sent) && udp.lost.abs_diff(udp.sent / 2) <= 1, "{udp:?}");
}

#[test]
fn duplicates_and_reordered_echoes_are_counted_and_are_no_failures() {
    let mut held = Vec::new();
    let echo = service(move |nth, datagram| {
        if nth % 2 == 1 {
            held = datagram.to_vec();
            return vec![];
        }
        vec![datagram.to_vec(), held.clone(), held.clone()]
    });
    let run = rw(echo, "-n 100 --window 8");
    run.passes();
    let udp = udp(&run);
    assert_eq!((udp.echoed, udp.reordered), (100, 50));
    // The last one may come after the end.
    assert!((49..=50).contains(&udp.duplicates), "{udp:?}");
}

#[test]
fn what_comes_after_the_time_out_is_late_and_no_end_of_the_service() {
    let echo = service(|_, datagram| {
        std::thread::sleep(Duration::from_millis(20));
        vec![datagram.to_vec()]
    });
    let run = rw(echo, "-n 20 --window 20 --timeout-read 100ms");
    run.never_says(&["stopped", "No datagram"]);
    let udp = udp(&run);
    assert!(udp.lost > 0 && udp.late > 0, "{udp:?}");
}

#[test]
fn a_size_from_which_on_nothing_comes_back_is_named() {
    let echo = service(|_, datagram| if datagram.len() > 1_472 { vec![] } else { vec![datagram.to_vec()] });
    let run = rw(echo, "--sweep -n 45 --timeout-read 100ms");
    run.blames(&["datagram_size"]).says(&["Datagrams of up to 1472 bytes come back", "1473 bytes or more"]);
    assert_eq!(failures(&run, Failure::DatagramLost), 20);
}

#[test]
fn losses_here_and_there_are_a_rate_with_a_bound_and_no_error() {
    let echo = service(|nth, datagram| if nth % 5 == 0 { vec![] } else { vec![datagram.to_vec()] });
    let run = rw(echo, "-n 200 --window 20 --timeout-read 500ms");
    run.says(&["with 99.9 % confidence", "did not come back in time"]).never_says(&["stopped"]);
    assert_eq!(udp(&run).lost, 40);
    assert_eq!(run.blamed(), [(Severity::Warning, "datagrams_lost")]);
}

#[test]
fn a_time_in_which_nothing_comes_back_is_told_and_no_plain_pass() {
    let mut begun = None;
    let echo = service(move |_, datagram| {
        let since = begun.get_or_insert_with(std::time::Instant::now).elapsed().as_millis();
        if (1_000..2_500).contains(&since) { vec![] } else { vec![datagram.to_vec()] }
    });
    let run = rw(echo, "-d 4s --window 4 --timeout-read 200ms -c 1");
    run.fails_with(&["datagrams_lost"]).says(&["Nothing came back for", "lost in a row"]);
    run.never_says(&["the link alone"]);
    let longest = udp(&run).longest_run.unwrap();
    assert!(longest.lost >= 16, "{longest:?}");
    assert!(longest.to_us.is_some_and(|to| to - longest.since_us >= 1_200_000), "{longest:?}");
}

#[test]
fn in_an_open_loop_echoes_of_later_datagrams_end_a_run_of_losses() {
    let echo = service(|nth, datagram| if nth % 3 == 0 { vec![] } else { vec![datagram.to_vec()] });
    let run = rw(echo, "--rate 100/s -d 2s --timeout-read 1s -c 1");
    let longest = udp(&run).longest_run.unwrap();
    assert_eq!((longest.lost, longest.length_us()), (1, 0), "{:?}", udp(&run));
}

#[test]
fn no_link_is_blamed_on_loopback() {
    let echo = service(|nth, datagram| if nth % 20 == 0 { vec![] } else { vec![datagram.to_vec()] });
    let run = rw(echo, "-n 200 --window 8 --timeout-read 200ms");
    run.says(&["no link loses any at an address of this machine's own"]).never_says(&["the link alone"]);
    assert_eq!(run.blamed(), [(Severity::Warning, "datagrams_lost")]);
}

#[test]
fn an_echo_that_ends_is_said_to_end() {
    let echo = service(|nth, datagram| if nth > 50 { vec![] } else { vec![datagram.to_vec()] });
    let run = rw(echo, "-n 66 --timeout-read 150ms");
    run.fails_with(&["no_echo"]).says(&["The echo stopped after"]);
}

#[test]
fn a_burst_that_is_lost_at_the_end_is_no_end_of_the_service() {
    let echo = service(|nth, datagram| if nth > 180 { vec![] } else { vec![datagram.to_vec()] });
    let run = rw(echo, "-n 200 --window 100 --timeout-read 500ms");
    run.never_says(&["stopped"]);
}

#[test]
fn a_port_that_nobody_listens_on_is_named() {
    // It takes nothing but its peer's datagrams.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect("127.0.0.1:9").unwrap();
    let free = socket.local_addr().unwrap();
    let run = rw(free, "-n 5");
    run.fails_with(&["no_echo"]).says(&["Nothing listens on this UDP port", "port_unreachable 5"]);
    assert_eq!(failures(&run, Failure::PortUnreachable), 5);
    let gated = rw(free, "-n 5 --threshold rw.udp.loss<1%");
    assert!(!gated.passed(), "no datagram was lost or not, and nothing was served: {}", gated.page);
    gated.says(&["not judged"]);
}

#[test]
fn what_is_no_echo_is_told_from_silence() {
    let talks = service(|_, _| vec![b"220 hello".to_vec(), vec![]]);
    rw(talks, "-n 4 --timeout-read 150ms").fails_with(&["no_echo"]).says(&["something else than an echo"]);
    let mute = service(|_, _| vec![]);
    rw(mute, "-n 4 --timeout-read 150ms")
        .fails_with(&["no_echo"])
        .says(&["None of 4 datagrams came back before"]);
    let mut wrong = 0;
    let flips = service(move |_, datagram| {
        let mut echo = datagram.to_vec();
        wrong += 1;
        echo[8 + wrong % 100] ^= 1;
        vec![echo]
    });
    let run = rw(flips, "-n 10");
    assert_eq!((failures(&run, Failure::CorruptPayload), udp(&run).corrupt), (10, 10));
    run.says(&["something else than it received"]);
}

#[test]
fn echoes_of_the_wrong_length_are_no_echoes() {
    for (what, change) in [
        ("cut", (|d| d[..d.len() - 1].to_vec()) as fn(&[u8]) -> Vec<u8>),
        ("longer", |d| [d, b"more"].concat()),
        ("as long as can be", |d| [d, &vec![0; 65_507 - d.len()][..]].concat()),
        ("the number alone", |d| d[..8].to_vec()),
    ] {
        let run = rw(service(move |_, datagram| vec![change(datagram)]), "-n 4 --timeout-read 150ms");
        assert_eq!(
            (run.failed(), failures(&run, Failure::CorruptPayload)),
            (true, 4),
            "{what}: {}",
            run.page
        );
    }
    let bytes = service(|_, datagram| datagram.chunks(1).map(<[u8]>::to_vec).collect());
    let run = rw(bytes, "-n 4 --timeout-read 150ms");
    assert_eq!((run.failed(), udp(&run).echoed), (true, 0), "{}", run.page);
}

#[test]
fn a_service_that_floods_does_no_harm() {
    let flood = service(|_, datagram| {
        let junk = std::iter::repeat_n(vec![7; 1_000], 100);
        std::iter::once(datagram.to_vec()).chain(junk).collect()
    });
    let run = rw(flood, "-n 40 --timeout-read 2s");
    assert!(udp(&run).strangers > 1_000 && udp(&run).echoed > 30, "{:?}", udp(&run));
    assert_eq!(failures(&run, Failure::DatagramLost), 0, "what this machine dropped is its own");
}

#[test]
fn sizes_that_no_datagram_has_are_refused() {
    for (more, expected) in [
        ("--protocol udp --size 7B", "8B to 65507B"),
        ("--protocol udp --size 65508B", "8B"),
        ("--sweep", "udp"),
    ] {
        let output = crate::common::espstress_with(&format!("rw 127.0.0.1:9 {more}"));
        let (text, status) = crate::common::failure(&output);
        assert!(status == 2 && text.contains(expected), "{more}: {text}");
    }
}

/// A service in a program of its own.
struct Theirs {
    child: Child,
    address: SocketAddr,
}

impl Drop for Theirs {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts it, and takes its first line for the port that it has got; `None`, and said, where it can't be had.
fn theirs(program: &str, arguments: &[&str]) -> Option<Theirs> {
    let Ok(mut child) = Command::new(program).args(arguments).stdout(Stdio::piped()).spawn() else {
        skipped("strangers", &format!("no {program}"));
        return None;
    };
    let mut port = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let port = port.trim().parse().unwrap_or_else(|_| panic!("{program} names no port: {port:?}"));
    Some(Theirs { child, address: SocketAddr::from(([127, 0, 0, 1], port)) })
}

#[test]
fn echo_services_that_others_wrote_pass() {
    let python = "import asyncio\n\
                  class Echo(asyncio.DatagramProtocol):\n\
                  \x20   def connection_made(self, transport): self.transport = transport\n\
                  \x20   def datagram_received(self, data, peer): self.transport.sendto(data, peer)\n\
                  async def main():\n\
                  \x20   loop = asyncio.get_running_loop()\n\
                  \x20   transport, _ = await loop.create_datagram_endpoint(Echo, ('127.0.0.1', 0))\n\
                  \x20   print(transport.get_extra_info('sockname')[1], flush=True)\n\
                  \x20   await asyncio.sleep(1000)\n\
                  asyncio.run(main())\n";
    let node = "const s = require('dgram').createSocket('udp4');\n\
                s.on('message', (m, p) => s.send(m, p.port, p.address));\n\
                s.bind(0, '127.0.0.1', () => console.log(s.address().port))";
    for (program, arguments) in [("python3", ["-c", python]), ("node", ["-e", node])] {
        let Some(server) = theirs(program, &arguments) else { continue };
        let run = rw(server.address, "--sweep -n 90");
        run.passes();
        assert_eq!(udp(&run).echoed, 90, "{program}");
    }
}
