//! Each format read by the rules of those who take it.

use crate::report_support as make;
use espstress_report::{Format, Options, RenderError, Report, render};
use espstress_stats::Phase;
use serde_json::Value;

fn rendered(r: &Report, format: Format) -> String {
    render(r, format, &Options::default()).unwrap()
}

/// Walks over markup and sees that elements nest and quotes close. Enough of XML for what is written here.
fn assert_well_formed(xml: &str, void: &[&str]) {
    let mut open: Vec<String> = Vec::new();
    let mut rest = xml;
    while let Some(at) = rest.find('<') {
        assert!(!rest[..at].contains('>'), "a stray > in `{}`", &rest[..at]);
        let end = at + rest[at..].find('>').expect("an element ends");
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        assert!(!tag.contains('<') && tag.matches('"').count().is_multiple_of(2), "<{tag}>");
        let name = tag.trim_start_matches('/').split_whitespace().next().unwrap_or("").trim_end_matches('/');
        if tag.starts_with(['?', '!']) || tag.ends_with('/') || void.contains(&name) {
            continue;
        }
        if tag.starts_with('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "elements nest");
        } else {
            open.push(name.to_owned());
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

#[test]
fn every_report_becomes_every_format() {
    for (name, r) in make::samples() {
        for format in Format::ALL {
            let text = rendered(&r, format);
            assert!(text.ends_with('\n'), "{name} {format}");
            for word in ["NaN", "inf,", "Infinity"] {
                assert!(!text.contains(word), "{name} {format}: {word}");
            }
        }
    }
}

#[test]
fn the_json_format_is_the_report() {
    make::assert_valid_report(&rendered(&make::broken(), Format::Json));
}

#[test]
fn junit_is_well_formed_and_escapes_what_it_shows() {
    for (_, r) in make::samples() {
        assert_well_formed(&rendered(&r, Format::Junit), &[]);
    }
    let xml = rendered(&make::broken(), Format::Junit);
    assert!(xml.contains("name=\"head.latency.total.p99 &lt; 250ms\""), "{xml}");
}

#[test]
fn html_is_one_file_without_scripts_and_escapes_what_it_shows() {
    for (_, r) in make::samples() {
        let html = rendered(&r, Format::Html);
        assert_well_formed(&html, &["meta"]);
        for foreign in ["<script", "http://", "https://", "src=", "@import", "url("] {
            assert!(!html.contains(foreign), "{foreign}");
        }
        assert!(html.contains("prefers-color-scheme: dark"));
    }
    let html = rendered(&make::broken(), Format::Html);
    assert!(html.contains("1 &lt;b&gt;&amp;&quot;quoted&quot;&lt;/b&gt;"), "markup in a remark stays text");
    assert!(html.matches("<svg").count() >= 2);
}

#[test]
fn markdown_keeps_its_tables_whole() {
    let mut r = make::broken();
    r.workloads[0].name = "a|b".into();
    r.anomalies[0].workload = Some("a|b".into());
    let md = rendered(&r, Format::Markdown);
    let mut columns = 0;
    for line in md.lines() {
        let cells = line.replace("\\|", "").matches('|').count();
        if line.starts_with('|') && columns > 0 {
            assert_eq!(cells, columns, "{line}");
        }
        columns = if line.starts_with('|') { cells } else { 0 };
    }
    insta::assert_snapshot!(rendered(&make::broken(), Format::Markdown));
}

#[test]
fn github_benchmark_has_names_units_and_values() {
    for format in [Format::GithubBenchmarkSmaller, Format::GithubBenchmarkBigger] {
        let value: Value = serde_json::from_str(&rendered(&make::clean(), format)).unwrap();
        let rows = value.as_array().unwrap();
        assert!(!rows.is_empty());
        for row in rows {
            assert!(row["name"].is_string() && row["unit"].is_string() && row["value"].is_number(), "{row}");
        }
        let names: std::collections::BTreeSet<_> = rows.iter().map(|r| r["name"].as_str().unwrap()).collect();
        assert_eq!(names.len(), rows.len(), "names are unique");
    }
}

#[test]
fn github_benchmark_has_no_anomalies_where_nobody_looked() {
    assert!(rendered(&make::clean(), Format::GithubBenchmarkSmaller).contains("anomalies.device"));
    assert!(!rendered(&make::denied(), Format::GithubBenchmarkSmaller).contains("anomalies"));
}

#[test]
fn bmf_measures_latency_in_nanoseconds_with_bounds() {
    let r = make::clean();
    let value: Value = serde_json::from_str(&rendered(&r, Format::Bmf)).unwrap();
    let p50 = &value["head.latency.total.p50"]["latency"];
    let us = r.workloads[0].latency[&Phase::Total].p50_us.unwrap();
    assert_eq!(p50["value"].as_f64().unwrap(), us * 1e3);
    assert!(p50["lower_value"].as_f64() <= p50["value"].as_f64());
    assert!(p50["value"].as_f64() <= p50["upper_value"].as_f64());
    assert!(value["head.rate"]["throughput"]["value"].as_f64().unwrap() > 0.0);
}

#[test]
fn prometheus_families_stand_together_with_help_and_type() {
    let mut r = make::broken();
    r.target.address = "a \"quoted\\\" name".into();
    let text = rendered(&r, Format::Prometheus);
    let mut families = std::collections::BTreeSet::new();
    let mut family = String::new();
    let mut samples = std::collections::BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            family = rest.split(' ').next().unwrap().to_owned();
            assert!(families.insert(family.clone()), "{family} stands in two places");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert_eq!(rest.split(' ').next(), Some(family.as_str()));
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(series.starts_with(&family), "{line}");
            assert!(value.parse::<f64>().unwrap().is_finite(), "{line}");
            assert!(samples.insert(series.to_owned()), "{series} twice");
        }
    }
    assert!(text.contains("espstress_failures{workload=\"head\",failure=\"connect_timeout\"} 12"), "{text}");
    assert!(text.contains(r#"target="a \"quoted\\\" name""#), "{text}");
}

#[test]
fn hgrm_climbs_to_the_last_record() {
    let r = make::open_loop();
    let text = rendered(&r, Format::Hgrm);
    assert!(text.starts_with("       Value     Percentile TotalCount 1/(1-Percentile)\n\n"), "{text}");
    let rows: Vec<Vec<f64>> = text
        .lines()
        .filter(|l| !l.starts_with('#'))
        .skip(2)
        .map(|l| l.split_whitespace().map(|x| x.parse().unwrap()).collect())
        .collect();
    assert!(rows.len() > 20);
    for pair in rows.windows(2) {
        assert!(pair[0][0] <= pair[1][0] && pair[0][1] <= pair[1][1] && pair[0][2] <= pair[1][2], "{pair:?}");
    }
    assert_eq!(rows.last().unwrap()[1..3], [1.0, 5000.0]);
    assert!(text.contains("#[Mean    ="));
}

#[test]
fn hgrm_of_what_was_not_measured_says_what_there_is() {
    let r = make::clean();
    let other = Options { workload: Some("hd".into()), ..Options::default() };
    let e = render(&r, Format::Hgrm, &other).unwrap_err();
    assert_eq!(e.to_string(), "the report has no workload `hd`; it has head, rw");
    let phase = Options { workload: Some("rw".into()), phase: Some(Phase::Close), ..Options::default() };
    let e = render(&r, Format::Hgrm, &phase).unwrap_err();
    assert!(matches!(&e, RenderError::NoLatency { .. }) && e.to_string().contains("round_trip"), "{e}");
}
