//! The verdict in one line, and the remarks that go with it.

use std::collections::BTreeMap;

use espstress_diagnose::{AccountRow, Accounted, Check, Mark, Severity};
use espstress_event::{Failure, WorkloadKind};

use super::human::{count, found, things};

use super::{Report, ThresholdRow, ThresholdStatus, Verdict, Workload};

/// The verdict and its reason, in one line without an end.
#[must_use]
pub fn verdict_line(r: &Report) -> String {
    let (word, reason) = match r.verdict {
        _ if r.thresholds.is_empty() => ("done", "no gate was set".to_owned()),
        Verdict::Pass => ("pass", holds(r)),
        Verdict::Fail => ("fail", first_of(&r.verdict_reasons)),
        Verdict::Inconclusive => ("inconclusive", first_of(&r.verdict_reasons)),
    };
    let mut line = format!("{word}: {reason}");
    let failed = failed(r);
    for text in [&failed, &stopped(r)].into_iter().flatten() {
        line.push_str("; ");
        line.push_str(text);
    }
    // `15 of 20 attempts failed: ` is said already.
    let said = failed.as_deref().and_then(|text| Some(text.split_at(text.find(": ")? + 2).0));
    for remark in r.remarks.iter().filter(|remark| !reason.contains(remark.as_str())) {
        line.push_str("; ");
        line.push_str(said.and_then(|said| remark.strip_prefix(said)).unwrap_or(remark));
    }
    if r.interrupted {
        line.push_str("; interrupted");
    }
    line.replace(['\n', '\r'], " ")
}

/// What failed, and how often: `15 of 2,017 attempts failed: connect_timeout 12, read_reset 3`.
fn failed(r: &Report) -> Option<String> {
    let named = failures(r, |failure| !failure.is_host());
    let failed: u64 = named.values().sum();
    let attempts: u64 = asking(r).map(|w| w.attempts).sum();
    let names: Vec<String> = named.iter().map(|(f, n)| format!("{} {}", f.name(), count(*n))).collect();
    let of_others =
        |row: &&AccountRow| row.accounted == Accounted::Excused && row.by.as_deref() != Some("host");
    let excused: u64 = r.account.iter().filter(of_others).map(|row| row.attempts).sum();
    let excused = if excused > 0 { format!(" ({} excused)", count(excused)) } else { String::new() };
    (failed > 0).then(|| {
        format!("{} of {} failed: {}{excused}", count(failed), things(attempts, "attempt"), names.join(", "))
    })
}

/// What this machine stopped.
fn stopped(r: &Report) -> Option<String> {
    let named = failures(r, Failure::is_host);
    let names: Vec<String> = named.iter().map(|(f, n)| format!("{} {}", f.name(), count(*n))).collect();
    (!named.is_empty()).then(|| format!("limits of this machine: {}", names.join(", ")))
}

/// All workloads but the doctor's look at ports that nobody has promised: a closed one is an answer and no failure.
fn asking(r: &Report) -> impl Iterator<Item = &Workload> {
    r.workloads.iter().filter(|w| w.kind != "ports")
}

/// Failures of all workloads by name.
fn failures(r: &Report, which: fn(Failure) -> bool) -> BTreeMap<Failure, u64> {
    let mut named = BTreeMap::new();
    for (failure, n) in asking(r).flat_map(|w| w.failures.iter()).filter(|(f, _)| which(*f)) {
        *named.entry(failure).or_default() += n;
    }
    named
}

fn holds(r: &Report) -> String {
    match r.thresholds.as_slice() {
        [one] => format!("`{}` passes", one.expr),
        all => format!("all {} gates pass", all.len()),
    }
}

/// The first reason, and how many more there are.
fn first_of(reasons: &[String]) -> String {
    match reasons {
        [] => "a gate".to_owned(),
        [one] => one.clone(),
        [first, more @ ..] => format!("{first}, and {} more", more.len()),
    }
}

