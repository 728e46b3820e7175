//! Statuses that fail requests: what is said of each, and whose doing it is.

use crate::answers::{answered_with, asks, get, head_by_head, said, statement};
use crate::support::*;
use espstress_diagnose::*;
use espstress_event::{Failure, FailureCounts};

#[test]
fn failing_statuses_are_an_error_from_one_in_a_hundred_on_and_are_counted() {
    let w = fails_beside(answered_with(get(100), 503, 12), &[(Failure::BadStatus, 12)]);
    let case = Case::clean(w);
    assert_eq!(said(&case), [(FindingId::HttpErrors, Severity::Error)]);
    assert!(statement(&case).contains("12 of 112 requests") && statement(&case).contains("503 (12 times)"));
    let few = fails_beside(answered_with(get(1_000), 500, 2), &[(Failure::BadStatus, 2)]);
    assert_eq!(said(&Case::clean(few)), [(FindingId::HttpErrors, Severity::Warning)]);
}

#[test]
fn a_status_that_was_not_asked_for_is_told_as_what_it_is() {
    let with = |statuses: &[(u16, u64)], wrong: u16, n: u64| {
        let mut w = fails_beside(get(17), &[(Failure::BadStatus, n)]);
        w.asks.status_expected = true;
        statuses.iter().for_each(|(status, n)| w = answered_with(w.clone(), *status, *n));
        w.http.wrong_statuses.insert(wrong, n);
        Case::clean(w).findings().remove(0)
    };
    let limited = with(&[(200, 17), (429, 33)], 429, 33);
    assert!(limited.statement.ends_with(": 429 (33 times)."), "{}", limited.statement);
    assert!(limited.cause.contains("limits how often"), "{}", limited.cause);
    for status in [204, 302, 304] {
        let found = with(&[(status, 33)], status, 33);
        assert!(found.statement.contains("another status than --expect-status lists"), "{}", found.statement);
        assert!(!found.cause.contains("refuses"), "{}", found.cause);
    }
    let unknown = with(&[(501, 33)], 501, 33);
    assert!(unknown.cause.contains("this method") && unknown.change.contains("--method"), "{unknown:?}");
}

#[test]
fn a_status_is_counted_as_often_as_requests_are_that_nothing_else_explains() {
    let of = |codes: &[(u16, u64)]| {
        let mut w = WorkloadEvidence { close: ClosePolicy::Fin, ..half_open_with(|h| h.watched_ns = 10 * S) };
        let some = |n| {
            let mut failures = FailureCounts::default();
            failures.add(Failure::BadStatus, n);
            failures
        };
        w.failures = some(5);
        (w.attempts, w.succeeded) = (42, 37);
        // Two beside the silence, which excuses them, and three later.
        w.episodes = vec![episode(11, 15, 20, &some(2)), episode(50, 58, 17, &some(3))];
        for (code, n) in codes {
            w.responses.add(*code, *n);
            w.http.wrong_statuses.insert(*code, *n);
        }
        let found = Case::clean(w).findings();
        found.into_iter().find(|found| found.id == FindingId::HttpErrors).unwrap().statement
    };
    let one = of(&[(429, 5)]);
    assert!(one.starts_with("3 of 42 requests got an error status that nothing else explains"), "{one}");
    assert!(one.ends_with(": 429 (3 times)."), "{one}");
    // Which of them the three had isn't known.
    let two = of(&[(429, 3), (503, 2)]);
    assert!(two.ends_with(": 429, 503."), "{two}");
}

