"""The module against the program. ``ESPSTRESS_BIN`` names a build that is not installed."""

from datetime import timedelta

import pytest

import espstress
from espstress import _run

QUICK = {"no_capture": True, "no_probes": True}


def test_a_report_comes_back_as_objects():
    report = espstress.head("sim", count=20, connections=2, seed=7, **QUICK)
    assert report.passed and report.seed == 7 and report.target.kind == "sim"
    head = report.workload("head")
    assert (head.attempts, head.succeeded, head.failed, head.failures) == (20, 20, 0, {})
    assert head.latency["total"].count == 20 and head.latency["total"].p99_us > 0
    assert report.capture.status == "off" and not report.capture.saw_all
    assert report.check() is report


def test_a_failed_gate_is_an_assertion_that_quotes_it():
    report = espstress.head("sim", count=5, threshold=["head.attempts == 4"], **QUICK)
    with pytest.raises(espstress.GateFailed, match=r"`head.attempts == 4` fails: found 5") as failed:
        report.check()
    assert failed.value.report is report and "5 of 5 succeeded" in str(failed.value)


def test_what_could_not_be_judged_is_not_green_unless_it_may_be():
    report = espstress.head("sim", count=5, threshold=["anomalies.abortive_close == 0"], **QUICK)
    assert report.verdict == "inconclusive"
    with pytest.raises(espstress.Inconclusive):
        report.check()
    report.check(allow_inconclusive=True)


def test_wrong_flags_and_a_device_that_is_not_there_are_errors_with_their_words():
    with pytest.raises(espstress.EspstressError, match="--no-such-flag") as wrong:
        espstress.head("sim", no_such_flag=1)
    assert wrong.value.status == 2
    with pytest.raises(espstress.EspstressError, match="refuses connections") as nobody:
        espstress.head("127.0.0.1:9", count=1, **QUICK)
    assert nobody.value.status == 3


def test_a_run_that_takes_too_long_is_ended_and_has_a_report():
    report = espstress.head("sim", duration="60s", timeout=3, no_capture=True)
    assert report.interrupted and report.workload("head").attempts > 0


def test_keyword_arguments_are_flags():
    given = {"count": 3, "interval": timedelta(milliseconds=1500), "quiet": True, "json": False, "header": ["A: b", "C: d"]}
    assert list(_run.flags(given)) == ["--count=3", "--interval=1500ms", "--quiet", "--header=A: b", "--header=C: d"]
    assert list(_run.flags({"from_": 1, "path": None})) == ["--from=1"]


def test_a_scenario_runs_against_a_target(tmp_path):
    scenario = tmp_path / "two.toml"
    scenario.write_text('name = "two"\n[[phase]]\nkind = "head"\ncount = 3\n[[phase]]\nkind = "rw"\ncount = 3\n')
    kept = tmp_path / "report.json"
    report = espstress.run(str(scenario), target="sim", output=kept, **QUICK)
    assert [one.name for one in report.workloads] == ["head", "rw"]
    assert espstress.Report.read(kept) == report


def test_a_report_of_another_version_and_one_of_several_devices_are_refused():
    with pytest.raises(ValueError, match="schema_version 99"):
        espstress.Report.from_json('{"schema_version": 99}')
    with pytest.raises(ValueError, match="--device NAME"):
        espstress.Report.from_json('{"fleet_version": 1}')
