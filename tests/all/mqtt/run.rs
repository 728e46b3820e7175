//! A run of `espstress mqtt` without a target, and what it says.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Stdio};

use espstress_diagnose::FindingId;
use espstress_report::{MqttFigures, Report};

use crate::common::{espstress, valid_report};

/// A broker that runs.
pub(crate) struct Broker {
    child: Child,
    file: tempfile::NamedTempFile,
    pub(crate) address: SocketAddr,
}

/// What it said.
pub(crate) struct Said {
    pub(crate) status: Option<i32>,
    pub(crate) report: Report,
}

impl Broker {
    /// Starts one on a free port.
    pub(crate) fn start(arguments: &str) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut child = espstress()
            .args(["mqtt", "--listen", "0", "--no-capture", "--no-probes", "-o"])
            .arg(file.path())
            .args(arguments.split_whitespace())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let port = line.trim().rsplit(':').next().unwrap().parse().unwrap_or_else(|_| panic!("{line}"));
        // What else it says must not fill the pipe.
        std::thread::spawn(move || said.lines().count());
        Self { child, file, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) }
    }

    /// Waits for its end.
    pub(crate) fn said(mut self) -> Said {
        let status = self.child.wait().unwrap().code();
        let report = valid_report(&std::fs::read(self.file.path()).unwrap());
        Said { status, report }
    }
}

impl Said {
    pub(crate) fn mqtt(&self) -> &MqttFigures {
        self.report.workloads[0].mqtt.as_ref().unwrap()
    }

    /// The findings about the device.
    pub(crate) fn findings(&self) -> Vec<FindingId> {
        let about_host = [FindingId::HostLimited, FindingId::CaptureIncomplete];
        self.report.findings.iter().map(|f| f.id).filter(|id| !about_host.contains(id)).collect()
    }
}
