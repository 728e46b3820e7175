//! Several devices at once, and reports joined.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;

use crate::common::{espstress, failure};
use espstress_diagnose::FindingId;
use espstress_fleet::{FleetReport, Read};
use espstress_report::Verdict;
use socket2::{Domain, Socket, Type};

/// The fleet report in a file, validated against its schema.
fn fleet(path: &Path) -> FleetReport {
    let text = std::fs::read_to_string(path).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let schema = espstress_fleet::schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    match espstress_fleet::from_json("fleet", &text) {
        Ok(Read::Fleet(fleet)) => *fleet,
        other => panic!("{other:?}"),
    }
}

fn run(arguments: &str, output: &Path) -> Output {
    let mut command = espstress();
    command.args(arguments.split_whitespace()).arg("-o").arg(output);
    command.env("HALL_TOKEN", "hunter2-hunter2").output().unwrap()
}

#[test]
fn each_device_of_an_inventory_has_its_own_report_and_the_worst_status_is_the_runs() {
    let folder = tempfile::tempdir().unwrap();
    // Bound and kept, so that nobody else has the port, and never listening.
    let kept = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    kept.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let nobody = kept.local_addr().unwrap().as_socket().unwrap();
    let inventory = folder.path().join("lab.toml");
    let text = format!(
        "[[device]]\nname = \"kitchen\"\ntarget = \"sim\"\ntags = [\"well\"]\n\
         [[device]]\nname = \"hall\"\ntarget = \"sim\"\ntags = [\"ill\"]\ntoken_env = \"HALL_TOKEN\"\n\
         [[device]]\nname = \"cellar\"\ntarget = \"{nobody}\"\n"
    );
    std::fs::write(&inventory, text).unwrap();
    let file = folder.path().join("all.json");
    let head = format!("head -n 20 --no-capture --targets {}", inventory.display());
    let output = run(&head, &file);
    let (said, status) = failure(&output);
    assert_eq!(status, 3, "{said}");
    let all = fleet(&file);
    assert_eq!(all.verdict, Verdict::Inconclusive);
    let done: Vec<(&str, Option<u64>)> = all
        .devices
        .iter()
        .map(|d| (d.name.as_str(), d.report.as_ref().map(|report| report.workloads[0].succeeded)))
        .collect();
    assert_eq!(done, [("kitchen", Some(20)), ("hall", Some(20)), ("cellar", None)]);
    assert!(all.devices[2].not_run.as_deref().is_some_and(|why| why.contains("refuses connections")));
    assert_eq!((all.workloads[0].runs, all.workloads[0].attempts), (2, 40));
    assert!(!std::fs::read_to_string(&file).unwrap().contains("hunter2"), "a token is in no report");

    let tagged = run(&format!("{head} --tag well --threshold head.failed==1"), &file);
    let page = String::from_utf8_lossy(&tagged.stdout);
    assert_eq!(tagged.status.code(), Some(1), "{page}");
    assert!(page.contains("kitchen: `head.failed==1` fails") && !page.contains("hall"), "{page}");
    let (said, status) = failure(&run(&format!("{head} --tag s3"), &file));
    assert!(status == 2 && said.contains("has the tags ill, well"), "{said}");
}

#[test]
fn reports_of_two_runs_are_joined_and_each_can_be_had_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["a.json", "b.json"] {
        assert!(run("head sim -n 10 --no-capture", &path(name)).status.success());
    }
    let merge = |names: &[&str]| {
        let mut command = espstress();
        command.arg("merge").args(names.iter().map(|name| path(name))).arg("-o").arg(path("c.json"));
        command.output().unwrap()
    };
    assert_eq!(merge(&["a.json", "b.json"]).status.code(), Some(0));
    let all = fleet(&path("c.json"));
    assert_eq!((all.workloads[0].attempts, all.devices.len()), (20, 2));
    let name = &all.devices[1].name;
    let mut back = espstress();
    back.arg("report").arg(path("c.json")).args(["--format", "json", "--device", name]);
    let back = back.output().unwrap().stdout;
    assert_eq!(back, std::fs::read(path("b.json")).unwrap(), "nothing is lost");
    let (said, status) = failure(&merge(&["a.json", "a.json"]));
    assert!(status == 2 && said.contains("reports of the same run"), "{said}");
    assert!(run("rw sim -n 10 --no-capture", &path("b.json")).status.success());
    let (said, status) = failure(&merge(&["a.json", "b.json"]));
    assert!(status == 2 && said.contains("workload head only in"), "{said}");
}

