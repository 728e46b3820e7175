//! How many connections the twin takes, as a device of its options does.

use espstress_event::Failure;

use super::{clean, on_twin};

/// Room for eighty sockets.
fn roomy() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sdkconfig");
    let options =
        "CONFIG_LWIP_MAX_SOCKETS=80\nCONFIG_LWIP_MAX_ACTIVE_TCP=128\nCONFIG_LWIP_TCP_ACCEPTMBOX_SIZE=64\n";
    std::fs::write(&file, options).unwrap();
    let name = file.display().to_string();
    (folder, name)
}

#[test]
fn four_at_once_are_within_the_capacity_of_ten_sockets() {
    if let Some(report) = on_twin("head twin -c 4 -n 2000") {
        clean(&report);
    }
    if let Some(report) = on_twin("rw twin -c 4 -n 2000") {
        clean(&report);
    }
}

#[cfg(feature = "long")]
#[test]
fn beyond_ten_sockets_connections_wait_or_time_out_and_nothing_else_fails() {
    for (connections, count) in [(16, 800), (64, 400)] {
        let Some(report) = on_twin(&format!("head twin -c {connections} -n {count}")) else { return };
        let workload = &report.workloads[0];
        let timeouts = workload.failures.get(Failure::ConnectTimeout);
        assert_eq!(workload.succeeded + timeouts, count, "{:?}", workload.failures);
        assert!(workload.succeeded >= count * 4 / 5, "{:?}", workload.failures);
    }
}

#[test]
fn room_for_eighty_sockets_serves_sixty_four_at_once() {
    let (_folder, options) = roomy();
    for connections in [16, 64] {
        let Some(report) = on_twin(&format!("head twin:{options} -c {connections} -n 1500")) else { return };
        clean(&report);
    }
}
