//! `answers_repeated`: the device answers a message more than once.
//!
//! Evidence: answers of `rw` that name their message (`framed`, `line`, `websocket`), whose every byte is right, and that had come
//! before on the same connection. TCP delivers each byte once, so the program sent them twice.
//!
//! Neighbours: an answer in the place of another one that never comes, which is a wrong answer (`corrupt_payload`); an answer
//! behind those to later messages (`out_of_order`); datagrams, which the path may double.
//!
//! Severity: a warning. No request fails by it, and a client that counts answers is off by one from there on.

use super::super::{Evidence, Finding, FindingId, Severity, WorkloadEvidence};
use super::text::things;
use super::{FindingEntry, rest};

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::AnswersRepeated,
    severity: Severity::Warning,
    meaning: "the device sent the same answer to a message more than once",
    needs: "rw with the protocol framed, line or websocket",
    neighbours: "wrong answers; answers in another order; doubled datagrams",
    change: "send each message back once; don't send again what send() has taken",
};

fn repeated(w: &WorkloadEvidence) -> u64 {
    w.by_protocol.as_ref().map_or(0, |by| by.repeated)
}

pub(super) fn find(e: &Evidence<'_>) -> Option<Finding> {
    let all = || e.workloads.iter().filter(|w| repeated(w) > 0);
    let w = all().max_by_key(|w| repeated(w))?;
    let line = |w: &WorkloadEvidence| format!("{}: {} came again", w.name, things(repeated(w), "answer"));
    let statement = format!(
        "The device sent {} again that it had sent before on the same connection; {} succeeded.",
        things(repeated(w), "answer"),
        things(w.succeeded, "request")
    );
    Some(Finding {
        id: FindingId::AnswersRepeated,
        severity: Severity::Warning,
        statement: rest::of_workload(e, w, statement),
        evidence: all().map(line).collect(),
        cause: "the program sends some messages back twice: it handles one again, or repeats a send that had succeeded".into(),
        change: "send each message back once; check whether the program calls send again after a part was taken or after a \
                 time-out"
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use espstress_event::ByProtocol;

    #[test]
    fn answers_that_came_again_are_named_and_fail_nothing() {
        let said = |repeated| {
            let by = ByProtocol { repeated, ..ByProtocol::default() };
            let w = WorkloadEvidence {
                succeeded: 600,
                by_protocol: Some(Box::new(by)),
                ..WorkloadEvidence::default()
            };
            find(&Evidence { workloads: vec![w], ..Evidence::default() })
        };
        let found = said(6).unwrap();
        assert_eq!(
            (found.severity, found.statement.as_str()),
            (
                Severity::Warning,
                "The device sent 6 answers again that it had sent before on the same connection; 600 requests succeeded."
            )
        );
        assert_eq!(said(0), None);
    }
}
