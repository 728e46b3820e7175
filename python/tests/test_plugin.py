"""The plugin, in pytest runs of its own; with a stand-in for the fixture ``dut`` of pytest-embedded."""

import importlib.util

import pytest

#: A device that prints its address on its console, and answers there: the sim's, on a port that the test is told.
STAND_IN = """
import re
import subprocess
import pytest

class Dut:
    '''As pytest-embedded's: a log file of the console, and expect().'''
    def __init__(self, logfile):
        self.logfile = str(logfile)
        self.expected = 0

    def print(self, text):
        with open(self.logfile, "a") as file:
            file.write(text + "\\n")

    def expect(self, pattern, timeout=30):
        self.expected += 1
        pattern = re.compile(pattern) if isinstance(pattern, str) else pattern
        return pattern.search(open(self.logfile, "rb").read())

@pytest.fixture
def dut(tmp_path):
    dut = Dut(tmp_path / "dut.log")
    dut.print("I (512) wifi:connected with lab, aid = 1")
    yield dut
"""

QUICK = "no_capture=True, no_probes=True"


@pytest.fixture
def inner(pytester, monkeypatch):
    # The plugin is loaded by its entry point where the wheel is installed, and named here where it is not.
    from importlib.metadata import entry_points

    points = entry_points()
    named = points.select(group="pytest11") if hasattr(points, "select") else points.get("pytest11", [])
    known = any(point.name == "espstress" for point in named)

    def run(test, *options, conftest=""):
        pytester.makeconftest(conftest)
        pytester.makepyfile(test)
        plugin = [] if known else ["-p", "espstress.pytest_plugin"]
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *plugin, *options)

    return run


def test_a_test_gets_its_report(inner):
    result = inner(
        f"""
def test_storm(espstress):
    report = espstress.head(count=10, {QUICK})
    assert report.workload("head").succeeded == 10
    assert espstress.reports == [report]
""",
        "--espstress-target=sim",
    )
    result.assert_outcomes(passed=1)


def test_a_failed_gate_quotes_the_finding_and_the_console(inner):
    result = inner(
        f"""
def test_storm(espstress, dut):
    dut.print("E (9000) httpd: error accepting")
    espstress.head("sim", count=10, threshold=["head.attempts == 9"], {QUICK})
""",
        conftest=STAND_IN,
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*GateFailed: espstress: fail on *", "*`head.attempts == 9` fails: found 10*"])
    result.stdout.fnmatch_lines(["*last lines of the console:*", "*httpd: error accepting*"])


def test_a_finding_is_quoted_with_its_cause_and_change(inner):
    result = inner(
        """
def test_storm(espstress):
    espstress.head(count=40, persona="unread-close", no_probes=True)
""",
        "--espstress-target=sim",
    )
    if "Inconclusive" in result.stdout.str():
        pytest.skip("no right to capture")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*error: The device ends connections with a RST*", "*cause: *", "*change: *"])


def test_the_address_comes_from_the_console_of_dut(inner):
    result = inner(
        f"""
import http.server, threading

class Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass

def test_storm(espstress, dut, monkeypatch):
    dut.print("I (1234) esp_netif_handlers: sta ip: 127.0.0.1, mask: 255.0.0.0, gw: 127.0.0.1")
    assert espstress.target == "127.0.0.1"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    report = espstress.head(f"{{espstress.target}}:{{server.server_port}}", count=5, {QUICK})
    assert report.target.kind == "device" and report.workload("head").succeeded == 5
    server.shutdown()

def test_an_attribute_is_asked_first(espstress, dut):
    dut.address = "192.0.2.7"
    assert espstress.target == "192.0.2.7"
""",
        conftest=STAND_IN,
    )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize(
    "line, address",
    [
        ("I (1) esp_netif_handlers: sta ip: 192.168.4.11, mask: 255.255.255.0", "192.168.4.11"),
        ("I (2) example_connect: - IPv4 address: 10.0.0.2,", "10.0.0.2"),
        ("got ip:172.16.0.9", "172.16.0.9"),
        ("IP address: 192.168.1.57", "192.168.1.57"),
    ],
)
def test_the_usual_frameworks_lines_are_known(line, address):
    import re

    from espstress.pytest_plugin import ADDRESS

    assert re.search(ADDRESS, line).group(1) == address


def test_without_a_device_the_error_says_what_to_do(inner):
    result = inner("def test_storm(espstress):\n    espstress.head(count=1)\n")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*use --espstress-target*"])


def test_reports_are_kept_under_the_tests_names(inner, pytester):
    test = f"def test_storm(espstress):\n    espstress.head(count=3, {QUICK})\n    espstress.rw(count=3, {QUICK})\n"
    result = inner(test, "--espstress-target=sim", "--espstress-keep=kept")
    result.assert_outcomes(passed=1)
    kept = sorted(path.name for path in (pytester.path / "kept").iterdir())
    assert kept == ["test_storm-1.json", "test_storm-2.json"]


@pytest.mark.skipif(importlib.util.find_spec("pytest_embedded") is None, reason="pytest-embedded is not installed")
def test_it_works_beside_pytest_embedded_itself(inner):
    result = inner(
        f"""
def test_storm(espstress, dut):
    dut.write("I (1234) esp_netif_handlers: sta ip: 127.0.0.1, mask: 255.0.0.0, gw: 127.0.0.1\\n")
    dut.expect("sta ip")
    assert espstress.target == "127.0.0.1"
    espstress.head("sim", count=3, threshold=["head.attempts == 9"], {QUICK})
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*`head.attempts == 9` fails: found 3*"])
    result.stdout.fnmatch_lines(["*last lines of the console:*", "*sta ip: 127.0.0.1*"])
