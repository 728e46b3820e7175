//! Just enough HTTP/1.1 (RFC 9112) to know where a response ends and whether it is one.

mod chunk;

use std::mem::MaybeUninit;

use espstress_event::{
    Failure, FaultSeen, HEAD_CUT, HEAD_TOO_LONG, HttpFault, NO_CLOSE_NOTIFY, SECOND_RESPONSE, TLS_ALERT,
    TOO_MANY_FIELDS,
};

use chunk::{Chunk, Step};

/// Longest response head that is read, bytes; a longer one is a bad response.
pub(crate) const HEAD_LIMIT: usize = 128 * 1024;

/// Fields that a head is read with; RFC 9110 knows no limit, other clients stop at about 100.
const FIELDS: usize = 512;

/// Of a Content-Type that is kept, characters.
const LONGEST_TYPE: usize = 100;

/// A Content-Type without its parameters, in memory that is used again.
#[derive(Clone, Debug, Default)]
struct ContentType {
    known: bool,
    /// In lower case; of an earlier response where it is not known.
    text: String,
}

impl ContentType {
    /// Takes a field's value, unless there was one before.
    fn take(&mut self, value: &[u8]) {
        if std::mem::replace(&mut self.known, true) {
            return;
        }
        let name = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        // A device sends the same one each time, as a rule.
        if name.eq_ignore_ascii_case(self.text.as_bytes()) {
            return;
        }
        self.text.clear();
        self.text.extend(
            String::from_utf8_lossy(name).trim().chars().take(LONGEST_TYPE).map(|c| c.to_ascii_lowercase()),
        );
    }
}

/// The request's method, as far as it decides the shape of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expects {
    /// HEAD: never a body.
    HeadOnly,
    /// Anything else.
    Body,
}

/// Where the body of a response ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    None,
    Length(u64),
    Chunked(Chunk),
    UntilEof,
}

/// How far a response has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are needed.
    More,
    /// It is complete; `used` bytes of the input belonged to it.
    Done {
        /// Bytes of the last input that belonged to this response.
        used: usize,
    },
}

/// Reads one response, as its bytes come. Reused for the next by [`Response::start`].
#[derive(Clone, Debug)]
pub struct Response {
    expects: Expects,
    head: Vec<u8>,
    framing: Option<Framing>,
    status: u16,
    persistent: bool,
    body_bytes: u64,
    declared: Option<u64>,
    /// Whether the device means to keep the connection though nothing says where this response ends.
    unbounded: bool,
    /// Size of the chunk that is being read.
    chunk: u64,
    /// Of the response before, which is complete: Content-Length and body bytes.
    before: (Option<u64>, u64),
    /// Its status; 0 where there was none.
    status_before: u16,
    /// Whether a response to HEAD has promised a body on this connection: what comes in its place may be one.
    promised_to_head: bool,
    /// What was found wrong and has not been asked for.
    fault: Option<FaultSeen>,
    /// Bytes of interim responses: all of them, and those that the head's buffer need not keep.
    interim: usize,
    left_behind: usize,
    /// Whether the device said 100 Continue to this request.
    continued: bool,
    /// Location of a redirect.
    location: Option<String>,
    /// The first scheme that a 401 asks for.
    challenge: Option<String>,
    /// Content-Type, without its parameters.
    content_type: ContentType,
    /// What has come of the body and was not taken, where it is kept.
    kept: Option<Vec<u8>>,
}

impl Response {
    /// A reader for responses to requests of this kind.
    #[must_use]
    pub fn new(expects: Expects) -> Self {
        Self {
            expects,
            head: Vec::with_capacity(1_024),
            framing: None,
            status: 0,
            persistent: false,
            body_bytes: 0,
            declared: None,
            unbounded: false,
            chunk: 0,
            before: (None, 0),
            status_before: 0,
            promised_to_head: false,
            fault: None,
            interim: 0,
            left_behind: 0,
            continued: false,
            location: None,
            challenge: None,
            content_type: ContentType::default(),
            kept: None,
        }
    }

    /// Keeps the body's bytes until they are taken, without the chunks' framing.
    #[must_use]
    pub fn keeping_body(mut self) -> Self {
        self.kept = Some(Vec::new());
        self
    }