#[test]
#[cfg(target_os = "linux")]
fn twins_of_one_run_share_a_private_network_and_each_is_watched_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.json");
    let inventory = folder.path().join("lab.toml");
    let text = "[[device]]\nname = \"well\"\ntarget = \"twin\"\n\
                [[device]]\nname = \"ill\"\ntarget = \"twin\"\npersona = \"unread-close\"\n";
    std::fs::write(&inventory, text).unwrap();
    let head = format!("head -n 30 --watch 500ms --targets {}", inventory.display());
    let output = run(&head, &file);
    let all = fleet(&file);
    if all.devices[0].not_run.as_deref().is_some_and(|why| why.contains("network")) {
        return crate::common::skipped("twin", "no private network");
    }
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let packets: Vec<_> = all.devices.iter().filter_map(|d| d.report.as_ref()).collect();
    assert_eq!((packets[0].verdict, packets[1].verdict), (Verdict::Pass, Verdict::Fail));
    // That this machine was busy says nothing of the devices.
    let of_devices: Vec<_> = all.findings.iter().filter(|f| f.id != FindingId::HostLimited).collect();
    let [finding] = of_devices[..] else { panic!("{:?}", all.findings) };
    assert_eq!((finding.id.name(), &finding.devices[..]), ("abortive_close", &["ill".to_owned()][..]));
}

#[test]
fn devices_share_a_rate_and_connections_out_among_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.json");
    let output = run("head -t sim -t sim --total-rate 200 --total-connections 3 -n 10 --no-capture", &file);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let reports: Vec<_> = fleet(&file).devices.into_iter().filter_map(|device| device.report).collect();
    let of = |i: usize, key: &str| reports[i].workloads[0].params[key].clone();
    assert_eq!((of(0, "rate"), of(1, "rate")), ("100/s".into(), "100/s".into()));
    assert_eq!((of(0, "connections"), of(1, "connections")), (2.into(), 1.into()));
}

#[test]
#[cfg(target_os = "linux")]
fn twins_and_devices_on_the_network_are_tested_in_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.json");
    let address = crate::common::server(crate::common::answer_all);
    let head = format!("head -t twin -t {address} -t twin -n 10 --seed 7 --no-capture --no-probes");
    let output = run(&head, &file);
    let all = fleet(&file);
    if all.devices[0].not_run.as_deref().is_some_and(|why| why.contains("network")) {
        return crate::common::skipped("twin", "no private network");
    }
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Vec<_> = all
        .devices
        .iter()
        .map(|device| {
            let report = device.report.as_ref();
            (device.name.as_str(), report.map(|report| (report.seed, report.workloads[0].succeeded)))
        })
        .collect();
    let address = address.to_string();
    assert_eq!(
        told,
        [("twin", Some((7, 10))), (address.as_str(), Some((8, 10))), ("twin-2", Some((9, 10)))],
        "in the order of the command line"
    );
    assert!(all.cpu_s.is_some(), "of both processes");
}

#[test]
fn what_waits_for_devices_and_what_is_not_there_together_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.json");
    let refused = |arguments: &str, words: &str| {
        let (said, status) = failure(&run(arguments, &file));
        assert!(status == 2 && said.contains(words), "{arguments}: {said}");
    };
    refused("run mqtt -t sim -t sim", "one target at a time");
    refused("head -t sim -t sim --live", "works only with one target");
    refused("head -t sim -t sim --service http", "--targets");
    refused("head -t sim -t sim -t sim --total-connections 2", "3 devices");
    refused("head -t sim -t sim --targets /nonexistent/lab.toml", "/nonexistent/lab.toml");
}
