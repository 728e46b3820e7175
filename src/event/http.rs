//! What HTTP requests met beside status codes and malformed responses: redirects, logins, uploads, TLS. One record, from
//! the workload to the report.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a workload's requests met; every part is empty where there was none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct HttpFigures {
    /// Redirects by status and place; at most 8 of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redirects: Vec<Redirect>,
    /// Redirects to other places than these.
    #[serde(skip_serializing_if = "is_zero")]
    pub redirects_elsewhere: u64,
    /// Answers 401; null where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<Login>,
    /// Request bodies; null where no request had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uploads: Option<Uploads>,
    /// Requests with `Expect: 100-continue`; null where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continues: Option<Continues>,
    /// Status codes that failed, since others were asked for; empty where none did.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub wrong_statuses: BTreeMap<u16, u64>,
    /// Connections that the device ended as its response had announced, while pipelined requests were behind that one.
    /// These were sent again (RFC 9112, 9.3.2).
    #[serde(skip_serializing_if = "is_zero")]
    pub left_behind: u64,
    /// TLS; null where none was spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFigures>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl HttpFigures {
    /// Redirects that are told apart.
    const PLACES: usize = 8;

    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Counts a redirect.
    pub fn redirected(&mut self, status: u16, to: &str, to_itself: bool) {
        let is_full = self.redirects.len() >= Self::PLACES;
        match self.redirects.iter_mut().find(|one| one.status == status && one.to == to) {
            Some(one) => one.count += 1,
            None if is_full => self.redirects_elsewhere += 1,
            None => self.redirects.push(Redirect { status, to: to.to_owned(), to_itself, count: 1 }),
        }
    }

    /// Redirects in all.
    #[must_use]
    pub fn redirects_in_all(&self) -> u64 {
        self.redirects.iter().fold(self.redirects_elsewhere, |sum, one| sum.saturating_add(one.count))
    }

    /// Counts an answer 401 by the first scheme that it asks for.
    pub fn login_asked(&mut self, scheme: Option<&str>, sent: bool) {
        let login =
            self.login.get_or_insert_with(|| Login { scheme: scheme.map(str::to_owned), sent, count: 0 });
        login.count += 1;
    }

    /// Every count in it, for readers of files that anybody may have written.
    pub fn counts(&self) -> impl Iterator<Item = u64> + '_ {
        let uploads = self.uploads.iter().flat_map(|u| [u.begun, u.taken, u.answered_early, u.stalls]);
        let continues = self.continues.iter().flat_map(|c| [c.asked, c.continued, c.not_heard, c.answered]);
        let tls = self.tls.iter().flat_map(|tls| {
            let faults = tls.failures.values().map(|seen| seen.count);
            [tls.full, tls.resumed, tls.without_close_notify].into_iter().chain(faults)
        });
        let redirects = self.redirects.iter().map(|one| one.count);
        redirects
            .chain([
                self.redirects_elsewhere,
                self.left_behind,
                self.login.as_ref().map_or(0, |login| login.count),
            ])
            .chain(uploads)
            .chain(continues)
            .chain(tls)
    }
}

/// Redirects of one status to one place. They are not followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// The status: 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Location's scheme, host and path; its user name, query and fragment are left out. Empty where the answer has no
    /// Location.
    pub to: String,
    /// Whether it is the page that was asked for: a client that follows it never arrives.
    pub to_itself: bool,
    /// How many.
    pub count: u64,
}

/// Answers 401 (RFC 9110, 15.5.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The scheme that the first one asks for, as `Basic` or `Digest`; null where it names none.
    pub scheme: Option<String>,
    /// Whether the requests had a user name and a password.
    pub sent: bool,
    /// How many.
    pub count: u64,
}

/// Request bodies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Uploads {
    /// Bodies whose sending began.
    pub begun: u64,
    /// Bodies that the device's stack acknowledged whole.
    pub taken: u64,
    /// Bodies that were answered before that.
    pub answered_early: u64,
    /// How often the device took no byte of a body for a second or longer.
    pub stalls: u64,
    /// The longest of these; null where there was none.
    pub longest_stall: Option<UploadStall>,
}

/// A time in which the device took no byte of a body that was on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UploadStall {
    /// How long, milliseconds.
    pub length_ms: u64,
    /// Bytes of the body that the device's stack had acknowledged when it stopped. Its program may have read fewer.
    pub taken_bytes: u64,
    /// Bytes of the body.
    pub of_bytes: u64,
    /// How it ended.
    pub end: StallEnd,
}

/// How a time without progress ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StallEnd {
    /// The device took more.
    Resumed,
    /// The device answered without taking more.
    Answered,
    /// The client gave up: its time-out for sending had passed.
    GaveUp,
    /// The connection ended.
    Ended,
}

impl Uploads {
    /// Adds what one body met.
    pub fn add(&mut self, one: &Self) {
        self.begun += one.begun;
        self.taken += one.taken;
        self.answered_early += one.answered_early;
        self.stalls += one.stalls;
        let length = |stall: Option<UploadStall>| stall.map_or(0, |stall| stall.length_ms);
        if length(one.longest_stall) > length(self.longest_stall) {
            self.longest_stall = one.longest_stall;
        }
    }
}