    /// What has come of the body since this was last asked, where it is kept.
    pub fn take_body(&mut self) -> Vec<u8> {
        self.kept.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Content-Type in lower case, without its parameters (RFC 9110, 8.3); `None` where there is none.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.known.then_some(&self.content_type.text)
    }

    /// Begins the first response of a new connection, keeping the memory.
    pub fn start(&mut self) {
        self.follow();
        self.promised_to_head = false;
        self.before = (None, 0);
        self.status_before = 0;
    }

    /// Begins the next response on the same connection, keeping the memory.
    pub fn follow(&mut self) {
        self.before = (self.declared, self.body_bytes);
        self.status_before = self.status;
        self.head.clear();
        self.framing = None;
        self.status = 0;
        self.body_bytes = 0;
        self.declared = None;
        self.unbounded = false;
        self.chunk = 0;
        self.interim = 0;
        self.left_behind = 0;
        self.continued = false;
        self.location = None;
        self.challenge = None;
        self.content_type.known = false;
        self.take_body();
    }

    /// Whether the device has said 100 Continue (RFC 9110, 15.2.1).
    #[must_use]
    pub const fn continued(&self) -> bool {
        self.continued
    }

    /// Location of a redirect, as it came; `None` where there is none.
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    /// The first scheme that a 401 asks for (RFC 9110, 11.6.1).
    #[must_use]
    pub fn challenge(&self) -> Option<&str> {
        self.challenge.as_deref()
    }

    /// What was wrong with the response, once: asked for after a failure, and after a response that went well all
    /// the same.
    pub const fn take_fault(&mut self) -> Option<FaultSeen> {
        self.fault.take()
    }

    /// The first thing that is wrong with a response is what is said of it.
    fn note(&mut self, fault: HttpFault, promised: Option<u64>, received: Option<u64>, detail: &'static str) {
        self.fault.get_or_insert(FaultSeen { fault, promised, received, detail });
    }

    fn bad_head(&mut self, detail: &'static str) -> Failure {
        if self.promised_to_head {
            self.note(
                HttpFault::BodyAfterHead,
                None,
                None,
                "a body after HEAD came where the next response should have begun",
            );
        } else if let Some(detail) = without_body(self.status).or_else(|| without_body(self.status_before)) {
            self.note(HttpFault::BodyNotAllowed, None, None, detail);
        } else {
            self.note(HttpFault::BadHead, None, None, detail);
        }
        Failure::BadResponse
    }

    /// Whether the head is complete.
    #[must_use]
    pub const fn head_is_in(&self) -> bool {
        self.framing.is_some()
    }

    /// Status code, once the head is in.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Whether the connection may serve another request (RFC 9112, 9.3).
    #[must_use]
    pub const fn persistent(&self) -> bool {
        self.persistent
    }

