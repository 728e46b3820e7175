//! What `head` and `rw` have in common where they speak HTTP: the options of a request, its bytes, and what its answer
//! means.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use clap::{Args, ValueEnum};
use espstress_device::telemetry::{MAX_LEN, REQUEST};
use serde::{Deserialize, Serialize};
use tokio::net::UdpSocket;

use super::context::Context;
use super::registry::ParamError;
use super::slow::SilentOne;
use espstress_clock::nanos;
use espstress_connection::http::{Expects, Response, is_redirect, timeout_said};
use espstress_connection::{Connection, ExpectedStatus, RequestBody, Tls, TlsOptions, Waits};
use espstress_event::{Asks, Endpoints, Failure, Intent, SlowSpan, StallEnd, Telemetry};
use espstress_stats::Recorder;

/// How long a device may take to say 100 Continue: as long as curl waits.
pub(super) const CONTINUE: Duration = Duration::from_secs(1);

/// The variable with the password, for those who want it neither in a file nor on a command line.
const PASSWORD_VARIABLE: &str = "ESPSTRESS_PASSWORD";

/// Fields of a request that would be there twice, and what sets them.
const OWN_HEADERS: [(&str, &str); 4] = [
    ("Host", "name the host in the target"),
    ("Content-Length", "--body says how long the body is"),
    ("Transfer-Encoding", "--body is sent with its length"),
    ("Expect", "use --expect-continue"),
];

/// A switch as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Resumption {
    /// Resume sessions, as browsers do
    On,
    /// Make a full handshake each time
    Off,
}

/// The options of an HTTP request.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// Path to request (HTTP)
    #[arg(long, value_name = "PATH", default_value = "/")]
    pub(super) path: String,

    /// Header to add, as `Name: value`; can be repeated (HTTP)
    #[arg(long, value_name = "HEADER")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) header: Vec<String>,

    /// Body of each request: a size, or a file (@FILE). Needs --method POST, PUT or another with a body (HTTP)
    #[arg(long, value_name = "SIZE|@FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<RequestBody>,

    /// Send `Expect: 100-continue`, and the body after the device's 100 Continue, or after 1s without it (HTTP)
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) expect_continue: bool,

    /// Expected status codes, for example 200,204 or 2xx; any other fails (bad_status). By default 5xx
    /// fails, and 101 without a header Upgrade; redirects are reported and not followed (HTTP)
    #[arg(long, value_name = "CODES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expect_status: Option<ExpectedStatus>,

    /// User name to log in with (HTTP Basic)
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,

    /// Password to log in with; never in reports. Other users of this machine can see it in the process list: prefer
    /// --password-file, or the variable ESPSTRESS_PASSWORD (HTTP Basic)
    #[arg(long, value_name = "PASSWORD", conflicts_with = "password_file")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) password: Option<String>,

    /// File whose first line is the password (HTTP Basic)
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) password_file: Option<PathBuf>,

    /// Speak TLS; an https:// target implies it (HTTP)
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) tls: bool,

    /// Accept any certificate (TLS)
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) insecure: bool,

    /// Trust the certificates in FILE (PEM) instead of the system's: an authority's, or the device's own (TLS)
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ca: Option<PathBuf>,

    /// Whether to resume TLS sessions [default: on] (TLS)
    #[arg(long, value_enum, value_name = "on|off", hide_possible_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tls_resumption: Option<Resumption>,
}

/// A login by Basic.
#[derive(Debug)]
struct Login {
    password: String,
    /// As the header has it.
    encoded: String,
}

/// A request that can be sent.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    method: String,
    path: String,
    /// Header lines, the login's included.
    headers: String,
    /// Whether they have a login.
    pub(super) has_login: bool,
    /// What each request carries; `None` without a body.
    pub(super) body: Option<Vec<u8>>,
    pub(super) expect_continue: bool,
    expected: Option<ExpectedStatus>,
    /// What no report may have, wherever the device puts it.
    secrets: Vec<String>,
}

/// As [`Asked`], for one device.
#[derive(Clone, Debug)]
pub(super) struct Addressed {
    asked: Asked,
    /// What the Host field says.
    host: String,
    is_tls: bool,
    /// Head of the request.
    pub(super) head: Vec<u8>,
}

