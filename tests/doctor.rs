//! The doctor at devices that are not ours: web servers without a fault, an address where nothing is, and Ctrl-C.

mod common;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use common::{espstress, skipped, valid_report};
use espstress::diagnose::{FindingId, Mark};
use espstress::report::Report;

/// A server that is ended with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address of the host's own on which no other test listens: a port that is free now may be another's soon.
fn own_address() -> SocketAddr {
    static GIVEN: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, high | 128, low, GIVEN.fetch_add(1, Ordering::Relaxed));
    TcpListener::bind((address, 0)).unwrap().local_addr().unwrap()
}

/// Starts a server and waits until it takes connections; `None`, and said, where there is no such program.
fn serve(program: &str, address: SocketAddr, configure: impl FnOnce(&mut Command)) -> Option<Server> {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    configure(&mut command);
    let server = match command.spawn() {
        Ok(child) => Server(child),
        Err(error) => {
            skipped("peers", &format!("no {program}: {error}"));
            return None;
        }
    };
    let give_up = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < give_up, "{program} does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(server)
}

fn nginx(folder: &Path, address: SocketAddr) -> Option<Server> {
    let text = format!(
        "daemon off; master_process off; worker_processes 1; pid pid; error_log stderr;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log off; client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c;\n\
         uwsgi_temp_path d; scgi_temp_path e; server {{ listen {address}; return 200 'hello'; }} }}\n"
    );
    std::fs::write(folder.join("nginx.conf"), text).unwrap();
    serve("nginx", address, |command| {
        command.arg("-p").arg(folder).args(["-c", "nginx.conf", "-e", "stderr"]);
    })
}

fn http_server(folder: &Path, address: SocketAddr) -> Option<Server> {
    serve("python3", address, |command| {
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        command.current_dir(folder).args(["-m", "http.server", &port, "--bind", &ip]);
    })
}

fn examined(target: &str, length: &str) -> (Report, Option<i32>) {
    let output = espstress().args(["doctor", target, "--json", "-q", "--duration", length]).output().unwrap();
    println!("{}", String::from_utf8_lossy(&output.stderr));
    (valid_report(&output.stdout), output.status.code())
}

/// No finding of the device; that this machine was busy, or did not let the packets be seen, may be said.
#[track_caller]
fn healthy(report: &Report) {
    let found: Vec<FindingId> = report.findings.iter().map(|finding| finding.id).collect();
    let of_this_machine = [FindingId::CaptureIncomplete, FindingId::HostLimited];
    let none = found.iter().all(|id| of_this_machine.contains(id));
    assert!(none, "{:?}\n{:?}", report.findings, report.anomalies);
    let examination = report.examination.as_ref().unwrap();
    let bad: Vec<_> = examination.checks.iter().filter(|check| check.mark == Mark::Bad).collect();
    assert!(bad.is_empty(), "{bad:?}");
}

#[test]
fn nginx_has_no_finding() {
    let (folder, address) = (tempfile::tempdir().unwrap(), own_address());
    let Some(_server) = nginx(folder.path(), address) else { return };
    let (report, status) = examined(&address.to_string(), "20s");
    healthy(&report);
    assert_eq!(status, Some(0));
    assert!(report.workload("requests").unwrap().succeeded >= 32);
}

#[test]
fn pythons_http_server_has_no_finding() {
    let (folder, address) = (tempfile::tempdir().unwrap(), own_address());
    let Some(_server) = http_server(folder.path(), address) else { return };
    let (report, status) = examined(&address.to_string(), "20s");
    healthy(&report);
    assert_eq!(status, Some(0));
}

#[test]
fn an_address_where_nothing_listens_is_a_finding_and_not_an_empty_page() {
    let (report, status) = examined(&own_address().to_string(), "20s");
    let found: Vec<FindingId> = report.findings.iter().map(|finding| finding.id).collect();
    assert!(found.contains(&FindingId::DeviceUnreachable), "{found:?}");
    assert_eq!(status, Some(1));
    assert_eq!(report.scenario["name"], "doctor");
}

#[test]
fn a_length_that_is_too_short_is_refused_with_the_shortest() {
    let output = espstress().args(["doctor", "sim", "--duration", "5s"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--duration") && said.contains("20s"), "{said}");
}

#[cfg(unix)]
#[test]
fn an_interrupt_still_writes_the_page() {
    use std::io::{BufRead, BufReader, Read};
    let mut child =
        espstress().args(["doctor", "sim"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut progress = BufReader::new(child.stderr.take().unwrap()).lines();
    // The first phase is over: there is something to tell.
    assert!(progress.any(|line| line.unwrap().starts_with("requests: ")));
    let rest = std::thread::spawn(move || progress.for_each(drop));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let mut page = String::new();
    child.stdout.take().unwrap().read_to_string(&mut page).unwrap();
    rest.join().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(page.contains("What was looked at") && page.contains("What was done to the device"), "{page}");
    assert!(page.contains("Interrupted"), "{page}");
}
