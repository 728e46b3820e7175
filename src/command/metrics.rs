//! `--metrics-listen`: what a run has come to, for Prometheus to fetch while it goes on. One document over the little of
//! HTTP/1.1 (RFC 9112) that it takes; a client gets no more of this program than that and a few seconds.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use espstress_event::{Event, EventSink};
use espstress_report::Live;

/// Bytes of a request's head at most.
const HEAD: usize = 8 * 1_024;

/// How long a client may take for its request, and for our response.
const PATIENCE: Duration = Duration::from_secs(5);

/// Clients that are served at once; more wait.
const AT_ONCE: usize = 8;

/// A run's figures, shared between those who show them.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared(Arc<Mutex<Live>>);

impl Shared {
    pub(super) fn new(live: Live) -> Self {
        Self(Arc::new(Mutex::new(live)))
    }

    /// Looks at them.
    pub(super) fn with<T>(&self, look: impl FnOnce(&Live) -> T) -> T {
        look(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl EventSink for Shared {
    fn event(&mut self, event: &Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).event(event);
    }
}

/// Where to listen: a port of the loopback interface, or an address with a port.
pub(super) fn listen(text: &str) -> Result<TcpListener, String> {
    let address = match text.parse::<u16>() {
        Ok(port) => SocketAddr::from((IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        Err(_) => text
            .parse()
            .map_err(|_| format!("--metrics-listen {text}: give a port, or IP:PORT such as 0.0.0.0:9464"))?,
    };
    let failed = |error: io::Error| format!("--metrics-listen {text}: {error}");
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// Serves until the process ends.
pub(super) fn serve(listener: TcpListener, figures: Shared) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = move || {
        runtime.block_on(async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            let places = Arc::new(Semaphore::new(AT_ONCE));
            loop {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let figures = figures.clone();
                        tokio::spawn(async move {
                            answer(stream, &figures).await;
                            drop(place);
                        });
                    }
                    // Out of descriptors, or a client that has gone: neither gets better at once.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        });
    };
    std::thread::Builder::new().name("metrics".into()).spawn(run).map(drop)
}

/// One request and its response.
async fn answer(mut stream: TcpStream, figures: &Shared) {
    let mut head = Vec::new();
    let read = async {
        let mut part = [0; 1_024];
        while !has_ended(&head) && head.len() < HEAD {
            match stream.read(&mut part).await {
                Ok(n) if n > 0 => head.extend_from_slice(&part[..n]),
                _ => break,
            }
        }
    };
    if tokio::time::timeout(PATIENCE, read).await.is_err() || head.is_empty() {
        return;
    }
    let response = response(&head, || figures.with(Live::open_metrics));
    let write = async {
        stream.write_all(response.as_bytes()).await?;
        stream.shutdown().await?;
        // What is left unread would turn the close into a reset, which may take the response with it.
        let mut rest = [0; 1_024];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(PATIENCE, write).await;
}

fn has_ended(head: &[u8]) -> bool {
    head.windows(4).any(|four| four == b"\r\n\r\n") || head.windows(2).any(|two| two == b"\n\n")
}

/// The response to a request's head.
fn response(head: &[u8], document: impl FnOnce() -> String) -> String {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.trim_end().split(' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let whole = has_ended(head) && words.next().is_none();
    let (status, body) = match (method, target, version) {
        _ if !whole => ("400 Bad Request", "the request is not complete, or too long\n".to_owned()),
        (Some("GET" | "HEAD"), Some(path), Some("HTTP/1.1" | "HTTP/1.0")) => match path.split('?').next() {
            Some("/metrics" | "/") => ("200 OK", document()),
            _ => ("404 Not Found", "the metrics are at /metrics\n".to_owned()),
        },
        (Some(_), Some(_), Some("HTTP/1.1" | "HTTP/1.0")) => {
            ("405 Method Not Allowed", "only GET and HEAD\n".to_owned())
        }
        _ => ("400 Bad Request", "not a request of HTTP/1.1\n".to_owned()),
    };
    let kind = match status {
        "200 OK" => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    };
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    let length = body.len();
    let shown = if method == Some("HEAD") { "" } else { body.as_str() };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{allow}Connection: close\r\n\r\n{shown}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(head: &str) -> String {
        let response = response(head.as_bytes(), || "x\n".to_owned());
        assert!(response.contains("\r\n\r\n"));
        response.split(' ').nth(1).unwrap().to_owned()
    }

    #[test]
    fn only_a_whole_get_of_the_metrics_gets_them() {
        for (head, wanted) in [
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "200"),
            ("GET / HTTP/1.0\r\n\r\n", "200"),
            ("HEAD /metrics?a=b HTTP/1.1\n\n", "200"),
            ("GET /etc/passwd HTTP/1.1\r\n\r\n", "404"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
            ("GET /metrics HTTP/2.0\r\n\r\n", "400"),
            ("GET /metrics HTTP/1.1\r\n", "400"),
            ("GET  /metrics HTTP/1.1\r\n\r\n", "400"),
            ("\r\n\r\n", "400"),
        ] {
            assert_eq!(status(head), wanted, "{head:?}");
        }
        assert!(
            response(b"HEAD / HTTP/1.1\r\n\r\n", || "abc".into())
                .ends_with("Content-Length: 3\r\nConnection: close\r\n\r\n")
        );
    }

    #[test]
    fn a_port_alone_means_the_loopback_interface() {
        assert!(listen("0").unwrap().local_addr().unwrap().ip().is_loopback());
        assert!(listen("127.0.0.1:0").is_ok());
        for wrong in ["", "localhost:1", "70000", "1.2.3.4"] {
            assert!(listen(wrong).unwrap_err().starts_with("--metrics-listen"), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_have_a_response(head: Vec<u8>) {
            let response = response(&head, String::new);
            proptest::prop_assert!(response.starts_with("HTTP/1.1 "));
        }
    }
}