/// What a gate says, where it doesn't hold.
fn said_by(row: &ThresholdRow, r: &Report) -> Option<String> {
    match (row.status, &row.reason) {
        (ThresholdStatus::Pass, _) => None,
        (ThresholdStatus::Inconclusive, Some(reason)) => {
            Some(format!("can't judge `{}`: {reason}", row.expr))
        }
        (ThresholdStatus::Inconclusive, None) => Some(format!("can't judge `{}`", row.expr)),
        (ThresholdStatus::Fail, _) => {
            let mut text = format!("`{}` fails: found {}", row.expr, found(row));
            // Those that the gate counts: of one severity, or the one that it names.
            let counted = |f: &&espstress_diagnose::Finding| {
                let of = row
                    .expr
                    .strip_prefix("findings.")
                    .and_then(|rest| rest.split([' ', '<', '>', '=', '!']).next());
                of.is_some_and(|of| of == f.severity.name() || of == f.id.name())
            };
            let ids: Vec<&str> = r.findings.iter().filter(counted).map(|finding| finding.id.name()).collect();
            if !ids.is_empty() {
                text.push_str(&format!(" ({})", ids.join(", ")));
            }
            Some(text)
        }
    }
}

/// What the gates come to together with what the run could not do, and why: a run that tested nothing, or that ended
/// before it had seen what it judges, passes no gate.
pub(super) fn conclude(r: &Report) -> (Verdict, Vec<String>) {
    let verdict = Verdict::of(&r.thresholds);
    let says = |status| r.thresholds.iter().filter(move |row| row.status == status);
    let mut reasons: Vec<String> = match verdict {
        Verdict::Fail => says(ThresholdStatus::Fail).filter_map(|row| said_by(row, r)).collect(),
        Verdict::Pass | Verdict::Inconclusive => {
            says(ThresholdStatus::Inconclusive).filter_map(|row| said_by(row, r)).collect()
        }
    };
    if verdict == Verdict::Fail || r.thresholds.is_empty() {
        return (verdict, reasons);
    }
    let open = r.left_open().filter(|why| !reasons.iter().any(|said| said.contains(why)));
    let open: Vec<String> = open.collect();
    reasons.extend(open);
    (if reasons.is_empty() { Verdict::Pass } else { Verdict::Inconclusive }, reasons)
}

impl Report {
    /// Why the verdict is open, as far as no gate and no remark says so already.
    pub(crate) fn open_reasons(&self) -> impl Iterator<Item = &str> {
        let open = self.verdict_reasons.iter().filter(|_| self.verdict == Verdict::Inconclusive);
        let said = |reason: &&String| reason.starts_with("can't judge `") || self.remarks.contains(reason);
        open.filter(move |reason| !said(reason)).map(String::as_str)
    }

    /// A doctor's check that went badly while no finding says why.
    #[must_use]
    pub(crate) fn unexplained_cross(&self) -> Option<&Check> {
        let told = self.findings.iter().any(|f| f.severity != Severity::Info);
        let checks = &self.examination.as_ref()?.checks;
        checks.iter().find(|check| check.mark == Mark::Bad && !told)
    }

    /// Takes what a doctor has seen: of its steps one that did nothing leaves nothing open, its check says why.
    pub fn examined(&mut self, examination: espstress_diagnose::Examination) {
        let untested = self.untested();
        self.examination = Some(examination);
        if self.untested().is_none() {
            self.remarks.retain(|remark| Some(remark) != untested.as_ref());
        }
    }

    /// The workloads that the scenario has, by name, whether they began or not.
    pub(crate) fn planned(&self) -> impl Iterator<Item = &str> {
        let phases = self.scenario.get("phase").and_then(|phases| phases.as_array());
        phases.into_iter().flatten().filter_map(|phase| phase.get("name")?.as_str())
    }

    /// The optional workloads that were left out, by name, each with the reason.
    pub(crate) fn left_out(&self) -> impl Iterator<Item = (&str, &str)> {
        let phases = self.scenario.get("left_out").and_then(|phases| phases.as_array());
        let each = phases.into_iter().flatten();
        each.filter_map(|phase| Some((phase.get("name")?.as_str()?, phase.get("reason")?.as_str()?)))
    }

