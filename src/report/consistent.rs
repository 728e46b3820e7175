//! Whether a report that was read contradicts itself: a verdict that somebody changed by hand, or half of a report.

use super::thresholds::{DEFAULT_GATE, is_kept};
use super::{Report, ThresholdStatus, Verdict};
use espstress_diagnose::Severity;

impl Verdict {
    /// Whether this one claims more than `other`.
    #[must_use]
    pub fn is_better_than(self, other: Self) -> bool {
        let rank = |verdict| match verdict {
            Self::Pass => 0,
            Self::Inconclusive => 1,
            Self::Fail => 2,
        };
        rank(self) < rank(other)
    }
}

impl Report {
    /// In what its verdict or a gate claims more than the rest of it shows; `None` where nothing does.
    #[must_use]
    pub fn contradiction(&self) -> Option<String> {
        let names: Vec<&str> = self.workloads.iter().map(|w| w.name.as_str()).collect();
        let errors = self.findings.iter().filter(|finding| finding.severity == Severity::Error).count();
        for row in self.thresholds.iter().filter(|row| row.status == ThresholdStatus::Pass) {
            if row.value.is_some_and(|value| is_kept(&row.expr, value, &names) == Some(false)) {
                return Some(format!("its gate `{}` passes with the value {}", row.expr, row.value?));
            }
            if row.expr == DEFAULT_GATE && errors > 0 {
                return Some(format!(
                    "its gate `{}` passes, and {errors} of its findings are errors",
                    row.expr
                ));
            }
        }
        let by_gates = Verdict::of(&self.thresholds);
        if !self.verdict.is_better_than(by_gates) {
            return None;
        }
        let row = self.thresholds.iter().find(|row| Verdict::of(std::slice::from_ref(*row)) == by_gates)?;
        let is = if by_gates == Verdict::Fail { "failed" } else { "could not be judged" };
        Some(format!("its verdict is {}, and its gate `{}` {is}", self.verdict.name(), row.expr))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Target, TargetKind, ThresholdRow, Unit, from_json, to_json};

    fn report(verdict: Verdict, status: ThresholdStatus, value: f64) -> Report {
        let mut r = Report::new(Target::new("127.0.0.1", TargetKind::Sim), serde_json::json!({}), 7, 0);
        r.verdict = verdict;
        r.thresholds.push(ThresholdRow {
            expr: DEFAULT_GATE.into(),
            value: Some(value),
            unit: Unit::Count,
            status,
            reason: None,
        });
        r
    }

    #[test]
    fn a_report_that_claims_more_than_its_gates_show_is_refused() {
        use ThresholdStatus::{Fail, Inconclusive, Pass};
        for (verdict, status, value, said) in [
            (Verdict::Pass, Fail, 1.0, "`findings.error == 0` failed"),
            (Verdict::Inconclusive, Fail, 1.0, "`findings.error == 0` failed"),
            (Verdict::Pass, Inconclusive, 0.0, "could not be judged"),
            (Verdict::Pass, Pass, 1.0, "passes with the value 1"),
        ] {
            let error =
                from_json("lie.json", &to_json(&report(verdict, status, value))).unwrap_err().to_string();
            assert!(error.contains("lie.json") && error.contains(said), "{error}");
        }
        for (verdict, status, value) in
            [(Verdict::Pass, Pass, 0.0), (Verdict::Inconclusive, Pass, 0.0), (Verdict::Fail, Fail, 1.0)]
        {
            from_json("x.json", &to_json(&report(verdict, status, value))).unwrap();
        }
    }

    #[test]
    fn the_usual_gate_does_not_pass_beside_an_error_whatever_value_was_written_down() {
        let with = |expr: &str, severity| {
            let mut r = report(Verdict::Pass, ThresholdStatus::Pass, 0.0);
            r.thresholds[0].expr = expr.into();
            r.findings.push(espstress_diagnose::Finding {
                id: espstress_diagnose::FindingId::HeapLeak,
                severity,
                statement: String::new(),
                evidence: Vec::new(),
                cause: String::new(),
                change: String::new(),
            });
            r.contradiction()
        };
        let said = "its gate `findings.error == 0` passes, and 1 of its findings are errors";
        assert_eq!(with(DEFAULT_GATE, Severity::Error).as_deref(), Some(said));
        assert_eq!(with(DEFAULT_GATE, Severity::Warning), None);
        assert_eq!(with("findings.warning == 0", Severity::Error), None);
    }

    #[test]
    fn a_gate_that_did_not_pass_may_have_any_value() {
        for status in [ThresholdStatus::Fail, ThresholdStatus::Inconclusive] {
            assert_eq!(report(Verdict::Fail, status, 1.0).contradiction(), None);
        }
    }
}
