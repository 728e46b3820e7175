//! From the bytes of a request to what is to be done about it. Pure: nothing is consumed or counted here.

use crate::connection::INPUT_LEN;
use crate::control::{Command, ControlError};
use crate::error::ErrorKind;
use crate::text::Token;

use super::MAX_BODY;
use super::response::Status;

/// Longest body of a control request in bytes.
const MAX_CONTROL_BODY: u64 = 512;

/// Header fields a request may have.
const MAX_FIELDS: usize = 24;

/// Methods that are served somewhere.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Post,
}

/// What becomes of the connection after the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Persistence {
    Keep,
    /// Kept for an HTTP/1.0 client, which has to be told (RFC 9112, appendix C.2.2).
    KeepAnnounced,
    Close,
}

/// What to do about the bytes so far.
#[expect(clippy::large_enum_variant, reason = "without an allocator there is nothing to box with")]
pub(super) enum Plan {
    /// Wait for more of them.
    Wait,
    /// Answer a request.
    Answer(Request),
}

/// A request that the stream can go on after.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) persistence: Persistence,
    /// Bytes of input it takes: the head, and the body where that matters.
    pub(super) len: usize,
    /// Bytes of body that follow and do not matter.
    pub(super) skip: u64,
    pub(super) action: Action,
}

/// What the answer is made from.
#[expect(clippy::large_enum_variant, reason = "without an allocator there is nothing to box with")]
pub(super) enum Action {
    Greet,
    Bytes(u32),
    Telemetry,
    Control(Result<Command, ControlError>),
    Decline(Status, ErrorKind),
}

/// A request after which the place in the stream is lost.
#[derive(Clone, Copy)]
pub(super) struct Refusal {
    pub(super) status: Status,
    pub(super) kind: ErrorKind,
}

const MALFORMED: Refusal = Refusal { status: Status::BadRequest, kind: ErrorKind::Malformed };

const TOO_LONG: Refusal = Refusal { status: Status::HeadTooLarge, kind: ErrorKind::TooLarge };

const UNKNOWN_METHOD: Refusal = Refusal { status: Status::NotImplemented, kind: ErrorKind::Unsupported };

/// Reads the request at the start of `input`, which is the whole of what a connection keeps.
pub(super) fn plan(input: &[u8], token: Option<&Token>) -> Result<Plan, Refusal> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    let head_len = match head.parse(input) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if input.len() >= INPUT_LEN => return Err(TOO_LONG),
        Ok(httparse::Status::Partial) => return Ok(Plan::Wait),
        Err(httparse::Error::TooManyHeaders) => return Err(TOO_LONG),
        Err(_) => return Err(MALFORMED),
    };
    let fields = Fields::read(&head)?;
    let target = head.path.ok_or(MALFORMED)?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let method = match head.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        Some("POST") => Method::Post,
        // Known to HTTP, served nowhere: an answer about the path tells more than one about the method.
        Some("PUT" | "DELETE" | "OPTIONS" | "PATCH" | "TRACE" | "CONNECT") => {
            let status = route(path).map_or(Status::NotFound, Route::refuses_method);
            return Ok(answer(
                Method::Get,
                &fields,
                head_len,
                Action::Decline(status, ErrorKind::Unsupported),
            ));
        }
        _ => return Err(UNKNOWN_METHOD),
    };
    let action = match (route(path), method) {
        (None, _) => Action::Decline(Status::NotFound, ErrorKind::Unsupported),
        (Some(Route::Control), Method::Post) => {
            return control(input, head_len, &fields, query, token);
        }
        (Some(Route::Root), Method::Get | Method::Head) => root(query),
        (Some(Route::Telemetry), Method::Get | Method::Head) => Action::Telemetry,
        (Some(route), _) => Action::Decline(route.refuses_method(), ErrorKind::Unsupported),
    };
    if matches!(action, Action::Telemetry | Action::Bytes(_)) && fields.body_len > 0 {
        // Answers that take several steps would have to remember the body meanwhile. Nobody sends one here.
        return Err(Refusal { status: Status::ContentTooLarge, kind: ErrorKind::TooLarge });
    }
    Ok(answer(method, &fields, head_len, action))
}

