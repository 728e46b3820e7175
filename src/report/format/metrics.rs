//! Families of metrics and their text, as Prometheus scrapes it: base units (seconds, bytes, ratios), the unit in the
//! name, HELP and TYPE once a family. What was not measured is not exposed.

use std::borrow::Cow;
use std::fmt::Write as _;

/// What a family's samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A value that may go up and down.
    Gauge,
    /// Quantiles with a sum and a count.
    Summary,
    /// What only grows, while a run goes on; samples end in `_total`.
    Counter,
    /// What is told in labels; the sample ends in `_info`.
    Info,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Summary => "summary",
            Self::Counter => "counter",
            Self::Info => "info",
        }
    }
}

/// One family's samples, gathered before they are written, because a family must not be in two places.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    name: Cow<'static, str>,
    kind: Kind,
    help: Cow<'static, str>,
    samples: Vec<String>,
}

impl Family {
    pub(crate) fn new(
        name: impl Into<Cow<'static, str>>,
        kind: Kind,
        help: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { name: name.into(), kind, help: help.into(), samples: Vec::new() }
    }

    /// A gauge; most are.
    pub(crate) fn gauge(name: impl Into<Cow<'static, str>>, help: impl Into<Cow<'static, str>>) -> Self {
        Self::new(name, Kind::Gauge, help)
    }

    /// Adds a sample; a value that is not finite was not measured.
    pub(crate) fn add(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        if !value.is_finite() {
            return;
        }
        let labels: Vec<_> = labels.iter().map(|(k, v)| format!("{k}=\"{}\"", label_value(v))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        self.samples.push(format!("{}{suffix}{labels} {value}", self.name));
    }

    /// The family with one sample.
    pub(crate) fn with(mut self, labels: &[(&str, &str)], value: Option<f64>) -> Self {
        let suffix = if self.kind == Kind::Info { "_info" } else { "" };
        if let Some(value) = value {
            self.add(suffix, labels, value);
        }
        self
    }

    /// A counter with one sample.
    pub(crate) fn with_total(mut self, value: f64) -> Self {
        self.add("_total", &[], value);
        self
    }

    /// Writes it as OpenMetrics has it.
    pub(crate) fn write_open(&self, out: &mut String) {
        if self.samples.is_empty() {
            return;
        }
        let (name, kind) = (&self.name, self.kind.name());
        let _ = write!(out, "# TYPE {name} {kind}\n# HELP {name} {}\n", self.help);
        for sample in &self.samples {
            let _ = writeln!(out, "{sample}");
        }
    }

    pub(crate) fn write(&self, out: &mut String) {
        if self.samples.is_empty() {
            return;
        }
        let (name, kind) = (&self.name, self.kind.name());
        let _ = write!(out, "# HELP {name} {}\n# TYPE {name} {kind}\n", self.help);
        for sample in &self.samples {
            let _ = writeln!(out, "{sample}");
        }
    }
}

fn label_value(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