    /// Why a workload of the scenario measured nothing.
    pub(crate) fn why_not_run(&self, name: &str) -> String {
        match self.left_out().find(|(left_out, _)| *left_out == name) {
            Some((_, reason)) => format!("{name} was left out: {reason}"),
            None if self.interrupted => format!("the run was stopped before {name} began"),
            None => format!("{name} did not begin"),
        }
    }

    /// Why the run tested nothing of what a workload of it is for; `None` when each did something.
    #[must_use]
    pub(crate) fn untested(&self) -> Option<String> {
        // A doctor leaves out steps that would do harm, and ends those that take too long.
        if self.examination.is_some() && self.workloads.iter().any(Workload::asked) {
            return None;
        }
        let Some(w) = self.workloads.iter().find(|w| !w.asked()) else {
            let none = || "the run made no attempts: nothing was tested".to_owned();
            return self.workloads.is_empty().then(none);
        };
        // What others tested is told beside it.
        let nothing = if self.workloads.iter().any(Workload::asked) {
            "it tested nothing"
        } else {
            "nothing was tested"
        };
        Some(match w.not_done_in_words() {
            Some(why) => why,
            None if w.attempts > 0 => {
                format!("limits of this machine stopped every attempt of {}: {nothing}", w.name)
            }
            None if w
                .by_protocol
                .as_ref()
                .and_then(|by| by.sse.as_ref())
                .is_some_and(|sse| sse.streams > 0) =>
            {
                format!("no event came on the streams of {}: nothing more was tested", w.name)
            }
            None if w.unfinished > 0 => format!(
                "{} finished no attempt: {} under way when it ended, so {nothing}",
                w.name,
                if w.unfinished == 1 { "one was".to_owned() } else { format!("{} were", w.unfinished) }
            ),
            None => format!("{} made no attempts: {nothing}", w.name),
        })
    }

    /// Whether a finding says that the device is at fault, and a gate has taken that into account. Gates of the user's own
    /// may ask for figures alone, which say little of a device that served nothing.
    fn fault_is_judged(&self) -> bool {
        let judged =
            self.thresholds.is_empty() || self.thresholds.iter().any(|row| row.expr.starts_with("finding"));
        judged && self.findings.iter().any(|f| f.severity == Severity::Error)
    }

    /// A run that was served nothing measured nothing of the device's service, whatever explains it.
    fn unserved(&self) -> Option<String> {
        let errors = self.fault_is_judged();
        let asks = |w: &&Workload| matches!(w.does(), Some(WorkloadKind::Head | WorkloadKind::Rw));
        let served = self.workloads.iter().any(|w| w.succeeded > 0);
        let judged = !errors && !served && self.examination.is_none();
        let w = self.workloads.iter().filter(|_| judged).filter(asks).find(|w| w.attempts > 0)?;
        if w.failures.of_device() > 0 && w.failures.get(Failure::SlowGivenUp) == w.failures.of_device() {
            return Some(format!(
                "the device gave up every slow client of {}, which is no fault: nothing more of its service was measured",
                w.name
            ));
        }
        Some(format!("no attempt of {} succeeded: nothing of the device's service was measured", w.name))
    }

    /// Why a run that only its end can judge, as a doctor's, was not judged to the end.
    fn ended_early(&self) -> Option<String> {
        let by_its_end = self.examination.is_some() || self.workloads.iter().any(|w| w.half_open.is_some());
        self.findings_incomplete.clone().filter(|_| by_its_end)
    }

    /// What the run did not see that it was to see, whatever its gates are.
    pub(super) fn left_open(&self) -> impl Iterator<Item = String> {
        [self.untested(), self.unserved(), self.ended_early(), self.not_back(), self.mqtt_open()]
            .into_iter()
            .flatten()
    }