/// Requests with `Expect: 100-continue` (RFC 9110, 10.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Continues {
    /// Requests that had it.
    pub asked: u64,
    /// Of these: the device said 100 Continue, and the body followed.
    pub continued: u64,
    /// The device said nothing within a second, and the body was sent all the same.
    pub not_heard: u64,
    /// The device answered at once, and the body was not sent.
    pub answered: u64,
}

/// What TLS came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TlsFigures {
    /// Full handshakes.
    pub full: u64,
    /// Median of their lengths, microseconds; null without any.
    pub full_median_us: Option<u64>,
    /// Handshakes that resumed a session.
    pub resumed: u64,
    /// Median of their lengths, microseconds; null without any.
    pub resumed_median_us: Option<u64>,
    /// Protocol version and cipher suite of the first handshake; null without any.
    pub first: Option<String>,
    /// Connections on which the device ended TCP without saying so in TLS (RFC 8446, 6.1).
    pub without_close_notify: u64,
    /// Least free heap that the device told while a handshake was under way, bytes; null where it told none.
    pub handshake_heap_free_bytes: Option<u64>,
    /// What failed, only the names that occurred.
    pub failures: BTreeMap<TlsFault, TlsFailure>,
}

/// How TLS failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TlsFault {
    /// The certificate was not issued by an authority that is trusted.
    NotTrusted,
    /// The certificate's time is over, or has not begun.
    Expired,
    /// The certificate is for another name.
    WrongName,
    /// The certificate cannot be used for another reason.
    BadCertificate,
    /// Device and client have no version or cipher suite in common.
    Incompatible,
    /// The device sent an alert.
    Alert,
    /// The device answered with something that is not TLS.
    NotTls,
    /// The device broke the protocol.
    BadRecord,
    /// A FIN came during the handshake.
    Closed,
    /// A RST came during the handshake.
    Reset,
    /// The handshake took longer than the time-out.
    TimedOut,
}

impl TlsFault {
    /// Every fault, in the order of reports.
    pub const ALL: [Self; 11] = [
        Self::NotTrusted,
        Self::Expired,
        Self::WrongName,
        Self::BadCertificate,
        Self::Incompatible,
        Self::Alert,
        Self::NotTls,
        Self::BadRecord,
        Self::Closed,
        Self::Reset,
        Self::TimedOut,
    ];

    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotTrusted => "not_trusted",
            Self::Expired => "expired",
            Self::WrongName => "wrong_name",
            Self::BadCertificate => "bad_certificate",
            Self::Incompatible => "incompatible",
            Self::Alert => "alert",
            Self::NotTls => "not_tls",
            Self::BadRecord => "bad_record",
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::TimedOut => "timed_out",
        }
    }

    /// What happened, in a clause.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::NotTrusted => "the certificate is not trusted",
            Self::Expired => "the certificate is not valid at this time",
            Self::WrongName => "the certificate is for another name",
            Self::BadCertificate => "the certificate can't be used",
            Self::Incompatible => "no TLS version or cipher suite in common",
            Self::Alert => "the device sent an alert",
            Self::NotTls => "the device's answer is not TLS",
            Self::BadRecord => "the device broke the TLS protocol",
            Self::Closed => "the device closed the connection during the handshake",
            Self::Reset => "the device reset the connection during the handshake",
            Self::TimedOut => "the handshake timed out",
        }
    }
}

/// One failure of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFaultSeen {
    /// How.
    pub fault: TlsFault,
    /// What exactly, in a few words; empty where the name says it all.
    pub detail: String,
}

/// How often TLS failed in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TlsFailure {
    /// How often.
    pub count: u64,
    /// Of the first one: what exactly; empty where the name says it all.
    pub detail: String,
}

impl TlsFigures {
    /// Counts a failure.
    pub fn failed(&mut self, seen: TlsFaultSeen) {
        let first = || TlsFailure { count: 0, detail: seen.detail };
        self.failures.entry(seen.fault).or_insert_with(first).count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_counted_by_place_and_never_fill_memory() {
        let mut figures = HttpFigures::default();
        for n in 0..100 {
            figures.redirected(302, &format!("/{}", n % 20), false);
        }
        assert_eq!((figures.redirects.len(), figures.redirects_in_all()), (8, 100));
        assert_eq!(figures.redirects_elsewhere, 60);
    }

    #[test]
    fn the_longest_stall_of_all_uploads_is_kept() {
        let stall = |length_ms| {
            let stall = UploadStall { length_ms, taken_bytes: 1, of_bytes: 2, end: StallEnd::GaveUp };
            Uploads { stalls: 1, longest_stall: Some(stall), ..Uploads::default() }
        };
        let mut all = Uploads::default();
        [1_200, 5_000, 3_000].into_iter().for_each(|ms| all.add(&stall(ms)));
        assert_eq!((all.stalls, all.longest_stall.map(|stall| stall.length_ms)), (3, Some(5_000)));
    }

    #[test]
    fn the_serialised_name_of_a_tls_fault_is_the_public_name() {
        for fault in TlsFault::ALL {
            assert_eq!(serde_json::to_value(fault).unwrap(), fault.name());
        }
    }
}