fn answer(method: Method, fields: &Fields<'_>, head_len: usize, action: Action) -> Plan {
    Plan::Answer(Request {
        method,
        persistence: fields.persistence,
        len: head_len,
        skip: fields.body_len,
        action,
    })
}

fn control(
    input: &[u8],
    head_len: usize,
    fields: &Fields<'_>,
    query: &str,
    token: Option<&Token>,
) -> Result<Plan, Refusal> {
    let allowed = match (token, fields.bearer) {
        (Some(token), Some(shown)) => token.matches(shown),
        _ => false,
    };
    if !allowed {
        let action = Action::Decline(Status::Forbidden, ErrorKind::Forbidden);
        return Ok(answer(Method::Post, fields, head_len, action));
    }
    let whole = usize::try_from(fields.body_len).ok().and_then(|len| len.checked_add(head_len));
    let whole = match whole {
        Some(whole) if fields.body_len <= MAX_CONTROL_BODY && whole <= INPUT_LEN => whole,
        _ => {
            return Err(Refusal { status: Status::ContentTooLarge, kind: ErrorKind::TooLarge });
        }
    };
    let Some(body) = input.get(head_len..whole) else {
        return Ok(Plan::Wait);
    };
    Ok(Plan::Answer(Request {
        method: Method::Post,
        persistence: fields.persistence,
        len: whole,
        skip: 0,
        action: Action::Control(Command::read(body, query)),
    }))
}

fn root(query: &str) -> Action {
    if query.is_empty() {
        return Action::Greet;
    }
    match query.strip_prefix("bytes=").map(str::parse::<u32>) {
        Some(Ok(bytes)) if bytes <= MAX_BODY => Action::Bytes(bytes),
        Some(_) => Action::Decline(Status::BadRequest, ErrorKind::Malformed),
        // Queries with another meaning elsewhere, such as cache busters, do no harm.
        None => Action::Greet,
    }
}

#[derive(Clone, Copy)]
enum Route {
    Root,
    Telemetry,
    Control,
}

impl Route {
    const fn refuses_method(self) -> Status {
        match self {
            Self::Root | Self::Telemetry => Status::OnlyGet,
            Self::Control => Status::OnlyPost,
        }
    }
}

fn route(path: &str) -> Option<Route> {
    // Absolute form (RFC 9112, section 3.2.2): the authority does not matter to a device.
    let path = match path.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => path,
    };
    Some(match path {
        "/" => Route::Root,
        "/telemetry" => Route::Telemetry,
        "/control" => Route::Control,
        _ => return None,
    })
}

/// The header fields that matter.
struct Fields<'a> {
    persistence: Persistence,
    body_len: u64,
    bearer: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn read(head: &httparse::Request<'_, 'a>) -> Result<Self, Refusal> {
        let old = head.version == Some(0);
        let mut fields = Self {
            persistence: if old { Persistence::Close } else { Persistence::Keep },
            body_len: 0,
            bearer: None,
        };
        let mut hosts = 0;
        let mut length = None;
        for field in head.headers.iter() {
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            if is("host") {
                hosts += 1;
            } else if is("content-length") {
                let value = core::str::from_utf8(field.value).ok().and_then(digits).ok_or(MALFORMED)?;
                if length.is_some_and(|length| length != value) {
                    return Err(MALFORMED);
                }
                length = Some(value);
            } else if is("transfer-encoding") {
                return Err(UNKNOWN_METHOD);
            } else if is("connection") {
                for option in field.value.split(|&byte| byte == b',') {
                    let option = option.trim_ascii();
                    if option.eq_ignore_ascii_case(b"close") {
                        fields.persistence = Persistence::Close;
                        break;
                    } else if option.eq_ignore_ascii_case(b"keep-alive") {
                        fields.persistence = if old { Persistence::KeepAnnounced } else { Persistence::Keep };
                    }
                }
            } else if is("authorization") {
                fields.bearer = bearer(field.value);
            }
        }
        // RFC 9112, section 3.2: exactly one Host, but HTTP/1.0 may do without.
        if hosts > 1 || (hosts == 0 && !old) {
            return Err(MALFORMED);
        }
        fields.body_len = length.unwrap_or(0);
        Ok(fields)
    }
}

/// A number of digits and nothing else, as RFC 9110 section 8.6 wants it.
fn digits(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// The token in the value of an `Authorization` field.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}