#[test]
fn an_option_that_a_workload_lacks_and_codes_that_nobody_knows_are_not_spoken_of() {
    let few = |h: &mut HalfOpenEvidence| h.watched_ns = 10 * S;
    let refused = |codes: &[(u16, u64)]| {
        let mut w = WorkloadEvidence { close: ClosePolicy::Fin, ..half_open_with(few) };
        w.failures = FailureCounts::default();
        w.failures.add(Failure::BadStatus, 3);
        (w.attempts, w.succeeded) = (40, 37);
        // Later than the silence excuses.
        w.episodes = vec![episode(0, 5, 20, &FailureCounts::default()), episode(50, 58, 17, &w.failures)];
        codes.iter().for_each(|(code, n)| {
            w.responses.add(*code, *n);
            w.http.wrong_statuses.insert(*code, *n);
        });
        let found = Case::clean(w).findings();
        found.into_iter().find(|found| found.id == FindingId::HttpErrors).unwrap()
    };
    let known = refused(&[(503, 3)]);
    assert!(known.statement.contains("an error status"), "{known:?}");
    assert!(known.statement.ends_with(": 503 (3 times)."), "{known:?}");
    assert!(refused(&[(429, 3)]).change.contains("--client-interval"));
    let unknown = refused(&[]);
    assert!(unknown.statement.ends_with(" s."), "{unknown:?}");
    assert!(!unknown.cause.contains("succeeded"), "{unknown:?}");
    for found in [known, unknown] {
        assert!(!format!("{found:?}").contains("--expect-status"), "{found:?}");
    }
    let stream = WorkloadEvidence { asks: Asks { protocol: Protocol::Sse, ..asks("GET") }, ..get(17) };
    for status in [202, 302, 404, 501, 503] {
        let mut w = fails_beside(stream.clone(), &[(Failure::BadStatus, 9)]);
        w.http.wrong_statuses.insert(status, 9);
        let found = Case::clean(w).findings().remove(0);
        assert!(!found.change.contains("--expect-status") && !found.change.contains("--method"), "{found:?}");
        assert!(!found.cause.contains("--expect-status"), "{found:?}");
    }
    let mut w = fails_beside(get(17), &[(Failure::BadStatus, 9)]);
    w.http.wrong_statuses.insert(101, 9);
    let other = Case::clean(w).findings().remove(0);
    assert!(other.statement.contains("another protocol") && !other.cause.contains("succeeded"), "{other:?}");
}

#[test]
fn a_503_beside_silent_connections_that_keep_their_sockets_is_explained_by_them() {
    let mut w = WorkloadEvidence { close: ClosePolicy::Fin, ..half_open_with(never_reclaimed) };
    w.failures = Default::default();
    w.failures.add(Failure::BadStatus, 20);
    w.episodes = vec![episode(0, 5, 20, &Default::default()), episode(5, 60, 0, &w.failures)];
    w.responses.add(503, 20);
    w.http.wrong_statuses.insert(503, 20);
    assert_eq!(Case::clean(w).ids(), [FindingId::HalfOpenNotReclaimed]);
}

#[test]
fn a_4xx_is_a_warning_whether_it_is_the_page_or_comes_among_others() {
    let refused = answered_with(head_by_head(20), 405, 20);
    let case = Case::clean(refused.clone());
    assert_eq!(said(&case), [(FindingId::HttpErrors, Severity::Warning)]);
    assert!(case.findings()[0].change.contains("--method GET"));
    let expected = WorkloadEvidence { asks: Asks { status_expected: true, ..asks("HEAD") }, ..refused };
    assert_eq!(Case::clean(expected).ids(), []);
    let later = |status| answered_with(answered_with(get(20), 200, 12), status, 8);
    for status in [401, 404, 429] {
        let case = Case::clean(later(status));
        assert_eq!(said(&case), [(FindingId::HttpErrors, Severity::Warning)]);
        assert!(statement(&case).starts_with("8 of 20 responses had the status"), "{}", statement(&case));
    }
    let expected = WorkloadEvidence { asks: Asks { status_expected: true, ..asks("GET") }, ..later(401) };
    assert_eq!(Case::clean(expected).ids(), []);
}