    /// A device that had dialled in and was away at the end, where no finding says that it is gone.
    fn not_back(&self) -> Option<String> {
        if self.fault_is_judged() {
            return None;
        }
        self.workloads.iter().find_map(|w| {
            let mut devices = w.outage_summary.as_ref()?.dialled.iter();
            let (id, since) = devices.find_map(|d| Some((d.id, d.away_since_s?)))?;
            let name = &w.name;
            Some(format!(
                "device {id} was disconnected when {name} ended, since {since:.1} s: too short to say that it \
                 won't come back"
            ))
        })
    }

    /// What a broker did not see of its device: a run too short for its keep-alive, a device that was not back, or a log
    /// that lacks its end.
    fn mqtt_open(&self) -> Option<String> {
        if self.fault_is_judged() {
            return None;
        }
        let brokers = self.workloads.iter().filter(|w| w.does() == Some(WorkloadKind::Mqtt));
        brokers.filter(|w| w.not_done().is_none()).find_map(|w| {
            let why = match &w.mqtt {
                None => Some("what it measured is not in the log of a run that did not end".to_owned()),
                Some(m) => m
                    .incomplete
                    .clone()
                    .or_else(|| m.too_short())
                    .or_else(|| m.not_back())
                    .or_else(|| m.away())
                    .or_else(|| m.messages_open())
                    .or_else(|| m.nothing_published()),
            };
            why.map(|why| format!("{}: {why}", w.name))
        })
    }

    /// What the verdict leaves open, and what it does not count against the device, in sentences.
    pub(super) fn standing_remarks(&self) -> Vec<String> {
        let capacity = self.target.capacity;
        // What is held against the device is not excused beside it.
        let blamed = self.findings.iter().any(|finding| finding.severity == Severity::Error);
        let remarks = self
            .workloads
            .iter()
            .flat_map(|w| [not_done(w), beyond(w, capacity).filter(|_| !blamed), no_pongs(w)]);
        remarks.chain([self.untested(), self.not_back(), self.mqtt_open()]).flatten().collect()
    }

    /// Writes these down.
    pub fn note_remarks(&mut self) {
        for remark in self.standing_remarks() {
            if !self.remarks.contains(&remark) {
                self.remarks.push(remark);
            }
        }
    }
}

fn not_done(w: &Workload) -> Option<String> {
    w.not_done_in_words()
}

/// A WebSocket server that answers messages has to answer pings as well.
pub(crate) fn no_pongs(w: &Workload) -> Option<String> {
    let ws = w.by_protocol.as_ref()?.websocket.as_ref()?;
    (ws.pings >= 2 && ws.pongs == 0).then(|| {
        format!(
            "{}: the device answered none of {} WebSocket pings, which it must (RFC 6455, 5.5.2)",
            w.name, ws.pings
        )
    })
}

