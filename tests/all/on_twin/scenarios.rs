//! Every built-in scenario in a short form, by what the command line can change of one.

use std::collections::BTreeSet;

use espstress_scenario::BUILT_IN;

use super::on_twin;

/// Runs a scenario, and every workload of it has done something.
#[track_caller]
fn short(scenario: &str, overrides: &str, workloads: &[&str]) {
    let Some(report) = on_twin(&format!("run {scenario} -t twin {overrides}")) else { return };
    assert_eq!(report.scenario["name"], scenario);
    let names: Vec<&str> = report.workloads.iter().map(|w| w.name.as_str()).collect();
    assert_eq!(names, workloads);
    for workload in &report.workloads {
        let failures: Vec<_> = workload.failures.iter().collect();
        assert!(workload.succeeded > 0, "{}: {failures:?}", workload.name);
    }
}

/// A test for each line, and the list of what has one.
macro_rules! short_forms {
    ($($(#[$long:meta])? $test:ident: $scenario:literal $overrides:literal => $workloads:expr;)*) => {
        $($(#[$long])?
        #[test]
        fn $test() {
            short($scenario, $overrides, &$workloads);
        })*

        const COVERED: &[&str] = &[$($scenario),*];
    };
}

short_forms! {
    quick_runs_on_the_twin: "quick" "-n 40 -d 2s" => ["storm", "paced", "rw"];
    the_ci_smoke_runs_on_the_twin: "ci-smoke" "-n 40 -d 2s" => ["storm", "paced", "standing", "raw"];
    the_soak_runs_on_the_twin: "soak" "-d 3s --set outage.every=1s --set outage.outage=200ms"
        => ["paced", "rw", "outage"];
    a_head_a_second_runs_on_the_twin: "head-1s" "-n 3" => ["head"];
    five_heads_a_second_run_on_the_twin: "head-200ms" "-n 8" => ["host-closes", "device-closes"];
    the_micropython_pairs_transactions_run_on_the_twin: "micropython-5000" "--successes 30" => ["pair"];
    port_rotation_runs_on_the_twin: "timewait" "-n 10" => ["reuse"];
    #[cfg(feature = "long")]
    two_outages_run_on_the_twin: "resilience" "--set cycles=2 --set outage=500ms --set every=5s" => ["outages"];
    the_long_resilience_test_runs_on_the_twin: "resilience-360h"
        "-d 7s --set every=3s --set outage=300ms --set interval=1s" => ["outages", "head"];
    #[cfg(feature = "long")]
    half_open_to_exhaustion_runs_on_the_twin: "half-open" "--set baseline=1s --set watch_reclaim=1s" => ["half-open"];
    #[cfg(feature = "long")]
    an_mqtt_broker_runs_on_the_twin: "mqtt" "-d 2s" => ["own", "k5", "k30", "k60"];
    an_mqtt_broker_with_gates_runs_on_the_twin: "mqtt-ci" "-d 2s" => ["hangs", "restarts"];
    power_save_runs_on_the_twin: "power-save" "-n 4" => ["asleep", "busy"];
}

#[test]
fn every_built_in_scenario_has_a_short_form() {
    let known: BTreeSet<&str> = BUILT_IN.iter().map(|scenario| scenario.name).collect();
    assert_eq!(COVERED.iter().copied().collect::<BTreeSet<_>>(), known);
}
