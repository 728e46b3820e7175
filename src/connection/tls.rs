//! TLS over a socket that does not block: rustls has the protocol, this has its bytes moved and its failures named.

mod faults;
mod trust;

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::socket::Stream;
use espstress_event::{TlsFault, TlsFaultSeen};
use faults::{alert_name, instead_of_tls, seen};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, ClientConnection, HandshakeKind};
use trust::{AnyCertificate, NoCertificate, OrPinned, certificates, roots};

/// How to speak TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// Whether any certificate will do.
    pub insecure: bool,
    /// A file of certificates (PEM) to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Whether to resume sessions.
    pub resumption: bool,
}

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("{}: {error}", file.display())]
    Ca {
        /// Which.
        file: PathBuf,
        /// Why.
        error: String,
    },
    /// The name cannot be in a certificate.
    #[error("`{0}` is no name that a certificate can have")]
    Name(String),
    /// The library.
    #[error("TLS: {0}")]
    Library(String),
}

/// Sessions that are kept for resumption: one device, a few lanes.
const SESSIONS: usize = 256;

/// Speaks TLS to one device.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    asked: Arc<NoCertificate>,
}

impl Tls {
    /// For a device whose certificate has to be for `name`.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn new(options: &TlsOptions, name: &str) -> Result<Self, TlsError> {
        // A zone is this machine's own matter (RFC 6874).
        let name = name.split('%').next().unwrap_or(name);
        let server = ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name(name.to_owned()))?;
        let library = |error: &dyn std::fmt::Display| TlsError::Library(error.to_string());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| library(&error))?;
        let asked = Arc::new(NoCertificate::default());
        let mut config = if options.insecure {
            let schemes = provider.signature_verification_algorithms.supported_schemes();
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate { schemes }))
        } else {
            let roots = Arc::new(roots(options.ca.as_deref())?);
            // Without any authority nothing is trusted, which each handshake then says.
            if roots.is_empty() {
                builder.with_root_certificates(roots)
            } else {
                let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), provider)
                    .build()
                    .map_err(|error| library(&error))?;
                let pinned = options.ca.as_deref().map(certificates).transpose()?.unwrap_or_default();
                let verifier = OrPinned { verifier, pinned };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
        }
        .with_client_cert_resolver(Arc::clone(&asked) as Arc<dyn ResolvesClientCert>);
        config.resumption = if options.resumption {
            Resumption::in_memory_sessions(SESSIONS)
        } else {
            Resumption::disabled()
        };
        Ok(Self { config: Arc::new(config), name: server, asked })
    }

    pub(super) fn start(&self) -> Result<Session, TlsFaultSeen> {
        let tls = ClientConnection::new(Arc::clone(&self.config), self.name.clone())
            .map_err(|error| seen(&error))?;
        Ok(Session {
            tls,
            marks: Vec::new(),
            plain: 0,
            cipher: 0,
            heard: Vec::new(),
            tcp_ended: false,
            abrupt: false,
            said_end: false,
            peer_ends: false,
            asked: Arc::clone(&self.asked),
        })
    }
}

/// What the peer's bytes came to.
#[derive(Debug)]
pub(super) enum Heard {
    /// So many bytes of plain text; 0 is the peer's end.
    Bytes(usize),
    /// Nothing more is there now.
    Nothing,
    /// The socket failed.
    Socket(io::Error),
    /// TLS failed.
    Fault(TlsFaultSeen),
}

/// TLS on one connection.
#[derive(Debug)]
pub(super) struct Session {
    tls: ClientConnection,
    /// After each record: bytes of cipher text, and of plain text, that had been written by then.
    marks: Vec<(u64, u64)>,
    plain: u64,
    /// Cipher text that the socket has taken.
    cipher: u64,
    /// The peer's first bytes, to tell what it speaks instead of TLS.
    heard: Vec<u8>,
    /// Whether the peer's FIN has come.
    tcp_ended: bool,
    /// Whether it came without TLS's own end.
    abrupt: bool,
    /// Whether the peer has ended TLS, or is about to: what is sent then meets a closed socket, which answers with a RST.
    peer_ends: bool,
    /// Whether this side has ended TLS.
    said_end: bool,
    /// Whether the device has asked for a certificate.
    asked: Arc<NoCertificate>,
}

