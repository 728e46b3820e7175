"""The pytest plugin: the fixture ``espstress``.

    def test_storm(espstress):
        report = espstress.head(count=1000, connections=4)
        assert report.workload("head").latency["total"].p99_us < 250_000

A failed gate is an assertion that quotes the finding. The device is the one of ``--espstress-target``, or the one of the
fixture ``espstress_target``. Beside Espressif's pytest-embedded, the fixture ``dut`` supplies both: the address that the
device prints when it joins the network, and its console, of which a failure quotes the last lines.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Callable, Iterator, Optional, Union

import pytest

from . import _run
from ._report import GateFailed, Inconclusive, Report
from ._run import Value

#: How the usual frameworks print the address that they got: ESP-IDF ("sta ip: 192.168.4.11, mask: ..."),
#: its examples ("got ip:192.168.4.11", "IPv4 address: 192.168.4.11"), Arduino ("IP address: 192.168.4.11").
ADDRESS = r"(?i)\bip(?:v4)?(?: address)?:\s*(\d{1,3}(?:\.\d{1,3}){3})"

#: Lines of the console that a failure quotes.
CONSOLE_LINES = 20

#: How long the device may take to print its address, seconds.
ADDRESS_PATIENCE = 30


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("espstress")
    group.addoption("--espstress-target", metavar="TARGET", help="the device: an address, twin, or sim")
    group.addoption("--espstress-bin", metavar="FILE", help="the espstress program")
    group.addoption("--espstress-keep", metavar="DIR", help="keep the reports in this folder, one for each run")


class Console:
    """The console of a ``dut``: what it printed."""

    def __init__(self, dut: Any) -> None:
        self._dut = dut

    def text(self) -> str:
        """Everything that is known of it."""
        logfile = getattr(self._dut, "logfile", None)
        if logfile is not None:
            try:
                return Path(logfile).read_text(encoding="utf-8", errors="replace")
            except OSError:
                return ""
        return ""

    def tail(self, lines: int = CONSOLE_LINES) -> str:
        """Its last lines."""
        return "\n".join(self.text().splitlines()[-lines:])


class Espstress:
    """The fixture's object: the commands, each against the device of the test."""

    def __init__(
        self,
        target: Callable[[], str],
        bin: Optional[str],
        keep: Optional[Path],
        name: str,
        console: Optional[Console],
    ) -> None:
        self._target = target
        self._bin = bin
        self._keep = keep
        self._name = name
        self._runs = 0
        self.console = console
        #: The reports of this test so far.
        self.reports: "list[Report]" = []

    @property
    def target(self) -> str:
        """The device of this test."""
        return self._target()

    def head(self, target: Optional[str] = None, **options: Any) -> Report:
        """``espstress head``: a connection for each HTTP request."""
        __tracebackhide__ = True
        return self._workload("head", target, options)

    def rw(self, target: Optional[str] = None, **options: Any) -> Report:
        """``espstress rw``: persistent connections with a checked payload."""
        __tracebackhide__ = True
        return self._workload("rw", target, options)

    def outage(self, target: Optional[str] = None, **options: Any) -> Report:
        """``espstress outage``: idle connections through outages."""
        __tracebackhide__ = True
        return self._workload("outage", target, options)

    def half_open(self, target: Optional[str] = None, **options: Any) -> Report:
        """``espstress half-open``: clients that vanish."""
        __tracebackhide__ = True
        return self._workload("half-open", target, options)

    def mqtt(self, target: Optional[str] = None, **options: Any) -> Report:
        """``espstress mqtt``: a broker that misbehaves."""
        __tracebackhide__ = True
        return self._workload("mqtt", target, options)

    def doctor(self, target: Optional[str] = None, **options: Any) -> Report:
        """``espstress doctor``: what is wrong with a device, in a minute."""
        __tracebackhide__ = True
        return self._workload("doctor", target, options)

    def run(self, scenario: str = "quick", target: Optional[str] = None, **options: Any) -> Report:
        """``espstress run``: a scenario file, or a built-in one."""
        __tracebackhide__ = True
        options["target"] = target or self.target
        return self._execute("run", [scenario], options)

    def _workload(self, command: str, target: Optional[str], options: "dict[str, Any]") -> Report:
        __tracebackhide__ = True
        return self._execute(command, [target or self.target], options)

    def _execute(self, command: str, positional: "list[str]", options: "dict[str, Any]") -> Report:
        """Runs it; ``check=False`` returns a report whatever its verdict is."""
        __tracebackhide__ = True
        check = options.pop("check", True)
        allow_inconclusive = options.pop("allow_inconclusive", False)
        timeout: Optional[float] = options.pop("timeout", None)
        output: Union[None, str, Path] = options.pop("output", None)
        if output is None and self._keep is not None:
            self._runs += 1
            output = self._keep / f"{self._name}-{self._runs}.json"
        flags: "dict[str, Value]" = options
        report = _run.execute(command, positional, flags, bin=self._bin, timeout=timeout, output=output)
        self.reports.append(report)
        if check:
            self._check(report, allow_inconclusive)
        return report

    def _check(self, report: Report, allow_inconclusive: bool) -> None:
        __tracebackhide__ = True
        try:
            report.check(allow_inconclusive=allow_inconclusive)
        except (GateFailed, Inconclusive) as failure:
            tail = self.console.tail() if self.console is not None else ""
            said = f"\nlast lines of the console:\n{tail}" if tail else ""
            raise type(failure)(f"{failure}{said}", report) from None


def _dut(request: pytest.FixtureRequest) -> Any:
    """The fixture ``dut``, where this test has one; with several devices, the first one."""
    if "dut" not in request.fixturenames:
        return None
    dut = request.getfixturevalue("dut")
    return dut[0] if isinstance(dut, (list, tuple)) and dut else dut


def address_of(dut: Any) -> str:
    """The address of a ``dut``: its attribute ``address`` or ``ip``, or the one that it prints."""
    for name in ("address", "ip_address", "ip"):
        value = getattr(dut, name, None)
        if isinstance(value, str) and value:
            return value
    printed = re.findall(ADDRESS, Console(dut).text())
    if printed:
        # The last one: a device that lost its network may have got another.
        return str(printed[-1])
    found = dut.expect(re.compile(ADDRESS.encode()), timeout=ADDRESS_PATIENCE)
    group = found.group(1)
    return group.decode() if isinstance(group, bytes) else str(group)


@pytest.fixture
def espstress_target(request: pytest.FixtureRequest) -> Optional[str]:
    """The device to test. Override it in your ``conftest.py`` where neither the option nor ``dut`` says it."""
    target: Optional[str] = request.config.getoption("--espstress-target")
    return target


@pytest.fixture
def espstress(request: pytest.FixtureRequest, espstress_target: Optional[str]) -> Iterator[Espstress]:
    """The commands of espstress, each against the device of this test."""
    dut = _dut(request)
    known: "list[str]" = []

    def target() -> str:
        if espstress_target:
            return espstress_target
        if dut is None:
            raise pytest.UsageError(
                "espstress: no device is known: use --espstress-target, the fixture `dut`, or override `espstress_target`"
            )
        # Its console is asked once.
        if not known:
            known.append(address_of(dut))
        return known[0]

    keep: Optional[str] = request.config.getoption("--espstress-keep")
    folder = Path(keep) if keep else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^\w.-]+", "_", request.node.name)
    bin: Optional[str] = request.config.getoption("--espstress-bin")
    yield Espstress(target, bin, folder, name, Console(dut) if dut is not None else None)
