"""Sums up the runs of scripts/ci-benchmark: medians for dashboards, and a page in Markdown.

Exit status 0 when nothing is worse than the baseline, 1 when something is, 4 when no figure could be judged.
"""

import argparse
import json
import statistics
import sys
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


def judged(comparisons):
    """Figures and findings that changed in more than half of all pairs: (lines, worse, pairs that could be judged)."""
    pairs, decided = 0, 0
    worse, better, changes, gained = Counter(), Counter(), {}, Counter()
    for comparison in comparisons:
        for i, column in enumerate(comparison["new"]):
            pairs += 1
            decided += column["decision"] != "undecided"
            gained.update(column["findings_gained"])
            for workload in comparison["workloads"]:
                for row in workload["rows"]:
                    cell = row["new"][i]
                    name = f"{workload['name']}.{row['figure']}"
                    if cell["change_percent"] is not None:
                        changes.setdefault(name, []).append(cell["change_percent"])
                    worse[name] += cell["judgement"] == "worse"
                    better[name] += cell["judgement"] == "better"
    lines, count = [], 0
    for word, counts in (("worse", worse), ("better", better)):
        for name, n in counts.items():
            if 2 * n > pairs:
                change = f"{statistics.median(changes[name]):+.1f} %" if changes.get(name) else "-"
                lines.append([word, f"`{name}`", change, f"{n} of {pairs}"])
                count += word == "worse"
    for name, n in gained.items():
        if 2 * n > pairs:
            lines.append(["new", f"finding `{name}`", "-", f"{n} of {pairs}"])
    return lines, count, pairs, decided


def errors_gained(comparisons, reports):
    """Findings of severity error that the baseline has not, in more than half of the pairs."""
    severe = {f["id"] for report in reports for f in report["findings"] if f["severity"] == "error"}
    gained = Counter(name for c in comparisons for column in c["new"] for name in column["findings_gained"])
    pairs = sum(len(c["new"]) for c in comparisons)
    return [name for name, n in gained.items() if name in severe and 2 * n > pairs]


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
        parts += ["### Against the baseline", f"Refused: {refusal}"]
    elif comparison is not None:
        lines, _, pairs, decided = comparison
        parts.append("### Against the baseline")
        if lines:
            parts.append(table(["", "figure", "change", "pairs of runs"], lines))
        elif decided:
            parts.append(f"Nothing differs by more than chance and tolerance allow, in {pairs} pairs of runs.")
        else:
            parts.append("No figure could be judged.")
    return "\n\n".join(parts) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--statuses", required=True)
    parser.add_argument("--refused", default="")
    parser.add_argument("--reports", nargs="+", type=Path, required=True)
    parser.add_argument("--compared", nargs="*", type=Path, default=[])
    chosen = parser.parse_args()

    reports = [load(path) for path in chosen.reports]
    files = {kind: [chosen.work / f"{kind}-{path.name}" for path in chosen.reports] for kind in ("smaller", "bigger", "bmf")}
    smaller, bigger = medians(files["smaller"]), medians(files["bigger"])
    for name, what in (("smaller", smaller), ("bigger", bigger), ("bmf", bmf_medians(files["bmf"]))):
        (chosen.keep / f"{name}.json").write_text(json.dumps(what, indent=2) + "\n")

    comparisons = [load(path) for path in chosen.compared]
    comparison = judged(comparisons) if comparisons else None
    refusal = " ".join(Path(chosen.refused).read_text().split()) if chosen.refused else ""
    summary = page(reports, chosen.statuses.split(), smaller, bigger, comparison, refusal)
    (chosen.keep / "summary.md").write_text(summary)
    if comparison is None or refusal:
        return 0
    _, worse, _, decided = comparison
    if worse or errors_gained(comparisons, reports):
        return 1
    return 0 if decided else 4


if __name__ == "__main__":
    sys.exit(main())