fn bad<T>(key: &str, what: impl Into<String>) -> Result<T, ParamError> {
    Err(ParamError::Value { key: key.into(), what: what.into() })
}

impl Request {
    /// Checks the options and reads the files that they name. `is_http` says whether they have any use.
    pub(super) fn ask(&self, method: &str, is_http: bool) -> Result<Asked, ParamError> {
        // RFC 9110, 5.6.2.
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if method.is_empty() || !method.bytes().all(is_token) {
            return bad("method", "give a method of HTTP, such as HEAD, GET or POST");
        }
        if method.eq_ignore_ascii_case("CONNECT") {
            return bad("method", "CONNECT is for proxies");
        }
        if !self.path.starts_with('/') || self.path.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return bad("path", "a path starts with / and holds no blank");
        }
        // A value may hold tabs (RFC 9110, 5.5).
        let is_value = |b: u8| b == b'\t' || (b >= b' ' && b != 0x7f);
        let is_header = |header: &String| {
            header.split_once(':').is_some_and(|(name, value)| {
                !name.is_empty() && name.bytes().all(is_token) && value.bytes().all(is_value)
            })
        };
        if !self.header.iter().all(is_header) {
            return bad("header", "a header is `Name: value` on one line, its name a word without blanks");
        }
        let is_own = |header: &String| {
            let name = header.split(':').next().unwrap_or_default();
            OWN_HEADERS.iter().find(|(own, _)| name.eq_ignore_ascii_case(own))
        };
        if let Some((own, instead)) = self.header.iter().find_map(is_own) {
            return bad("header", format!("espstress sets {own} itself: {instead}"));
        }
        let has_none = ["HEAD", "GET", "TRACE"].iter().any(|none| method.eq_ignore_ascii_case(none));
        if self.body.is_some() && has_none {
            return bad("body", format!("{method} has no body; add --method POST"));
        }
        if self.expect_continue && self.body.is_none() {
            return bad("expect_continue", "there is no body to wait with: needs --body");
        }
        if !is_http {
            self.refuse()?;
        }
        let login = self.login()?;
        let mut headers: String = self.header.iter().map(|header| format!("{header}\r\n")).collect();
        let sets_it = |header: &String| {
            header.split_once(':').is_some_and(|(name, _)| name.trim().eq_ignore_ascii_case("authorization"))
        };
        if let Some(login) = &login {
            if self.header.iter().any(sets_it) {
                return bad("user", "--header sets Authorization as well: use one of them");
            }
            headers.push_str(&format!("Authorization: Basic {}\r\n", login.encoded));
        }
        let body = match self.body.as_ref().map(RequestBody::bytes).transpose() {
            Ok(body) => body,
            Err(error) => return bad("body", error.to_string()),
        };
        Ok(Asked {
            method: method.to_owned(),
            path: self.path.clone(),
            headers,
            has_login: login.is_some() || self.header.iter().any(sets_it),
            body,
            expect_continue: self.expect_continue,
            expected: self.expect_status.clone(),
            secrets: self.secrets(login.as_ref()),
        })
    }

    /// Whether an option is given that has a use in HTTP alone.
    pub(super) fn is_given(&self) -> bool {
        self.given().is_some()
    }

    /// Other protocols than HTTP have none of these.
    fn refuse(&self) -> Result<(), ParamError> {
        self.given().map_or(Ok(()), |key| bad(key, "only for HTTP: the protocol is another"))
    }

    fn given(&self) -> Option<&'static str> {
        let given = [
            ("body", self.body.is_some()),
            ("expect_continue", self.expect_continue),
            ("expect_status", self.expect_status.is_some()),
            ("header", !self.header.is_empty()),
            ("user", self.user.is_some()),
            ("password", self.password.is_some()),
            ("password_file", self.password_file.is_some()),
            ("tls", self.tls),
            ("insecure", self.insecure),
            ("ca", self.ca.is_some()),
            ("tls_resumption", self.tls_resumption.is_some()),
        ];
        given.iter().find(|(_, given)| *given).map(|(key, _)| *key)
    }

    /// The login's password, as it is and as the header has it, and the values of headers that open doors.
    fn secrets(&self, login: Option<&Login>) -> Vec<String> {
        let headers = self.header.iter().filter_map(|header| header.split_once(':'));
        let values = headers.filter(|(name, _)| is_secret(name)).flat_map(|(_, value)| {
            // `Bearer TOKEN`, `a=1; b=2`
            value.split([' ', ';', '=']).map(str::to_owned)
        });
        let login = login.into_iter().flat_map(|login| [login.password.clone(), login.encoded.clone()]);
        login.chain(values).filter(|secret| !secret.is_empty()).collect()
    }

    /// User name and password as RFC 7617 has them in the header; `None` without a user name.
    fn login(&self) -> Result<Option<Login>, ParamError> {
        let Some(user) = &self.user else {
            let key = if self.password.is_some() {
                Some("password")
            } else {
                self.password_file.as_ref().map(|_| "password_file")
            };
            return key.map_or(Ok(None), |key| bad(key, "needs --user"));
        };
        if user.contains(':') || user.bytes().any(|b| b < b' ') {
            return bad("user", "a user name has no colon (RFC 7617, 2)");
        }
        let password = match (&self.password, &self.password_file) {
            (Some(password), _) => password.clone(),
            (None, Some(file)) => match std::fs::read_to_string(file) {
                Ok(text) => text.lines().next().unwrap_or_default().to_owned(),
                Err(error) => return bad("password_file", format!("{}: {error}", file.display())),
            },
            (None, None) => match std::env::var(PASSWORD_VARIABLE) {
                Ok(password) => password,
                Err(_) => {
                    return bad("user", "no password: add --password-file FILE, or set ESPSTRESS_PASSWORD");
                }
            },
        };
        Ok(Some(Login { encoded: BASE64.encode(format!("{user}:{password}")), password }))
    }

    /// As reports may have them: nothing in it that opens a door.
    pub(super) fn for_reports(&self) -> Self {
        let header = self.header.iter().map(|header| match header.split_once(':') {
            Some((name, _)) if is_secret(name) => format!("{name}: (left out of reports)"),
            _ => header.clone(),
        });
        Self { password: None, header: header.collect(), ..self.clone() }
    }

    /// TLS, where it is to be spoken.
    pub(super) fn tls(&self, endpoints: &Endpoints) -> Result<Option<Tls>, String> {
        let name = match &endpoints.tls_name {
            Some(name) => name.clone(),
            None if self.tls => endpoints.http.ip().to_string(),
            None => return Ok(None),
        };
        let options = TlsOptions {
            insecure: self.insecure,
            ca: self.ca.clone(),
            resumption: self.tls_resumption != Some(Resumption::Off),
        };
        Tls::new(&options, &name).map(Some).map_err(|error| error.to_string())
    }

    /// Refuses options of TLS where none is spoken.
    pub(super) fn check_device(&self, endpoints: &Endpoints) -> Result<(), ParamError> {
        let given = [
            ("insecure", self.insecure),
            ("ca", self.ca.is_some()),
            ("tls_resumption", self.tls_resumption.is_some()),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((key, _)) if !self.tls && endpoints.tls_name.is_none() => {
                bad(key, "has no effect here: TLS is spoken to an https:// target, or with --tls")
            }
            _ => Ok(()),
        }
    }

    /// Whether the certificates that are to be trusted can be read.
    pub(super) fn check_tls(&self) -> Result<(), ParamError> {
        // The system's certificates take a while to read, and are read only where TLS is spoken.
        let Some(ca) = self.ca.clone() else { return Ok(()) };
        let options = TlsOptions { insecure: self.insecure, ca: Some(ca), resumption: true };
        match Tls::new(&options, "localhost") {
            Err(error) => bad("ca", error.to_string()),
            Ok(_) => Ok(()),
        }
    }
}

