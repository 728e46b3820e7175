"""Reads a format with a program that is not ours, and prints what it found there as JSON.

    read.py junit|prometheus|csv|hgrm < FILE
"""
import json
import sys


def junit(text):
    from junitparser import Error, Failure, JUnitXml, Skipped

    suites = JUnitXml.fromstring(text.encode())
    words = {Failure: "failure", Error: "error", Skipped: "skipped"}
    cases = {}
    for suite in suites:
        counted = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
        for case in suite:
            ended = [words[type(result)] for result in case.result]
            assert len(ended) <= 1, case.name
            key = case.classname.rsplit(".", 1)[-1] + "/" + case.name
            assert key not in cases, f"{key} twice"
            result = case.result[0] if case.result else None
            said = (result.message or "") + "\n" + (result.text or "") if result else case.system_out or ""
            cases[key] = [ended[0] if ended else "passed", said.strip()]
            counted["tests"] += 1
            for word, plural in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
                counted[plural] += ended == [word]
        stated = {name: getattr(suite, name) for name in counted}
        assert stated == counted, (suite.name, stated, counted)
    total = {"tests": suites.tests, "failures": suites.failures, "errors": suites.errors}
    return {"cases": cases, "total": total}


def prometheus(text):
    from prometheus_client.parser import text_string_to_metric_families

    samples = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation and family.type in ("gauge", "summary", "counter"), family
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            key = f"{sample.name}{{{labels}}}"
            assert key not in samples, f"{key} twice"
            samples[key] = sample.value
    return samples


def openmetrics(text):
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            samples[f"{sample.name}{{{labels}}}"] = sample.value
    return samples


def csv(text):
    import csv
    import io

    reader = csv.DictReader(io.StringIO(text), strict=True)
    rows = list(reader)
    assert all(None not in row and None not in row.values() for row in rows), "rows of one length"
    return rows


def hgrm(text):
    """The histogram of a report, as HdrHistogram's own package prints it."""
    import io

    from hdrh.histogram import HdrHistogram

    out = io.BytesIO()
    HdrHistogram.decode(text.strip()).output_percentile_distribution(out, 1e6, ticks_per_half_distance=5)
    return out.getvalue().decode()


if __name__ == "__main__":
    json.dump(globals()[sys.argv[1]](sys.stdin.read()), sys.stdout)
