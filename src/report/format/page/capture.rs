//! The page of a capture file: what `analyze` found, with its ladders.

use std::fmt::Write as _;

use super::markup::{heading, paragraph};
use super::{document, findings, packets};
use crate::NotJudgedRow;
use crate::format::escape;
use espstress_diagnose::{AnomalyRow, air_findings};
use espstress_event::{Air, AnomalyClass};

/// What the packets of a capture file show.
#[derive(Clone, Copy, Debug)]
pub struct CapturePage<'a> {
    /// Its name.
    pub name: &'a str,
    /// Packets, connections, duration: a line.
    pub about: &'a str,
    /// What to know before the anomalies, a sentence each.
    pub remarks: &'a [String],
    /// Why nothing was judged; `None` where there was something to judge.
    pub nothing: Option<&'a str>,
    /// Whether the absence of an anomaly means anything.
    pub complete: bool,
    /// The anomalies.
    pub anomalies: &'a [AnomalyRow],
    /// Rules that could not be judged.
    pub not_judged: &'a [NotJudgedRow],
    /// Connections that the device opened, a line each.
    pub dialled: &'a [String],
    /// What was heard on the air; `None` where the file holds nothing of it.
    pub air: Option<&'a Air>,
}

/// The page.
#[must_use]
pub fn capture_page(of: &CapturePage<'_>) -> String {
    let mut out = String::new();
    let of_device = of.anomalies.iter().filter(|row| row.class == AnomalyClass::Device).count();
    let (class, word, why) = match (of.nothing, of_device, of.complete) {
        (Some(reason), ..) => {
            let what = if of.air.is_some() { "No TCP connection" } else { "Nothing" };
            ("doubt", "not judged", format!("{what} was judged: {reason}"))
        }
        (None, 0, true) => ("good", "clean", "No anomaly of the device.".to_owned()),
        (None, 0, false) => (
            "doubt",
            "not complete",
            "No anomaly of the device in what could be looked at; the capture is not complete.".to_owned(),
        ),
        (None, _, _) => ("bad", "anomalies", "The device's packets show anomalies.".to_owned()),
    };
    let _ = writeln!(out, "<h1><span class=\"badge {class}\">{word}</span> {}</h1>", escape(of.name));
    paragraph(&mut out, "quiet", of.about);
    let _ = writeln!(out, "<div class=\"why {class}\">");
    paragraph(&mut out, "", &why);
    out.push_str("</div>\n");
    of.remarks.iter().for_each(|remark| paragraph(&mut out, "doubt", remark));
    if !of.anomalies.is_empty() {
        heading(&mut out, "Anomalies");
        packets::anomalies(&mut out, of.anomalies);
    }
    packets::not_judged(&mut out, of.not_judged);
    if !of.dialled.is_empty() {
        heading(&mut out, "Connections that the device opened");
        of.dialled.iter().for_each(|line| paragraph(&mut out, "", line));
    }
    packets::ladders(&mut out, of.anomalies);
    if let Some(air) = of.air {
        super::on_the_air(&mut out, air);
        air_findings(air).iter().for_each(|finding| findings::finding(&mut out, finding));
    }
    document(&format!("{word}: {}", of.name), &out)
}