    /// Body bytes so far.
    #[must_use]
    pub const fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Failure::BadResponse`] when they cannot be (part of) an HTTP/1.x response.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Progress, Failure> {
        let mut used = 0;
        if self.framing.is_none() {
            // The common case, a whole head in one read, is parsed where it lies.
            let taken = if self.head.is_empty() {
                match self.parse(bytes)? {
                    Some(length) => length,
                    None => {
                        self.head.extend_from_slice(bytes.get(self.left_behind..).unwrap_or_default());
                        return self.more_head();
                    }
                }
            } else {
                let before = self.head.len();
                self.head.extend_from_slice(bytes);
                let head = std::mem::take(&mut self.head);
                let parsed = self.parse(&head);
                self.head = head;
                match parsed? {
                    Some(length) => length.saturating_sub(before),
                    None => {
                        self.head.drain(..self.left_behind.min(self.head.len()));
                        return self.more_head();
                    }
                }
            };
            used = taken;
        }
        self.body(bytes, used)
    }

    fn more_head(&mut self) -> Result<Progress, Failure> {
        self.interim += std::mem::take(&mut self.left_behind);
        if self.head.len() + self.interim > HEAD_LIMIT {
            return Err(self.bad_head(HEAD_TOO_LONG));
        }
        Ok(Progress::More)
    }

    fn parse(&mut self, bytes: &[u8]) -> Result<Option<usize>, Failure> {
        let mut start = 0;
        loop {
            let rest = bytes.get(start..).unwrap_or_default();
            let Some(length) = self.parse_one(rest)? else {
                self.left_behind = start;
                return Ok(None);
            };
            start += length;
            // An interim response is followed by the one that counts (RFC 9110, 15.2); after 101 it is no HTTP.
            if !matches!(self.status, 100 | 102..=199) {
                return Ok(Some(start));
            }
            self.continued |= self.status == 100;
            self.framing = None;
        }
    }

    fn parse_one(&mut self, bytes: &[u8]) -> Result<Option<usize>, Failure> {
        let mut headers = [const { MaybeUninit::uninit() }; FIELDS];
        let mut response = httparse::Response::new(&mut []);
        // A field folded over lines is obsolete, and a client has to take it (RFC 9112, 5.2).
        let mut config = httparse::ParserConfig::default();
        config.allow_obsolete_multiline_headers_in_responses(true);
        let length = match config.parse_response_with_uninit_headers(&mut response, bytes, &mut headers) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            // A record of the type alert, of any version (RFC 8446, 5.1).
            Err(_) if bytes.starts_with(&[0x15, 0x03]) => return Err(self.bad_head(TLS_ALERT)),
            Err(error) => return Err(self.bad_head(what_is_wrong(error))),
        };
        let Some(status) = response.code else { return Err(self.bad_head("no status code")) };
        self.status = status;
        self.persistent = response.version == Some(1);
        let (mut content_length, mut chunked) = (None, false);
        for header in response.headers.iter() {
            if header.name.eq_ignore_ascii_case("content-length") {
                let number =
                    std::str::from_utf8(header.value).ok().and_then(|text| text.trim().parse::<u64>().ok());
                let Some(number) = number else {
                    return Err(self.bad_head("Content-Length is not a number"));
                };
                // RFC 9112, 6.3: values that differ cannot be told apart.
                if content_length.is_some_and(|known| known != number) {
                    return Err(self.bad_head("two Content-Length fields that differ"));
                }
                content_length = Some(number);
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                chunked = header.value.to_ascii_lowercase().ends_with(b"chunked");
            } else if header.name.eq_ignore_ascii_case("content-type") {
                self.content_type.take(header.value);
            } else if is_redirect(status) && header.name.eq_ignore_ascii_case("location") {
                self.location.get_or_insert_with(|| String::from_utf8_lossy(header.value).trim().to_owned());
            } else if status == 401 && header.name.eq_ignore_ascii_case("www-authenticate") {
                self.challenged(&String::from_utf8_lossy(header.value));
            } else if header.name.eq_ignore_ascii_case("connection") {
                let says = |option: &[u8]| {
                    header.value.windows(option.len()).any(|part| part.eq_ignore_ascii_case(option))
                };
                if says(b"close") {
                    self.persistent = false;
                } else if says(b"keep-alive") {
                    self.persistent = true;
                }
            }
        }
        self.declared = content_length;
        let bodiless = self.expects == Expects::HeadOnly || without_body(self.status).is_some();
        self.promised_to_head =
            self.expects == Expects::HeadOnly && (chunked || content_length.is_some_and(|n| n > 0));
        self.framing = Some(match (bodiless, chunked, content_length) {
            (true, ..) => Framing::None,
            (_, true, _) => Framing::Chunked(Chunk::Size { so_far: 0, digits: 0 }),
            (.., Some(0)) => Framing::None,
            (.., Some(n)) => Framing::Length(n),
            (.., None) => {
                self.unbounded = self.persistent;
                self.persistent = false;
                Framing::UntilEof
            }
        });
        Ok(Some(length))
    }

    /// Keeps the first scheme that an answer 401 asks for, or Basic where that is among them: it is the one that is spoken here.
    fn challenged(&mut self, value: &str) {
        for scheme in schemes(value) {
            let is_basic = scheme.eq_ignore_ascii_case("Basic");
            if is_basic || self.challenge.is_none() {
                self.challenge = Some(scheme.chars().take(20).collect());
            }
            if is_basic {
                return;
            }
        }
    }

    fn body(&mut self, bytes: &[u8], start: usize) -> Result<Progress, Failure> {
        let rest = bytes.get(start..).unwrap_or_default();
        match &mut self.framing {
            None => Ok(Progress::More),
            Some(Framing::None) => Ok(Progress::Done { used: start }),
            Some(Framing::UntilEof) => {
                self.body_bytes += rest.len() as u64;
                self.kept.iter_mut().for_each(|kept| kept.extend_from_slice(rest));
                Ok(Progress::More)
            }
            Some(Framing::Length(left)) => {
                let take = (*left).min(rest.len() as u64);
                *left -= take;
                self.body_bytes += take;
                let body = rest.get(..take as usize).unwrap_or_default();
                self.kept.iter_mut().for_each(|kept| kept.extend_from_slice(body));
                Ok(if *left == 0 { Progress::Done { used: start + take as usize } } else { Progress::More })
            }
            Some(Framing::Chunked(chunk)) => {
                let mut at = *chunk;
                let mut padded = None;
                for (i, &byte) in rest.iter().enumerate() {
                    match at.next(byte) {
                        Ok(Step::On { payload }) => {
                            self.body_bytes += payload;
                            if let (1.., Some(kept)) = (payload, &mut self.kept) {
                                kept.push(byte);
                            }
                        }
                        Ok(Step::Size(size)) => self.chunk = size,
                        Ok(Step::PaddedSize(size)) => {
                            self.chunk = size;
                            padded.get_or_insert(size);
                        }
                        Ok(Step::End) => {
                            self.note_padding(padded);
                            return Ok(Progress::Done { used: start + i + 1 });
                        }
                        Err(detail) => {
                            let size = matches!(at, Chunk::DataCr | Chunk::DataLf).then_some(self.chunk);
                            self.note(HttpFault::BadChunk, size, None, detail);
                            return Err(Failure::BadResponse);
                        }
                    }
                }
                *chunk = at;
                self.note_padding(padded);
                Ok(Progress::More)
            }
        }
    }

    /// Takes the peer's FIN.
    ///
    /// # Errors
    /// [`Failure::EofBeforeResponse`] when nothing had come, [`Failure::TruncatedResponse`] in the middle.
    pub fn eof(&self) -> Result<(), Failure> {
        match self.framing {
            Some(Framing::UntilEof) => Ok(()),
            None if self.head.is_empty() => Err(Failure::EofBeforeResponse),
            _ => Err(Failure::TruncatedResponse),
        }
    }

    /// As [`Response::eof`], and notes what is wrong with a response that ends there.
    ///
    /// # Errors
    /// As [`Response::eof`].
    pub fn end(&mut self) -> Result<(), Failure> {
        let ended = self.eof();
        match ended {
            Ok(()) if self.unbounded => {
                let detail = "only the end of the connection says where the response ends";
                self.note(HttpFault::NoLength, None, Some(self.body_bytes), detail);
            }
            Err(Failure::TruncatedResponse) => self.cut_short("then FIN"),
            _ => {}
        }
        ended
    }

    /// As [`Response::end`] where TCP ended without TLS's own end: nobody knows then whether a body that only the connection's
    /// end delimits is whole (RFC 9112, 9.8).
    ///
    /// # Errors
    /// As [`Response::end`], and [`Failure::TruncatedResponse`] for such a body.
    pub fn end_without_close_notify(&mut self) -> Result<(), Failure> {
        self.end()?;
        self.fault = None;
        self.note(HttpFault::Truncated, None, Some(self.body_bytes), NO_CLOSE_NOTIFY);
        Err(Failure::TruncatedResponse)
    }

    /// Nothing more came within the read time-out: notes what that says of the response.
    pub fn stalled(&mut self) {
        if self.framing == Some(Framing::UntilEof) {
            let detail = "nothing says where the response ends, and the connection stays open";
            self.note(HttpFault::NoLength, None, Some(self.body_bytes), detail);
        } else if self.framing.is_some() {
            self.cut_short("then nothing within the read time-out");
        }
    }

    fn cut_short(&mut self, detail: &'static str) {
        match self.framing {
            Some(Framing::Chunked(_)) => {
                self.note(HttpFault::Truncated, None, Some(self.body_bytes), "the last chunk did not come");
            }
            Some(_) => self.note(HttpFault::Truncated, self.declared, Some(self.body_bytes), detail),
            None => self.note(HttpFault::Truncated, None, None, HEAD_CUT),
        }
    }

    /// So many bytes followed the end of the response that nobody had asked for; `begin` is how they begin.
    pub fn unasked(&mut self, bytes: u64, begin: &[u8]) {
        let second = is_status_line(begin);
        if self.expects == Expects::HeadOnly && second {
            self.note(HttpFault::Overlong, None, Some(bytes), SECOND_RESPONSE);
        } else if self.expects == Expects::HeadOnly {
            // Without a length the connection's end is the body's as well.
            let goes_on = self.persistent && self.promised_to_head;
            let fault = if goes_on { HttpFault::BodyAfterHead } else { HttpFault::BodyBeforeClose };
            self.note(fault, None, Some(bytes), "a body follows the response to HEAD");
        } else {
            let (promised, body) =
                if self.head_is_in() { (self.declared, self.body_bytes) } else { self.before };
            let received = body.saturating_add(bytes);
            let status = if self.head_is_in() { self.status } else { self.status_before };
            if let Some(detail) = without_body(status) {
                return self.note(HttpFault::BodyNotAllowed, promised, Some(received), detail);
            }
            let detail = if second { SECOND_RESPONSE } else { "bytes follow the end of the response" };
            self.note(HttpFault::Overlong, promised, Some(received), detail);
        }
    }

    /// Body bytes that are still to come; `None` where the response does not say how long it is.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        match self.framing {
            Some(Framing::Length(left)) => Some(left),
            _ => None,
        }
    }

    /// The response was still coming when the host gave it up, in words.
    pub fn endless(&mut self, detail: &'static str) {
        self.note(HttpFault::Endless, self.declared, Some(self.body_bytes), detail);
    }

    /// A size field padded with blanks is read all the same, as most clients do; RFC 9112, 7.1 has no room for them.
    fn note_padding(&mut self, size: Option<u64>) {
        if size.is_some() {
            self.note(HttpFault::BadChunk, size, size, "the chunk's size is padded with blanks");
        }
    }
}

/// Whether these bytes begin as a response does (RFC 9112, 4).
fn is_status_line(bytes: &[u8]) -> bool {
    let code = bytes.strip_prefix(b"HTTP/1.").and_then(|rest| rest.split_first());
    code.is_some_and(|(minor, rest)| {
        let digits = rest.strip_prefix(b" ").and_then(|rest| rest.get(..3));
        minor.is_ascii_digit() && digits.is_some_and(|three| three.iter().all(u8::is_ascii_digit))
    })
}

/// Whether a client is meant to ask somewhere else (RFC 9110, 15.4).
#[must_use]
pub const fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// Whether these bytes begin a response 408, Request Timeout.
pub(super) fn is_timeout(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP/1.") && bytes.get(8..12) == Some(b" 408")
}

/// Whether a response 408 says with its head that the connection ends with it; `None` where these bytes are no such response,
/// or not exactly one.
#[must_use]
pub fn timeout_said(bytes: &[u8]) -> Option<bool> {
    if !is_timeout(bytes) {
        return None;
    }
    // Nobody has asked, so it may have a body.
    let mut response = Response::new(Expects::Body);
    let is_whole = match response.feed(bytes) {
        Ok(Progress::Done { used }) => used == bytes.len(),
        Ok(Progress::More) => response.eof().is_ok(),
        Err(_) => false,
    };
    is_whole.then(|| !response.persistent())
}

/// What is wrong with a body where a status has none (RFC 9112, 6.3).
const fn without_body(status: u16) -> Option<&'static str> {
    match status {
        100..=199 => Some("a 1xx response has no body"),
        204 => Some("a 204 response has no body"),
        304 => Some("a 304 response has no body"),
        _ => None,
    }
}

/// The schemes of a `WWW-Authenticate` field, which may hold several challenges (RFC 9110, 11.6.1).
fn schemes(value: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let parts = value.split(move |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    parts.filter_map(|part| {
        let part = part.trim_start();
        let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(part.len());
        let (token, rest) = part.split_at(end);
        // A parameter has its value behind it; a scheme a space, or nothing.
        let is_scheme = rest.is_empty() || rest.starts_with(' ') && !rest.trim_start().starts_with('=');
        (is_scheme && !token.is_empty()).then_some(token)
    })
}

/// What the parser of heads objects to.
const fn what_is_wrong(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "an invalid field name",
        httparse::Error::HeaderValue => "a field value that is none",
        httparse::Error::NewLine => "a line end that is none",
        httparse::Error::Status => "no status line",
        httparse::Error::TooManyHeaders => TOO_MANY_FIELDS,
        httparse::Error::Version => "it does not begin with HTTP/1.0 or HTTP/1.1",
        _ => "not what HTTP/1.1 allows",
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
