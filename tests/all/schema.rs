//! The JSON Schemas that the program prints are those of its types.

use serde_json::{Map, Value};

const WRITE: &str = "ESPSTRESS_WRITE_DOCS=1 cargo test --test all schema";

/// A line for each part: a change of one type is one line of a diff.
fn lines(schema: &Map<String, Value>) -> String {
    let line = |(key, value): (&String, &Value)| {
        let value = match value {
            Value::Object(parts) if key == "$defs" => lines(parts),
            other => other.to_string(),
        };
        format!("{}:{value}", Value::from(key.as_str()))
    };
    format!("{{\n{}\n}}", schema.iter().map(line).collect::<Vec<_>>().join(",\n"))
}

fn write(path: &str, schema: &Value) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::write(path, lines(schema.as_object().unwrap()) + "\n").unwrap();
}

#[test]
fn the_schemas_in_the_program_are_those_of_its_types() {
    let (report, fleet) = (espstress_report::schema_of_types(), espstress_fleet::schema_of_types());
    if std::env::var_os("ESPSTRESS_WRITE_DOCS").is_some() {
        let mut own = fleet;
        let parts = own["$defs"].as_object_mut().unwrap();
        parts.retain(|name, _| name != "Report" && report["$defs"].get(name).is_none());
        write("src/report/schema.json", &report);
        write("src/fleet/schema.json", &own);
        return;
    }
    assert!(espstress_report::schema() == report, "src/report/schema.json is out of date: {WRITE}");
    assert!(espstress_fleet::schema() == fleet, "src/fleet/schema.json is out of date: {WRITE}");
}
