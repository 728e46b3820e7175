//! Through outages: what was acknowledged stays acknowledged, and nothing is held against a device that recovers.

use espstress_report::Reading;

use super::{clean, on_twins, says};

#[test]
fn a_robust_device_comes_through_twenty_outages_of_a_tenth_to_ten_seconds() {
    // Lengths spread evenly over the orders of magnitude: five in each half decade, side by side. Beats and quiet are
    // shorter than by default, so that most of the time goes into the outages.
    let rule = "--heartbeat 500ms --peer-timeout 1s --stable 1s --every 1s --cycles 5 --seed 7";
    let runs = ["100ms-316ms", "316ms-1s", "1s-3162ms", "3162ms-10s"];
    let runs = runs.map(|length| format!("outage twin --by link -c 4 --outage {length} {rule}"));
    let Some(reports) = on_twins(runs.each_ref().map(String::as_str)) else { return };
    let mut outages = 0;
    for report in &reports {
        says(report, &[]);
        let sum = report.workloads[0].outage_summary.as_ref().expect("a summary");
        println!("to the device {:?}\nfrom the device {:?}", sum.to_device, sum.to_host);
        assert!(sum.messages_balance && sum.contradictions == 0 && sum.sessions_forgotten == 0, "{sum:?}");
        assert_eq!((sum.unrecovered, sum.to_device.duplicates, sum.to_host.duplicates), (0, 0, 0), "{sum:?}");
        assert!(sum.to_device.acknowledged > 0 && sum.to_host.acknowledged > 0, "{sum:?}");
        let rows = report.workloads[0].outages.as_deref().unwrap_or_default();
        for row in rows {
            outages += 1;
            assert!(row.recovery_s.is_some(), "{row:?}");
            assert_eq!(row.messages_duplicated, 0, "{row:?}");
        }
    }
    assert_eq!(outages, 20);
}

#[test]
fn quick_heartbeats_through_a_long_outage_leave_a_robust_device_its_memory() {
    // Given up by the host, which comes back; and kept, with all that was under way coming late.
    let run = "outage twin --by link -c 4 --heartbeat 250ms --cycles 1 --outage 10s --every 1s --idle 2s";
    let runs = [run.to_owned(), format!("{run} --peer-timeout 30s")];
    let Some(reports) = on_twins(runs.each_ref().map(String::as_str)) else { return };
    for report in &reports {
        says(report, &[]);
        clean(report);
        let sum = report.workloads[0].outage_summary.as_ref().expect("a summary");
        assert!(sum.messages_balance && sum.contradictions == 0 && sum.sessions_forgotten == 0, "{sum:?}");
        assert_eq!((sum.made, sum.unrecovered), (1, 0), "{sum:?}");
        // The least that was ever free, told after the outage.
        let telemetry = report.telemetry.as_ref().expect("telemetry");
        let least = telemetry.summary.get(&Reading::HeapMinFreeBytes).expect("its heap").min;
        println!("{least} B free at least; from the device {:?}", sum.to_host);
        assert!(least > 20_000.0, "{least} B of {:?}", telemetry.heap_total_bytes);
    }
    let fates = reports.each_ref().map(|report| {
        let sum = report.workloads[0].outage_summary.as_ref().expect("a summary");
        (sum.connections.lived, sum.connections.died)
    });
    assert_eq!(fates, [(0, 4), (4, 0)]);
}