#[test]
fn a_4xx_that_fails_is_the_programs_answer_and_no_broken_handler() {
    let cause = |status| {
        let w = fails_beside(answered_with(get(100), status, 12), &[(Failure::BadStatus, 12)]);
        Case::clean(w).findings()[0].cause.clone()
    };
    for status in [401, 404, 413] {
        assert!(cause(status).contains("refuses these requests"), "{status}: {}", cause(status));
    }
    assert!(cause(503).contains("the handler failed"), "{}", cause(503));
}

/// A run of these workloads.
fn run_of(workloads: Vec<WorkloadEvidence>) -> Case {
    Case::clean(workloads[0].clone()).with(|e| e.workloads = workloads)
}

fn named(name: &str, w: WorkloadEvidence) -> WorkloadEvidence {
    WorkloadEvidence { name: name.into(), ..w }
}

#[test]
fn a_page_that_was_served_at_first_is_no_error_page_of_those_that_ask_later() {
    let first = answered_with(answered_with(head_by_head(64), 200, 30), 404, 34);
    let later = |w: WorkloadEvidence, status, n| answered_with(w, status, n);
    let case = run_of(vec![
        named("requests", first.clone()),
        named("late", later(head_by_head(6), 404, 6)),
        named("persistent", later(get(20), 404, 20)),
    ]);
    assert_eq!(said(&case), [(FindingId::HttpErrors, Severity::Warning)]);
    assert!(
        statement(&case).starts_with("60 of 90 responses had the status 404 (Not Found), and others had not"),
        "{}",
        statement(&case)
    );
    assert!(!statement(&case).contains("error page"), "{}", statement(&case));
    // A handler for GET alone is another thing.
    let only_head = run_of(vec![
        named("requests", answered_with(head_by_head(20), 200, 20)),
        named("persistent", later(get(20), 405, 20)),
    ]);
    assert!(statement(&only_head).starts_with("The device answers GET requests with 405"));
}

#[test]
fn a_rate_limit_is_told_as_one_and_its_answers_are_told_beside_those_that_failed() {
    let all = Case::clean(answered_with(head_by_head(20), 429, 20));
    assert!(statement(&all).contains("with 429 (Too Many Requests): this run measured its refusals"));
    assert!(all.findings()[0].cause.contains("limits how often"), "{:?}", all.findings());
    let failed = fails_beside(answered_with(get(100), 200, 100), &[(Failure::BadStatus, 2)]);
    let mut failed = answered_with(failed, 503, 2);
    failed.http.wrong_statuses.insert(503, 2);
    let some = answered_with(answered_with(head_by_head(64), 200, 34), 429, 30);
    let case = run_of(vec![named("persistent", failed.clone()), named("requests", some)]);
    let said = statement(&case);
    assert!(said.starts_with("30 of 166 responses had the status 429 (Too Many Requests)"), "{said}");
    assert!(said.contains("2 of 102 requests of persistent got an error status"), "{said}");
    // Beside statuses that failed requests those that failed none are told as well.
    let both = Case::clean(answered_with(failed, 404, 9));
    assert!(statement(&both).starts_with("9 of 111 responses had the status 404"), "{}", statement(&both));
}

#[test]
fn a_client_that_a_rate_limit_refused_was_not_kept_out_by_silent_connections() {
    let refused_by = |status: u16| {
        let mut w = WorkloadEvidence { close: ClosePolicy::Fin, ..half_open_with(never_reclaimed) };
        w.half_open.as_mut().unwrap().during.failures.add(Failure::BadStatus, 60);
        w.failures = FailureCounts::default();
        w.failures.add(Failure::BadStatus, 20);
        w.episodes = vec![episode(0, 5, 20, &FailureCounts::default()), episode(5, 60, 0, &w.failures)];
        w.responses.add(status, 20);
        w.http.wrong_statuses.insert(status, 20);
        Case::clean(w).no_telemetry().ids()
    };
    assert_eq!(refused_by(503), [FindingId::HalfOpenNotReclaimed]);
    assert!(!refused_by(429).contains(&FindingId::HalfOpenNotReclaimed));
}