/// A run in which most attempts failed for want of room is no fault of the device's, and no plain success either.
fn beyond(w: &Workload, capacity: Option<u64>) -> Option<String> {
    let capacity = capacity?;
    let at_once = w.ran().connections?;
    let failed = w.failures.of_device();
    let most = failed.saturating_mul(2) > w.attempts;
    (w.half_open.is_none() && at_once > capacity && most).then(|| {
        format!(
            "{} of {} attempts failed: {} {at_once} at once, more than the {capacity} the device has room for",
            count(failed),
            count(w.attempts),
            w.name
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::style::Style;
    use crate::thresholds::Gates;
    use crate::{OutageSummary, Target, TargetKind};
    use espstress_diagnose::{Examination, Finding, FindingId};
    use espstress_event::{ByProtocol, WebSockets};
    use espstress_stats::{Phase, Recorder};

    pub(super) fn report(connections: u64, failed: usize) -> Report {
        let mut target = Target::new("127.0.0.1:80", TargetKind::Sim);
        target.capacity = Some(5);
        let mut r = Report::new(target, serde_json::json!({}), 1, 0);
        let mut recorder = Recorder::new(0, Phase::Total);
        (0..10).for_each(|i| {
            recorder.attempt(0, 1, if i < failed { Err(Failure::ConnectTimeout) } else { Ok(()) })
        });
        let params = serde_json::json!({ "connections": connections });
        r.workloads.push(Workload::from_stats("head", "head", params, &recorder.finish(1_000_000_000)));
        r
    }

    pub(super) fn judged(mut r: Report) -> Report {
        r.note_remarks();
        Gates::from_expressions::<&str>(&[]).unwrap().judge(&mut r);
        r
    }

    #[test]
    fn how_many_failed_is_said_once_in_the_line_and_not_excused_beside_an_error() {
        let line = verdict_line(&judged(report(16, 8)));
        assert_eq!(line.matches("8 of 10 attempts failed").count(), 1, "{line}");
        let mut r = report(16, 8);
        r.findings.push(Finding {
            id: FindingId::AcceptOverflow,
            severity: Severity::Error,
            statement: String::new(),
            evidence: Vec::new(),
            cause: String::new(),
            change: String::new(),
        });
        assert!(!verdict_line(&judged(r)).contains("has room for"));
    }

    #[test]
    fn a_pass_in_which_most_failed_for_want_of_room_says_so_in_its_own_line() {
        let line = verdict_line(&judged(report(16, 8)));
        assert!(line.starts_with("pass: `findings.error == 0` passes; 8 of 10 attempts failed: "), "{line}");
        assert!(line.ends_with("more than the 5 the device has room for"), "{line}");
        for within in [report(4, 8), report(5, 8), report(16, 2), report(16, 5)] {
            assert!(!verdict_line(&judged(within)).contains("has room for"));
        }
    }

    #[test]
    fn a_closed_port_that_the_doctor_has_knocked_at_is_no_failure() {
        let mut r = report(4, 0);
        let look =
            Workload { name: "ports".into(), kind: "ports".into(), ..report(1, 3).workloads.remove(0) };
        r.workloads.push(look);
        assert_eq!(verdict_line(&judged(r)), "pass: `findings.error == 0` passes");
    }

    #[test]
    fn a_gate_on_a_figure_passes_no_run_that_was_served_nothing() {
        let mut r = report(1, 10);
        r.findings.push(Finding {
            id: FindingId::NoEcho,
            severity: Severity::Error,
            statement: "Nothing listens on this port.".into(),
            evidence: Vec::new(),
            cause: "no socket".into(),
            change: "check the port".into(),
        });
        r.note_remarks();
        Gates::from_expressions(&["head.failures.read_reset == 0"]).unwrap().judge(&mut r);
        assert_eq!(r.verdict, Verdict::Inconclusive);
        let why = "no attempt of head succeeded: nothing of the device's service was measured";
        assert_eq!(r.open_reasons().collect::<Vec<_>>(), [why]);
        let markdown = crate::format::render(&r, crate::format::Format::Markdown, &Default::default());
        for page in [crate::text::page(&r, &Style::default()), markdown.unwrap()] {
            assert!(page.contains("no attempt of head succeeded"), "{page}");
        }
    }

    #[test]
    fn a_run_that_was_served_nothing_leaves_the_verdict_open_and_one_success_does_not() {
        let nothing = judged(report(4, 10));
        assert_eq!(nothing.verdict, Verdict::Inconclusive);
        let line = verdict_line(&nothing);
        assert!(line.contains("no attempt of head succeeded"), "{line}");
        assert_eq!(judged(report(4, 9)).verdict, Verdict::Pass);
    }

    #[test]
    fn a_websocket_server_that_answers_no_ping_is_told_and_one_that_answers_some_is_not() {
        let remarks = |pings, pongs| {
            let mut r = report(4, 0);
            let websocket = Some(WebSockets { handshakes: 1, pings, pongs, ..WebSockets::default() });
            r.workloads[0].by_protocol = Some(Box::new(ByProtocol { websocket, ..ByProtocol::default() }));
            judged(r).remarks
        };
        assert!(
            remarks(7, 0).iter().any(|text| text.contains("none of 7 WebSocket pings")),
            "{:?}",
            remarks(7, 0)
        );
        assert!(remarks(7, 1).is_empty() && remarks(1, 0).is_empty());
        let page = |pongs| {
            let mut r = report(4, 0);
            let websocket = Some(WebSockets { handshakes: 1, pings: 7, pongs, ..WebSockets::default() });
            r.workloads[0].by_protocol = Some(Box::new(ByProtocol { websocket, ..ByProtocol::default() }));
            let page = crate::text::page(&judged(r), &Style::default());
            page.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let none = page(0);
        assert!(none.contains("What was noticed") && none.contains("pings, which it must"), "{none}");
        assert!(
            !none.contains("Nothing was seen") && page(1).contains("Nothing was seen to break"),
            "{none}"
        );
    }

    #[test]
    fn a_warning_beside_which_nothing_failed_broke_nothing() {
        let page = |failed, severity| {
            let mut r = report(4, failed);
            r.findings.push(Finding {
                id: FindingId::HostLimited,
                severity,
                statement: "This machine was the limit.".into(),
                evidence: Vec::new(),
                cause: String::new(),
                change: String::new(),
            });
            r.verdict = Verdict::Inconclusive;
            crate::text::page(&r, &Style::default())
        };
        let broke = |page: &str| page.contains("What broke");
        let warned = page(0, Severity::Warning);
        assert!(!broke(&warned) && warned.contains("What was noticed"), "{warned}");
        assert!(broke(&page(1, Severity::Warning)) && broke(&page(0, Severity::Error)));
    }

    #[test]
    fn a_capture_of_a_run_without_tcp_is_not_told_in_packets() {
        let mut r = judged(report(4, 0));
        r.capture = crate::Capture { packets: Some(0), ..r.capture };
        r.capture.status = crate::CaptureStatus::Complete;
        let page = crate::text::page(&r, &Style::default());
        assert!(page.contains("no TCP packets passed") && !page.contains("0 packets"), "{page}");
    }

    #[test]
    fn a_doctors_cross_that_no_finding_explains_leaves_the_verdict_open() {
        let check = |mark| Check { name: "HTTP".into(), mark, seen: "0 of 64 requests answered".into() };
        let examined = |mark| {
            let mut r = report(4, 0);
            r.examination = Some(Examination { checks: vec![check(mark)], ..Examination::default() });
            judged(r)
        };
        let crossed = examined(Mark::Bad);
        assert_eq!(crossed.verdict, Verdict::Inconclusive);
        let page = crate::text::page(&crossed, &Style::default());
        assert!(page.contains("Something is wrong, but no finding explains it"), "{page}");
        assert!(!page.contains("Nothing wrong"), "{page}");
        let well = examined(Mark::Good);
        assert_eq!(well.verdict, Verdict::Pass);
        assert!(crate::text::page(&well, &Style::default()).contains("Nothing wrong was found"));
    }

    #[test]
    fn failures_that_nothing_explains_leave_the_usual_gate_open() {
        let mut r = report(4, 2);
        r.account.push(AccountRow {
            workload: "head".into(),
            accounted: Accounted::Unexplained,
            anomalies: std::collections::BTreeMap::new(),
            by: None,
            attempts: 2,
            failures: [(Failure::ConnectTimeout, 2)].into(),
            first_s: 0.0,
            last_s: 1.0,
        });
        assert_eq!(judged(r.clone()).verdict, Verdict::Inconclusive);
        (r.account[0].accounted, r.account[0].by) = (Accounted::Excused, Some("link_away".into()));
        assert_eq!(judged(r).verdict, Verdict::Pass);
    }

    pub(super) fn of(kind: &str, attempts: usize, failure: Option<Failure>) -> Workload {
        let mut recorder = Recorder::new(0, Phase::Total);
        (0..attempts).for_each(|_| recorder.attempt(0, 1, failure.map_or(Ok(()), Err)));
        Workload::from_stats(kind, kind, serde_json::json!({}), &recorder.finish(1_000_000_000))
    }

    #[test]
    fn a_workload_without_an_attempt_leaves_the_verdict_open_whatever_the_gates_are() {
        for gates in [&[][..], &["head.failed == 0"], &["rw.failed == 0", "capture.dropped == 0"]] {
            let mut r = report(4, 0);
            r.capture = crate::Capture::seen(100, 0);
            r.workloads.push(of("rw", 0, None));
            r.note_remarks();
            Gates::from_expressions(gates).unwrap().judge(&mut r);
            assert_eq!(r.verdict, Verdict::Inconclusive, "{gates:?}");
            let line = verdict_line(&r);
            assert!(line.contains("rw made no attempts: it tested nothing"), "{line}");
            assert_eq!(line.matches("rw made no attempt").count(), 1, "{line}");
            assert!(r.verdict_reasons[0].contains("rw made no attempt"), "{:?}", r.verdict_reasons);
        }
        let mut r = report(4, 0);
        r.workloads.push(of("rw", 9, Some(Failure::HostOutOfFiles)));
        let r = judged(r);
        assert!(r.verdict_reasons[0].contains("limits of this machine stopped every attempt of rw"));
    }

    #[test]
    fn a_broken_gate_breaks_a_run_in_which_another_workload_did_nothing() {
        let mut r = report(4, 8);
        r.workloads.push(of("rw", 0, None));
        Gates::from_expressions(&["head.failed == 0"]).unwrap().judge(&mut r);
        assert_eq!((r.verdict, r.verdict_reasons.len()), (Verdict::Fail, 1));
    }

    #[test]
    fn a_device_that_is_away_at_the_end_leaves_the_verdict_open_until_a_finding_says_that_it_is_gone() {
        use espstress_diagnose::{Finding, FindingId};
        let mut r = report(4, 0);
        let away = crate::outages::DialledDevice { id: 2, away_since_s: Some(7.25), ..Default::default() };
        r.workloads[0].outage_summary =
            Some(OutageSummary { dialled: vec![away], ..OutageSummary::default() });
        let open = judged(r.clone());
        assert_eq!(open.verdict, Verdict::Inconclusive);
        assert!(verdict_line(&open).contains("device 2 was disconnected when head ended, since 7.2 s"));
        r.findings.push(Finding {
            id: FindingId::DeviceUnreachable,
            severity: Severity::Error,
            statement: String::new(),
            evidence: Vec::new(),
            cause: String::new(),
            change: String::new(),
        });
        assert_eq!(judged(r).verdict, Verdict::Fail);
    }

    #[test]
    fn an_examination_that_was_cut_off_passes_no_gate() {
        let mut r = report(4, 0);
        r.examination = Some(Examination::default());
        r.findings_incomplete = Some("the examination was ended before its last step".into());
        Gates::from_expressions(&["head.failed == 0"]).unwrap().judge(&mut r);
        assert_eq!(r.verdict, Verdict::Inconclusive);
        assert_eq!(r.verdict_reasons, ["the examination was ended before its last step"]);
    }

    #[test]
    fn a_workload_that_could_not_do_its_job_leaves_the_usual_gate_open() {
        let mut r = report(4, 0);
        let unavailable = Some("silence needs CAP_NET_ADMIN".to_owned());
        r.workloads[0].outage_summary = Some(OutageSummary { unavailable, ..OutageSummary::default() });
        let r = judged(r);
        assert_eq!(r.verdict, Verdict::Inconclusive);
        let line = verdict_line(&r);
        assert!(line.starts_with("inconclusive: ") && line.contains("CAP_NET_ADMIN"), "{line}");
        let mut r = report(4, 0);
        r.workloads[0].refused = Some("vanishing needs CAP_NET_ADMIN".to_owned());
        let line = verdict_line(&judged(r));
        assert!(line.contains("head ran, but not as asked: vanishing"), "{line}");
    }
}

#[cfg(test)]
#[path = "verdict_words_tests.rs"]
mod words_tests;
