//! The twin's own console: the finding quotes the device's words.

use super::*;
use espstress_report::{TimelineKind, TimelineSource};

#[test]
fn the_limit_is_named_with_the_devices_own_line() {
    let Some(report) = on_twin(
        "half-open twin --persona leaky --console-style idf --connections 8 --baseline 300ms --expect-reclaim 1s \
         --watch-reclaim 1500ms --client-interval 200ms --watch 0s",
    ) else {
        return;
    };
    let console = report.console.as_ref().expect("the twin prints one");
    assert!(console.counts.contains_key("accept ENFILE"), "{:?}", console.counts);
    let quoted = report.findings.iter().flat_map(|f| &f.evidence);
    let quoted: Vec<_> =
        quoted.filter(|line| line.contains("httpd_accept_conn: error in accept (23)")).collect();
    assert!(quoted.iter().any(|line| line.contains("ENFILE - no free socket")), "{:?}", report.findings);
    let rows = report.timeline.rows.iter();
    let errors = rows.filter(|row| row.kind == TimelineKind::Error && row.source == TimelineSource::Console);
    assert!(errors.count() > 0, "{:?}", report.timeline);
}

#[cfg(feature = "long")]
#[test]
fn a_twin_that_restarts_says_so_on_its_console_and_the_restart_is_counted_once() {
    let Some(report) =
        on_twin("head twin --persona rebooting:every=4s --console-style idf --duration 10s --rate 20/s")
    else {
        return;
    };
    let starts = report.console.as_ref().unwrap().counts.get("restart").copied().unwrap_or(0);
    assert!((1..=3).contains(&starts), "{:?}", report.console);
    assert_eq!(report.telemetry.as_ref().unwrap().reboots, Some(starts), "{:?}", report.timeline);
}
