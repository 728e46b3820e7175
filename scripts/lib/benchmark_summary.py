"""Sums up the runs of scripts/ci-benchmark: medians for dashboards, and a page in Markdown."""

import argparse
import json
import statistics
from collections import Counter
from pathlib import Path


def load(path):
    return json.loads(Path(path).read_text())


def medians(files):
    """github-action-benchmark: the figures that every run has, each the median, with how far the runs lie apart."""
    runs = [{figure["name"]: figure for figure in load(file)} for file in files]
    merged = []
    for name, figure in runs[0].items():
        if all(name in run for run in runs):
            values = [run[name]["value"] for run in runs]
            merged.append({"name": name, "unit": figure["unit"], "value": statistics.median(values),
                           "range": f"{min(values):g} - {max(values):g}", "extra": f"median of {len(values)} runs"})
    return merged


def bmf_medians(files):
    """Bencher: the medians, bounded by the least and the most of the runs."""
    runs = [load(file) for file in files]
    merged = {}
    for name, measures in runs[0].items():
        for measure in measures:
            values = [run[name][measure]["value"] for run in runs if measure in run.get(name, {})]
            if len(values) == len(runs):
                merged.setdefault(name, {})[measure] = {
                    "value": statistics.median(values), "lower_value": min(values), "upper_value": max(values)}
    return merged


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def figures(smaller, bigger):
    rows = []
    for figure in [*bigger, *smaller]:
        name = figure["name"]
        if name.endswith((".rate", ".goodput", ".success_rate", ".p50", ".p99", ".failed")) or "anomalies" in name:
            rows.append([f"`{name}`", f"{figure['value']:,.6g} {figure['unit']}", figure["range"]])
    return table(["figure", "median", "least - most"], rows)


def value(row, side):
    number = row[side]
    if number is None:
        return "-"
    if row["unit"] == "ratio":
        return f"{number * 100:.4g} %"
    return f"{number:,.0f} {row['unit']}" if number >= 1000 else f"{number:.4g} {row['unit']}"


def change(row):
    """The change with its interval, and the smallest that would have been seen."""
    if row["scale"] == "ratio":
        middle, low, high = (row[key] for key in ("ratio", "low", "high"))
        text = "-" if middle is None else f"x {middle:.3f}"
        interval = "" if low is None else f" ({low:.3f} to {high:.3f})"
        unit = "%"
    else:
        known = row["base"] is not None and row["new"] is not None
        text = f"{(row['new'] - row['base']) * 100:+.2f} pt" if known else "-"
        interval = "" if row["low"] is None else f" ({row['low'] * 100:+.2f} to {row['high'] * 100:+.2f})"
        unit = "pt"
    visible = row["smallest_visible"]
    return text + interval, "-" if visible is None else f"{visible * 100:.2g} {unit}"


WORDS = {"worse": "**worse**", "better": "better", "same": "same", "cant_tell": "can't tell"}


def judged(comparison):
    """The verdict, findings of either side, and the figures that are key or have changed."""
    parts = [f"{WORDS[comparison['decision']]}: {comparison['because']}",
             "\n".join(f"- {note}" for note in comparison["notes"])]
    lines = [[WORDS[f["decision"]], f"{f['severity']} `{f['id']}`", f"{f['base']} of {f['base_of']} runs",
              f"{f['new']} of {f['new_of']} runs", "-", "-"] for f in comparison["findings"]]
    left_out = 0
    for workload in comparison["workloads"]:
        for row in workload["rows"]:
            if row["key"] or row["decision"] in ("worse", "better"):
                lines.append([WORDS[row["decision"]], f"`{workload['name']}.{row['figure']}`", value(row, "base"),
                              value(row, "new"), *change(row)])
            else:
                left_out += 1
    parts.append(table(["", "figure", "base", "new", "change", "visible"], lines))
    parts.append(f"{left_out} more figures have not changed as far as could be seen; `compare.txt` has all.")
    return "\n\n".join(part for part in parts if part)


def page(reports, statuses, smaller, bigger, comparison, refusal):
    target = reports[0]["target"]
    what = [target["kind"], target["address"], target.get("stack"), target.get("persona"), target.get("link")]
    parts = [f"## espstress: {reports[0]['scenario']['name']}, {len(reports)} runs",
             ", ".join(str(word) for word in what if word)]
    rows = []
    for i, (report, code) in enumerate(zip(reports, statuses), 1):
        broken = [f"`{t['expr']}` ({t['status']})" for t in report["thresholds"] if t["status"] != "pass"]
        rows.append([i, report["verdict"], code, f"{report['duration_s']:.1f} s", ", ".join(broken) or "-"])
    parts.append(table(["run", "verdict", "status", "took", "gates that do not hold"], rows))
    findings = Counter((f["severity"], f["id"]) for report in reports for f in report["findings"])
    statements = {f["id"]: f["statement"] for report in reports for f in report["findings"]}
    if findings:
        parts.append("\n".join(f"- {severity}: {statements[name]} (`{name}`, {n} of {len(reports)} runs)"
                               for (severity, name), n in findings.items()))
    parts.append(figures(smaller, bigger))
    if refusal:
        parts += ["### Against the base", f"Refused: {refusal}"]
    elif comparison is not None:
        parts += [f"### Against the base, {len(comparison['base'])} runs", judged(comparison)]
    return "\n\n".join(parts) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--statuses", required=True)
    parser.add_argument("--refused", default="")
    parser.add_argument("--reports", nargs="+", type=Path, required=True)
    parser.add_argument("--compared", default="")
    chosen = parser.parse_args()

    reports = [load(path) for path in chosen.reports]
    files = {kind: [chosen.work / f"{kind}-{path.name}" for path in chosen.reports] for kind in ("smaller", "bigger", "bmf")}
    smaller, bigger = medians(files["smaller"]), medians(files["bigger"])
    for name, what in (("smaller", smaller), ("bigger", bigger), ("bmf", bmf_medians(files["bmf"]))):
        (chosen.keep / f"{name}.json").write_text(json.dumps(what, indent=2) + "\n")

    comparison = load(chosen.compared) if chosen.compared else None
    refusal = " ".join(Path(chosen.refused).read_text().split()) if chosen.refused else ""
    summary = page(reports, chosen.statuses.split(), smaller, bigger, comparison, refusal)
    (chosen.keep / "summary.md").write_text(summary)


if __name__ == "__main__":
    main()