/// Headers whose values open doors.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["auth", "cookie", "token", "key", "secret", "password", "session"].iter().any(|part| name.contains(part))
}

impl Asked {
    /// Whether it asks for another protocol (RFC 9110, 7.8).
    fn upgrades(&self) -> bool {
        self.headers
            .lines()
            .any(|line| line.split_once(':').is_some_and(|(name, _)| name.eq_ignore_ascii_case("upgrade")))
    }

    /// Whether a header of the user's asks for the end of the connection behind the response: no further request may follow
    /// on it then (RFC 9112, 9.6).
    pub(super) fn asks_close(&self) -> bool {
        let fields = self.headers.lines().filter_map(|line| line.split_once(':'));
        fields
            .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
            .flat_map(|(_, value)| value.split(','))
            .any(|option| option.trim().eq_ignore_ascii_case("close"))
    }

    /// The path that it asks for, without secrets.
    pub(super) fn path_for_reports(&self) -> String {
        self.without_secrets(&self.path)
    }

    /// A path without the parts that hold a secret of this run's.
    fn without_secrets(&self, path: &str) -> String {
        let holds = |part: &str| {
            let plain = unescaped(part);
            self.secrets.iter().any(|secret| part.contains(secret) || plain.contains(secret))
        };
        let parts = path.split('/').map(|part| if holds(part) { "(secret)" } else { part });
        let shown = parts.collect::<Vec<_>>().join("/");
        // A secret may have slashes of its own.
        if holds(&shown) { "(secret)".to_owned() } else { shown }
    }

