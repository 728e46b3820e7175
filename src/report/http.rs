//! What HTTP requests met beside status codes, in words.

use super::Workload;
use super::human::{count, positive, things, time_us};
use espstress_event::{Continues, HttpFigures, Login, StallEnd, TlsFigures, Uploads};

impl Workload {
    /// A line for each part that occurred, with its label.
    pub(crate) fn http_in_words(&self) -> Vec<(&'static str, String)> {
        let HttpFigures { login, uploads, continues, tls, .. } = &self.http;
        let mut lines = Vec::new();
        lines.extend(redirects(&self.http).map(|text| ("redirects", text)));
        lines.extend(login.as_ref().map(|one| ("login", login_in_words(one))));
        lines.extend(uploads.as_ref().map(|all| ("uploads", uploads_in_words(all))));
        lines.extend(continues.as_ref().map(|all| ("continue", continues_in_words(*all))));
        lines.extend(
            positive(self.http.left_behind, "connection").map(|text| ("pipelining", left_behind(&text))),
        );
        lines.extend(tls.iter().flat_map(tls_in_words).map(|text| ("tls", text)));
        lines
    }
}

fn redirects(http: &HttpFigures) -> Option<String> {
    let mut all: Vec<String> = http
        .redirects
        .iter()
        .map(|one| {
            let to = if one.to.is_empty() { "nowhere (no Location)" } else { &one.to };
            let itself = if one.to_itself { " (the same page: who follows never arrives)" } else { "" };
            format!("{} to {to}{itself} {}", one.status, count(one.count))
        })
        .collect();
    all.extend(positive(http.redirects_elsewhere, "redirect").map(|text| format!("{text} to other places")));
    (!all.is_empty()).then(|| format!("{}; not followed", all.join(", ")))
}

fn login_in_words(login: &Login) -> String {
    let scheme = login.scheme.as_deref().map_or_else(String::new, |scheme| format!(" ({scheme})"));
    match login.sent {
        true => format!("{} refused the user name and password{scheme}", things(login.count, "answer")),
        false => format!("{} asked for a user name and a password{scheme}", things(login.count, "answer")),
    }
}

fn uploads_in_words(all: &Uploads) -> String {
    let bodies = if all.begun == 1 { "body" } else { "bodies" };
    let mut parts = vec![format!(
        "{} {bodies}, {} taken whole by the device's stack",
        count(all.begun),
        count(all.taken)
    )];
    if all.answered_early > 0 {
        parts.push(format!("{} answered before that", count(all.answered_early)));
    }
    if let Some(stall) = all.longest_stall {
        let end = match stall.end {
            StallEnd::Resumed => "then it took more",
            StallEnd::Answered => "then it answered",
            StallEnd::GaveUp => "then the client gave up",
            StallEnd::Ended => "then the connection ended",
        };
        parts.push(format!(
            "{} of 1 s or longer, the longest {} after {} of {} bytes ({end})",
            things(all.stalls, "stall"),
            time_us(stall.length_ms as f64 * 1e3),
            count(stall.taken_bytes),
            count(stall.of_bytes)
        ));
    }
    parts.join("; ")
}

fn continues_in_words(all: Continues) -> String {
    let mut parts = vec![format!(
        "{} with Expect: 100-continue: {} got 100 Continue",
        things(all.asked, "request"),
        count(all.continued)
    )];
    if all.not_heard > 0 {
        parts.push(format!(
            "{} got nothing within 1 s, and the body was sent all the same",
            count(all.not_heard)
        ));
    }
    if all.answered > 0 {
        parts.push(format!("{} got the answer at once, and no body was sent", count(all.answered)));
    }
    parts.join("; ")
}

fn left_behind(connections: &str) -> String {
    format!("{connections} closed as a response had said, with requests behind it, which were sent again")
}

fn tls_in_words(tls: &TlsFigures) -> Vec<String> {
    let shaken = |n: u64, kind: &str, median: Option<u64>| {
        let median = median.map_or_else(String::new, |us| format!(" (median {})", time_us(us as f64)));
        positive(n, kind).map(|text| format!("{text}{median}"))
    };
    let mut parts = Vec::new();
    parts.extend(shaken(tls.full, "full handshake", tls.full_median_us));
    parts.extend(shaken(tls.resumed, "resumed handshake", tls.resumed_median_us));
    parts.extend(tls.first.clone());
    parts.extend(
        positive(tls.without_close_notify, "connection")
            .map(|text| format!("{text} ended without close_notify")),
    );
    if let Some(free) = tls.handshake_heap_free_bytes {
        parts.push(format!("least free heap during a handshake {}", things(free, "byte")));
    }
    let mut lines = Vec::new();
    if !parts.is_empty() {
        lines.push(parts.join(", "));
    }
    lines.extend(tls.failures.iter().map(|(fault, seen)| {
        let detail = if seen.detail.is_empty() { String::new() } else { format!(" ({})", seen.detail) };
        format!("{} {}: {}{detail}", fault.name(), count(seen.count), fault.in_words())
    }));
    lines
}