/// Plain text of one record: so that what the device has acknowledged can be told in it.
const RECORD: usize = 4_096;

/// Reads from the socket at most before somebody else has a turn.
const RECORDS: u32 = 16;

impl Session {
    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking() || self.tls.wants_write()
    }

    /// Whether something waits to be sent.
    pub(super) fn wants_write(&self) -> bool {
        self.tls.wants_write()
    }

    pub(super) const fn tcp_ended(&self) -> bool {
        self.tcp_ended
    }

    /// Whether this side has said that it ends TLS.
    pub(super) const fn has_said_end(&self) -> bool {
        self.said_end
    }

    /// Whether TCP ended without TLS's own end.
    pub(super) const fn was_abrupt(&self) -> bool {
        self.abrupt
    }

    pub(super) fn was_resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Version and cipher suite.
    pub(super) fn in_words(&self) -> String {
        let version = match self.tls.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
            _ => "TLS",
        };
        let suite = self.tls.negotiated_cipher_suite();
        let suite = suite.and_then(|suite| suite.suite().as_str()).unwrap_or("unknown cipher suite");
        format!("{version}, {suite}")
    }

    /// Bytes of plain text whose records lie within so many bytes of cipher text.
    pub(super) fn plain_within(&self, unsent: u64) -> u64 {
        let acknowledged = self.cipher.saturating_sub(unsent);
        let place = self.marks.partition_point(|(cipher, _)| *cipher <= acknowledged);
        place.checked_sub(1).and_then(|i| self.marks.get(i)).map_or(0, |(_, plain)| *plain)
    }

    /// Hands what waits to the socket, as far as it takes it; whether that was all.
    pub(super) fn flush(&mut self, stream: &Stream) -> io::Result<bool> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Now(stream)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.cipher += n as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        if let Some(mark) = self.marks.last_mut().filter(|mark| mark.0 == u64::MAX) {
            mark.0 = self.cipher;
        }
        Ok(true)
    }

    /// Encrypts some of `bytes` once what was before is with the socket; `None` where that takes no more.
    pub(super) fn write(&mut self, stream: &Stream, bytes: &[u8]) -> io::Result<Option<usize>> {
        if !self.flush(stream)? {
            return Ok(None);
        }
        let piece = bytes.get(..bytes.len().min(RECORD)).unwrap_or_default();
        let n = self.tls.writer().write(piece)?;
        self.plain += n as u64;
        self.marks.push((u64::MAX, self.plain));
        self.flush(stream)?;
        Ok(Some(n))
    }

    /// The peer closes after its last response.
    pub(super) const fn peer_will_close(&mut self) {
        self.peer_ends = true;
    }

    /// Whether the peer has ended TLS or TCP by now; what else has come stays to be read.
    pub(super) fn peer_has_ended(&mut self, stream: &Stream) -> bool {
        for _ in 0..RECORDS {
            if self.peer_ends || self.tcp_ended || !matches!(self.hear(stream), Heard::Bytes(1..)) {
                break;
            }
        }
        self.peer_ends || self.tcp_ended
    }

    /// What the peer has said and nobody has read yet; nothing is taken.
    pub(super) fn unread(&mut self) -> &[u8] {
        self.tls.reader().into_first_chunk().unwrap_or_default()
    }

    /// Says TLS's own end to the peer, as far as the socket takes it; not to one that has closed or is about to.
    pub(super) fn close(&mut self, stream: &Stream) {
        if self.peer_has_ended(stream) {
            return;
        }
        self.tls.send_close_notify();
        self.said_end = true;
        // Whoever does not take it any more does not need it.
        let _ = self.flush(stream);
    }

    /// What has come.
    pub(super) fn read(&mut self, stream: &Stream, buffer: &mut [u8]) -> Heard {
        // A peer may send records without end that carry nothing: others have their turn in between.
        for _ in 0..RECORDS {
            match self.tls.reader().read(buffer) {
                Ok(n) => return Heard::Bytes(n),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.abrupt = true;
                    return Heard::Bytes(0);
                }
                Err(_) => {}
            }
            match self.hear(stream) {
                Heard::Bytes(_) => {}
                other => return other,
            }
        }
        Heard::Nothing
    }

    /// Reads and forgets what comes after TLS's end; whether TCP's has come.
    pub(super) fn tcp_end(&mut self, stream: &Stream) -> io::Result<bool> {
        let mut scratch = [0; 2_048];
        for _ in 0..RECORDS {
            match stream.try_read(&mut scratch) {
                Ok(0) => {
                    self.tcp_ended = true;
                    break;
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(self.tcp_ended)
    }

    /// Takes cipher text from the socket; [`Heard::Bytes`] when there was any, or the peer's FIN.
    pub(super) fn hear(&mut self, stream: &Stream) -> Heard {
        let noted = if self.tls.is_handshaking() { Some(&mut self.heard) } else { None };
        // rustls reads nothing any more once TLS has ended: only the socket knows of TCP's end.
        let mut reader = Noting { stream, noted, ended: false };
        let n = match self.tls.read_tls(&mut reader) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Heard::Nothing,
            Err(error) => return Heard::Socket(error),
        };
        self.tcp_ended |= reader.ended;
        match self.tls.process_new_packets() {
            Err(error) => {
                let seen = self.named(&error);
                // An alert that names the failure is the peer's due; not that of one which doesn't speak TLS, or has gone.
                if seen.fault != TlsFault::NotTls && !self.tcp_ended {
                    let _ = self.flush(stream);
                }
                Heard::Fault(seen)
            }
            Ok(state) => {
                self.peer_ends |= state.peer_has_closed();
                match self.flush(stream) {
                    Err(error) => Heard::Socket(error),
                    Ok(_) => Heard::Bytes(n),
                }
            }
        }
    }

    fn named(&self, error: &rustls::Error) -> TlsFaultSeen {
        if let Some(detail) = instead_of_tls(&self.heard) {
            return TlsFaultSeen { fault: TlsFault::NotTls, detail: detail.to_owned() };
        }
        let rustls::Error::AlertReceived(alert) = error else { return seen(error) };
        let for_want_of_one = matches!(
            alert,
            AlertDescription::CertificateRequired
                | AlertDescription::HandshakeFailure
                | AlertDescription::BadCertificate
                | AlertDescription::AccessDenied
        );
        let asked = for_want_of_one && self.asked.asked.load(Ordering::Relaxed);
        // Once version and cipher suite are agreed on, it is about something else.
        if self.tls.negotiated_cipher_suite().is_none() {
            return seen(error);
        }
        let why =
            if asked { ": the device asks for a client certificate, and espstress has none" } else { "" };
        TlsFaultSeen { fault: TlsFault::Alert, detail: format!("{}{why}", alert_name(*alert)) }
    }

    /// The peer's end came during the handshake.
    pub(super) fn closed_early(&self) -> TlsFaultSeen {
        match instead_of_tls(&self.heard) {
            Some(detail) => TlsFaultSeen { fault: TlsFault::NotTls, detail: detail.to_owned() },
            None => TlsFaultSeen { fault: TlsFault::Closed, detail: self.progress() },
        }
    }

    /// How far the handshake had come.
    pub(super) fn progress(&self) -> String {
        match self.heard.len() {
            0 => "before any byte of an answer".to_owned(),
            n => format!("after {n} bytes of an answer"),
        }
    }
}

/// The socket as `Read` and `Write` that never wait.
struct Now<'a>(&'a Stream);

impl Write for Now<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The first bytes that are kept.
const NOTED: usize = 64 * 1024;

struct Noting<'a> {
    stream: &'a Stream,
    noted: Option<&'a mut Vec<u8>>,
    ended: bool,
}

impl Read for Noting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.stream.try_read(buffer)?;
        self.ended |= n == 0 && !buffer.is_empty();
        if let Some(noted) = self.noted.as_mut().filter(|noted| noted.len() < NOTED) {
            noted.extend_from_slice(buffer.get(..n).unwrap_or_default());
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_an_error_with_its_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "nothing").unwrap();
        let options = TlsOptions { insecure: false, ca: Some(file.path().to_owned()), resumption: true };
        let said = Tls::new(&options, "esp.local").unwrap_err().to_string();
        assert!(
            said.contains("no certificate") && said.contains(&file.path().display().to_string()),
            "{said}"
        );
        let missing = TlsOptions { ca: Some("/no/such.pem".into()), ..options };
        assert!(Tls::new(&missing, "esp.local").unwrap_err().to_string().contains("/no/such.pem"));
    }
}