    /// The kind of its responses.
    pub(super) fn expects(&self) -> Expects {
        if self.method.eq_ignore_ascii_case("HEAD") { Expects::HeadOnly } else { Expects::Body }
    }

    /// For a device there; `last` says that the connection is to end with the answer.
    pub(super) fn address(
        &self,
        target: SocketAddr,
        endpoints: &Endpoints,
        is_tls: bool,
        last: bool,
    ) -> Addressed {
        let host = match &endpoints.tls_name {
            Some(name) => match (name.contains(':'), target.port()) {
                (false, 443) => name.clone(),
                (true, 443) => format!("[{name}]"),
                (false, port) => format!("{name}:{port}"),
                (true, port) => format!("[{name}]:{port}"),
            },
            None => target.to_string(),
        };
        let Self { method, path, headers, .. } = self;
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: espstress\r\n");
        if last && !self.asks_close() {
            head.push_str("Connection: close\r\n");
        }
        head.push_str(headers);
        if let Some(body) = &self.body {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        if self.expect_continue {
            head.push_str("Expect: 100-continue\r\n");
        }
        head.push_str("\r\n");
        Addressed { asked: self.clone(), host, is_tls, head: head.into_bytes() }
    }
}

impl Addressed {
    pub(super) fn expects(&self) -> Expects {
        self.asked.expects()
    }

    pub(super) fn body(&self) -> Option<&[u8]> {
        self.asked.body.as_deref()
    }

    pub(super) const fn expect_continue(&self) -> bool {
        self.asked.expect_continue
    }

    /// As [`Asked::asks_close`].
    pub(super) fn asks_close(&self) -> bool {
        self.asked.asks_close()
    }

    /// Counts a whole answer, and judges its status. Where nothing else was asked for, 5xx says that the server failed
    /// (RFC 9110, 15.6), and 101 changes to a protocol that nobody named (15.2.2). A redirect is an answer as good as any: whoever wants another says so.
    pub(super) fn judge(
        &self,
        response: &Response,
        status: u16,
        recorder: &mut Recorder,
    ) -> Result<(), Failure> {
        recorder.response(status);
        if is_redirect(status) {
            let (to, to_itself) = self.place(response.location().unwrap_or_default());
            recorder.http().redirected(status, &to, to_itself);
        }
        if status == 401 {
            recorder.http().login_asked(response.challenge(), self.asked.has_login);
        }
        let right = match &self.asked.expected {
            Some(expected) => expected.allows(status),
            None => status < 500 && (status != 101 || self.asked.upgrades()),
        };
        if right {
            return Ok(());
        }
        *recorder.http().wrong_statuses.entry(status).or_default() += 1;
        Err(Failure::BadStatus)
    }

    /// The same request for the page that a redirect leads to; `None` where that is at another server, or nowhere.
    pub(super) fn redirected(
        &self,
        location: &str,
        endpoints: &Endpoints,
        target: SocketAddr,
    ) -> Option<Self> {
        let whole = location.split('#').next().filter(|whole| !whole.is_empty())?;
        let path = match whole.split_once("://") {
            Some((scheme, rest)) => {
                let own = if self.is_tls { "https" } else { "http" };
                let at = rest.find(['/', '?']).unwrap_or(rest.len());
                let (authority, path) = rest.split_at_checked(at)?;
                let same = scheme.eq_ignore_ascii_case(own) && authority.eq_ignore_ascii_case(&self.host);
                same.then_some(if path.is_empty() { "/" } else { path })?
            }
            None => whole.strip_prefix('/').filter(|rest| !rest.starts_with('/')).map(|_| whole)?,
        };
        let clean = path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic());
        let mut asked = self.asked.clone();
        clean.then(|| path.clone_into(&mut asked.path))?;
        Some(asked.address(target, endpoints, self.is_tls, false))
    }

