//! The bytes of answers.

use core::fmt::Write;

use crate::buffer::Buffer;
use crate::connection::OUTPUT_LEN;

use super::request::{Method, Persistence};

/// Statuses that the device answers with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    BadRequest,
    Forbidden,
    NotFound,
    /// 405 where GET and HEAD are allowed.
    OnlyGet,
    /// 405 where POST is allowed.
    OnlyPost,
    ContentTooLarge,
    HeadTooLarge,
    NotImplemented,
}

impl Status {
    const fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::Forbidden => "403 Forbidden",
            Self::NotFound => "404 Not Found",
            Self::OnlyGet | Self::OnlyPost => "405 Method Not Allowed",
            Self::ContentTooLarge => "413 Content Too Large",
            Self::HeadTooLarge => "431 Request Header Fields Too Large",
            Self::NotImplemented => "501 Not Implemented",
        }
    }

    /// A body that says what to do instead.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Ok => "",
            Self::BadRequest => "not a request that this device understands\n",
            Self::Forbidden => "control needs the bearer token that the device was set up with\n",
            Self::NotFound => "there are /, /telemetry and /control\n",
            Self::OnlyGet => "only GET and HEAD here\n",
            Self::OnlyPost => "only POST here\n",
            Self::ContentTooLarge => "the body is too large here\n",
            Self::HeadTooLarge => "at most 1536 bytes and 24 fields in a request's head\n",
            Self::NotImplemented => "neither this method nor transfer codings\n",
        }
    }

    const fn allow(self) -> &'static str {
        match self {
            Self::OnlyGet => "Allow: GET, HEAD\r\n",
            Self::OnlyPost => "Allow: POST\r\n",
            _ => "",
        }
    }
}

/// What a body is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Text,
    Json,
}

impl Content {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Json => "application/json",
        }
    }
}

/// Writes an answer; a HEAD gets the head alone (RFC 9110, section 9.3.2).
///
/// The caller has seen to it that there is room: heads are below 200 bytes.
pub(super) fn write(
    output: &mut Buffer<OUTPUT_LEN>,
    status: Status,
    content: Content,
    method: Method,
    after: Persistence,
    body: &[u8],
) {
    write_head(output, status, content, after, body.len());
    if method != Method::Head {
        let whole = output.push(body);
        debug_assert!(whole, "an answer always fits");
    }
}

/// Writes an answer's head.
pub(super) fn write_head(
    output: &mut Buffer<OUTPUT_LEN>,
    status: Status,
    content: Content,
    after: Persistence,
    body_len: usize,
) {
    let connection = match after {
        Persistence::Keep => "",
        Persistence::KeepAnnounced => "Connection: keep-alive\r\n",
        Persistence::Close => "Connection: close\r\n",
    };
    let written = write!(
        output,
        "HTTP/1.1 {}\r\nServer: espstress/{}\r\n{}{connection}Content-Type: {}\r\nContent-Length: {body_len}\r\n\r\n",
        status.line(),
        env!("CARGO_PKG_VERSION"),
        status.allow(),
        content.media_type(),
    );
    debug_assert!(written.is_ok(), "an answer always fits");
}
