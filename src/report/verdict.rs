//! The verdict in one line, and the remarks that go with it.

use crate::diagnose::{Check, Mark, Severity};

use super::human::{count, found};
use super::{Report, ThresholdStatus, Verdict, Workload};

/// The verdict and its reason, in one line without an end.
#[must_use]
pub fn verdict_line(r: &Report) -> String {
    let (word, reason) = match r.verdict {
        _ if r.thresholds.is_empty() => ("done", "no gate was asked for".to_owned()),
        Verdict::Pass => ("pass", holds(r)),
        Verdict::Fail => ("fail", listed(r, ThresholdStatus::Fail)),
        Verdict::Inconclusive => ("inconclusive", listed(r, ThresholdStatus::Inconclusive)),
    };
    let mut line = format!("{word}: {reason}");
    for remark in r.remarks.iter().filter(|remark| !reason.contains(remark.as_str())) {
        line.push_str("; ");
        line.push_str(remark);
    }
    if r.interrupted {
        line.push_str("; interrupted");
    }
    line.replace(['\n', '\r'], " ")
}

fn holds(r: &Report) -> String {
    match r.thresholds.as_slice() {
        [one] => format!("`{}` holds", one.expr),
        all => format!("all {} gates hold", all.len()),
    }
}

/// The gates of a status: the first with what was found, and how many more.
fn listed(r: &Report, status: ThresholdStatus) -> String {
    let mut rows = r.thresholds.iter().filter(|row| row.status == status);
    let Some(first) = rows.next() else { return "a gate".into() };
    let more = rows.count();
    let mut text = match (status, &first.reason) {
        (ThresholdStatus::Fail, _) => format!("`{}` is broken, found {}", first.expr, found(first)),
        (_, Some(reason)) => format!("`{}` cannot be judged: {reason}", first.expr),
        (_, None) => format!("`{}` cannot be judged", first.expr),
    };
    if status == ThresholdStatus::Fail && first.expr.starts_with("findings.") {
        let ids: Vec<&str> = r.findings.iter().map(|finding| finding.id.name()).collect();
        if !ids.is_empty() {
            text.push_str(&format!(" ({})", ids.join(", ")));
        }
    }
    if more > 0 {
        text.push_str(&format!(", and {more} more"));
    }
    text
}

impl Report {
    /// A doctor's check that went badly while no finding says why.
    #[must_use]
    pub fn unexplained_cross(&self) -> Option<&Check> {
        let told = self.findings.iter().any(|f| f.severity != Severity::Info);
        let checks = &self.examination.as_ref()?.checks;
        checks.iter().find(|check| check.mark == Mark::Bad && !told)
    }

    /// Writes down what the verdict leaves open, and what it does not count against the device.
    pub fn note_remarks(&mut self) {
        let capacity = self.target.capacity;
        let remarks = self.workloads.iter().flat_map(|w| [not_done(w), beyond(w, capacity)]);
        let remarks: Vec<String> = remarks.flatten().collect();
        self.remarks.extend(remarks);
    }
}

fn not_done(w: &Workload) -> Option<String> {
    w.not_done().map(|reason| format!("{} could not do its job: {reason}", w.name))
}

/// A run in which most attempts failed for want of room is no fault of the device's, and no plain success either.
fn beyond(w: &Workload, capacity: Option<u64>) -> Option<String> {
    let capacity = capacity?;
    let at_once = w.params.get("connections")?.as_u64()?;
    let failed = w.failures.of_device();
    let most = failed.saturating_mul(2) > w.attempts;
    (w.half_open.is_none() && at_once > capacity && most).then(|| {
        format!(
            "{} of {} attempts failed: {} {at_once} at once, beyond the capacity of {capacity} that the device states",
            count(failed),
            count(w.attempts),
            w.name
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{AccountRow, Accounted, Examination};
    use crate::event::Failure;
    use crate::report::style::Style;
    use crate::report::thresholds::Gates;
    use crate::report::{OutageSummary, Target, TargetKind};
    use crate::stats::{Phase, Recorder};

    fn report(connections: u64, failed: usize) -> Report {
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

    fn judged(mut r: Report) -> Report {
        r.note_remarks();
        Gates::from_expressions::<&str>(&[]).unwrap().judge(&mut r);
        r
    }

    #[test]
    fn a_pass_in_which_most_failed_for_want_of_room_says_so_in_its_own_line() {
        let line = verdict_line(&judged(report(16, 8)));
        assert!(line.starts_with("pass: `findings.error == 0` holds; 8 of 10 attempts failed: "), "{line}");
        assert!(line.ends_with("beyond the capacity of 5 that the device states"), "{line}");
        for within in [report(4, 8), report(16, 2)] {
            assert!(!verdict_line(&judged(within)).contains("capacity"));
        }
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
        let page = crate::report::text::page(&crossed, &Style::default());
        assert!(page.contains("Something is wrong, and no finding says what"), "{page}");
        assert!(!page.contains("Nothing is wrong"), "{page}");
        let well = examined(Mark::Good);
        assert_eq!(well.verdict, Verdict::Pass);
        assert!(crate::report::text::page(&well, &Style::default()).contains("Nothing is wrong"));
    }

    #[test]
    fn failures_that_nothing_explains_leave_the_usual_gate_open() {
        let mut r = report(4, 2);
        r.account.push(AccountRow {
            workload: "head".into(),
            accounted: Accounted::Unexplained,
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
        assert!(line.starts_with("inconclusive: ") && line.contains("vanishing"), "{line}");
    }
}