    /// Scheme, host and path of a Location, without what may be secret in it; whether it is the page that was asked for.
    fn place(&self, location: &str) -> (String, bool) {
        let shown = |text: &str| -> String {
            let text = text.split(['?', '#']).next().unwrap_or_default();
            let text = self.asked.without_secrets(text);
            text.chars().map(|c| if c.is_control() { '?' } else { c }).take(LONGEST_PLACE).collect()
        };
        let whole = location.split('#').next().unwrap_or_default();
        let (scheme, rest) = match whole.split_once("://") {
            Some((scheme, rest)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                (Some(scheme), Some(rest))
            }
            _ => (None, whole.strip_prefix("//")),
        };
        let Some(rest) = rest else {
            // A reference of a query alone is to the same page (RFC 3986, 5.2.2).
            let place = if whole.starts_with('?') { self.asked.path.as_str() } else { whole };
            return (shown(place), whole == self.asked.path);
        };
        let split = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(split).unwrap_or((rest, ""));
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let own = if self.is_tls { "https" } else { "http" };
        let default = if self.is_tls { ":443" } else { ":80" };
        let bare = |host: &str| host.strip_suffix(default).unwrap_or(host).to_ascii_lowercase();
        let to_itself = scheme.is_none_or(|scheme| scheme.eq_ignore_ascii_case(own))
            && bare(authority) == bare(&self.host)
            && (path == self.asked.path || (path.is_empty() && self.asked.path == "/"));
        let prefix =
            scheme.map_or_else(|| "//".to_owned(), |scheme| format!("{}://", scheme.to_ascii_lowercase()));
        (shown(&format!("{prefix}{authority}{path}")), to_itself)
    }
}

/// A part of a URL without its percent signs (RFC 3986, 2.1).
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        let hex = |b: &u8| char::from(*b).to_digit(16);
        let escaped = match more {
            [high, low, ..] if *first == b'%' => hex(high).zip(hex(low)),
            _ => None,
        };
        bytes.push(escaped.map_or(*first, |(high, low)| (high * 16 + low) as u8));
        rest = if escaped.is_some() { more.get(2..).unwrap_or_default() } else { more };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Of a redirect's place that is kept, characters.
const LONGEST_PLACE: usize = 200;

/// Whether clients that say nothing for so long may keep others waiting, or be given up.
pub(super) fn is_late(silence: Duration) -> bool {
    Asks { request_delay_ns: nanos(silence), ..Asks::default() }.late()
}

/// Says nothing on a new connection for so long, and returns what others met meanwhile; fails where the device has ended it by
/// then.
pub(super) async fn keep_silent(
    context: &Context,
    connection: &mut Connection,
    scratch: &mut [u8],
    silence: Duration,
) -> Result<Option<SlowSpan>, Failure> {
    let since = Instant::now();
    let silent = is_late(silence).then(|| SilentOne::begin(context));
    tokio::time::sleep(silence).await;
    match connection.still_waits(scratch)? {
        Waits::Still => Ok(silent.and_then(SilentOne::ask)),
        Waits::Closed { told } => {
            let idle = since.elapsed().saturating_sub(connection.last_heard());
            context.recorder.borrow_mut().closed_unasked(nanos(idle), told);
            Err(Failure::EofBeforeResponse)
        }
    }
}

/// Less than any idle time-out: what comes sooner after a response came with it.
pub(super) const AT_ONCE: Duration = Duration::from_millis(500);

/// Whether so many bytes that have come behind a whole response are the device's word that it closes an idle connection: a
/// response 408 (RFC 9110, 15.5.9), read at once, and a while after that response.
pub(super) fn is_idle_close(scratch: &[u8], bytes: u64, answered: Instant) -> bool {
    let said = usize::try_from(bytes).ok().and_then(|n| scratch.get(..n));
    answered.elapsed() >= AT_ONCE && said.and_then(timeout_said).is_some()
}

