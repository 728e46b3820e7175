//! A fleet report as a file.

use super::model::{FLEET_VERSION, FleetReport};
use espstress_report::Report;

/// What a file holds.
#[derive(Clone, Debug)]
pub enum Read {
    /// One device's report.
    Report(Box<Report>),
    /// A fleet's.
    Fleet(Box<FleetReport>),
}

/// Why a fleet report could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is one device's, and has a mistake.
    #[error(transparent)]
    Report(#[from] espstress_report::ReadError),
    /// Another version of the format.
    #[error(
        "{name}: a fleet report of fleet_version {found}; this program reads fleet_version {FLEET_VERSION}: use the \
         espstress that wrote it"
    )]
    Version {
        /// Which file.
        name: String,
        /// The version found.
        found: serde_json::Value,
    },
    /// A verdict that claims more than the devices show.
    #[error("{name}: a fleet report that contradicts itself: {what}; make it again")]
    Contradiction {
        /// Which file.
        name: String,
        /// What does.
        what: String,
    },
    /// A field that does not belong or does not fit.
    #[error("{name}: a fleet report with a mistake: {detail}")]
    Field {
        /// Which file.
        name: String,
        /// What was wrong.
        detail: String,
    },
}

/// The fleet report's JSON Schema.
#[must_use]
pub fn schema() -> serde_json::Value {
    // A test holds it against the types. A fleet's reports are whole reports, whose schema is in the program once.
    let mut schema: serde_json::Value = serde_json::from_str(include_str!("schema.json")).unwrap_or_default();
    let mut report = espstress_report::schema();
    let parts = report.as_object_mut().and_then(|report| {
        report.retain(|key, _| key != "$schema" && key != "title");
        report.remove("$defs")
    });
    if let (Some(all), Some(serde_json::Value::Object(parts))) = (schema["$defs"].as_object_mut(), parts) {
        all.extend(parts);
        all.insert("Report".into(), report);
    }
    schema
}

/// The JSON Schema that the types make.
#[cfg(feature = "schema")]
#[must_use]
pub fn schema_of_types() -> serde_json::Value {
    let mut schema = schemars::schema_for!(FleetReport);
    schema.insert("title".into(), "espstress fleet report".into());
    schema.to_value()
}

/// The fleet report as JSON text, ending in a newline.
#[must_use]
pub fn to_json(fleet: &FleetReport) -> String {
    espstress_report::pretty(fleet)
}

/// Reads a report, of one device or of a fleet; `name` is what errors call it.
///
/// # Errors
/// When the text is neither, or one of another version.
pub fn from_json(name: &str, text: &str) -> Result<Read, ReadError> {
    let version = serde_json::from_str::<serde_json::Value>(text).ok();
    let Some(found) = version.as_ref().and_then(|value| value.get("fleet_version")) else {
        return Ok(Read::Report(Box::new(espstress_report::from_json(name, text)?)));
    };
    if found.as_u64() != Some(FLEET_VERSION) {
        return Err(ReadError::Version { name: name.to_owned(), found: found.clone() });
    }
    let fleet: FleetReport = serde_json::from_str(&espstress_report::without_controls(text))
        .map_err(|error| ReadError::Field { name: name.to_owned(), detail: error.to_string() })?;
    match contradiction(&fleet) {
        Some(what) => Err(ReadError::Contradiction { name: name.to_owned(), what }),
        None => Ok(Read::Fleet(Box::new(fleet))),
    }
}

/// In what its verdict claims more than its devices show.
fn contradiction(fleet: &FleetReport) -> Option<String> {
    let of_device = fleet.devices.iter().find_map(|device| {
        let what = device.report.as_ref()?.contradiction()?;
        Some(format!("{}: {what}", device.name))
    });
    let (worst, reasons) = super::join::verdict(&fleet.devices);
    let claims_more = || {
        let why = reasons.first().map_or_else(String::new, |why| format!(" ({why})"));
        fleet
            .verdict
            .is_better_than(worst)
            .then(|| format!("its verdict is better than that of a device{why}"))
    };
    of_device.or_else(claims_more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FleetDevice, join, to_json};
    use espstress_report::{Target, TargetKind, Verdict};

    #[test]
    fn a_fleet_that_claims_more_than_its_devices_is_refused() {
        let mut report = Report::new(Target::new("a", TargetKind::Sim), serde_json::json!({}), 1, 0);
        report.verdict = Verdict::Fail;
        report.verdict_reasons = vec!["a gate failed".into()];
        let device = FleetDevice {
            name: "a".into(),
            tags: Vec::new(),
            start_s: None,
            not_run: None,
            report: Some(report),
        };
        let mut fleet = join(vec![device]);
        assert!(from_json("f", &to_json(&fleet)).is_ok());
        fleet.verdict = Verdict::Pass;
        let error = from_json("f", &to_json(&fleet)).unwrap_err().to_string();
        assert!(error.contains("contradicts itself") && error.contains("a gate failed"), "{error}");
    }
}