/// How the bytes begin that a connection was drained of, so many in all.
pub(super) fn begin(scratch: &[u8], bytes: u64) -> &[u8] {
    let come = usize::try_from(bytes).unwrap_or(usize::MAX).min(scratch.len() / 2);
    scratch.get(..come).unwrap_or_default()
}

/// Speaks TLS on a new connection, where it is to be spoken.
pub(super) async fn secure(
    context: &Context,
    connection: &mut Connection,
    tls: Option<&Tls>,
    limit: Duration,
) -> Result<(), Failure> {
    let Some(tls) = tls else { return Ok(()) };
    let from = Instant::now();
    let least = Cell::new(None);
    let secured = match context.endpoints.telemetry {
        Some(telemetry) => tokio::select! {
            biased;
            secured = connection.secure(tls, limit) => secured,
            () = watch_heap(context.source, telemetry, &least) => Err(Failure::HostOther),
        },
        None => connection.secure(tls, limit).await,
    };
    if let Some(free) = least.get() {
        let mut recorder = context.recorder.borrow_mut();
        let known = &mut recorder.http().tls.get_or_insert_default().handshake_heap_free_bytes;
        *known = Some(known.map_or(free, |known| known.min(free)));
    }
    if let (Ok(()), Some((what, resumed))) = (&secured, connection.tls_in_words()) {
        let ns = context.since_ns(from);
        context.recorder.borrow_mut().secured(ns, resumed, || what);
    }
    secured
}

/// How often the device is asked for its heap during a handshake, which takes a small device a second or so.
const HEAP_INTERVAL: Duration = Duration::from_millis(50);

/// Keeps the least free heap that the device tells, until it is dropped.
async fn watch_heap(source: Option<IpAddr>, telemetry: SocketAddr, least: &Cell<Option<u64>>) {
    let any: IpAddr = match telemetry {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let Ok(socket) = UdpSocket::bind(SocketAddr::new(source.unwrap_or(any), 0)).await else {
        return std::future::pending().await;
    };
    if socket.connect(telemetry).await.is_err() {
        return std::future::pending().await;
    }
    let mut buffer = vec![0; MAX_LEN * 2];
    loop {
        // A refusal says that there is none just now; the next question may be answered.
        let _ = socket.send(REQUEST.as_bytes()).await;
        let next = tokio::time::Instant::now() + HEAP_INTERVAL;
        while let Ok(received) = tokio::time::timeout_at(next, socket.recv(&mut buffer)).await {
            let Ok(length) = received else {
                tokio::time::sleep_until(next).await;
                break;
            };
            let told = Telemetry::parse(buffer.get(..length).unwrap_or_default());
            if let Some(free) = told.and_then(|told| told.heap_free_bytes) {
                least.set(Some(least.get().map_or(free, |known: u64| known.min(free))));
            }
        }
    }
}

/// Notes what TLS came to on a connection that is about to be closed.
pub(super) fn note_tls(context: &Context, connection: &mut Connection) {
    let mut recorder = context.recorder.borrow_mut();
    if let Some(seen) = connection.take_tls_fault() {
        recorder.http().tls.get_or_insert_default().failed(seen);
    }
    if connection.ended_without_close_notify() {
        recorder.http().tls.get_or_insert_default().without_close_notify += 1;
    }
}

/// Notes what a body met; whether the device has answered before it had it all.
pub(super) fn note_upload(context: &Context, connection: &mut Connection, end: StallEnd) -> bool {
    let Some(seen) = connection.end_upload(end) else { return false };
    context.recorder.borrow_mut().http().uploads.get_or_insert_default().add(&seen);
    seen.answered_early > 0
}

/// A client that gives up a body which was answered early resets the connection: behind the rest of the body the device
/// would never see a FIN.
pub(super) fn give_up_rest(context: &Context, connection: &mut Connection) {
    context.book.intends(connection.port(), Intent::Reset);
    connection.reset_on_close();
}

/// How a body's time ended that did not go well.
pub(super) const fn stall_end(failure: Failure) -> StallEnd {
    match failure {
        Failure::WriteTimeout | Failure::ReadTimeout => StallEnd::GaveUp,
        _ => StallEnd::Ended,
    }
}
