"""The JSON report as objects. What was not measured is ``None``, never 0."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping, Optional, Union

#: The version of the report's format that this module reads.
SCHEMA_VERSION = 2

Json = Mapping[str, Any]


class GateFailed(AssertionError):
    """A gate of the run failed."""

    def __init__(self, message: str, report: "Report") -> None:
        super().__init__(message)
        self.report = report


class Inconclusive(AssertionError):
    """A gate could not be judged. A build that could not look must not be green."""

    def __init__(self, message: str, report: "Report") -> None:
        super().__init__(message)
        self.report = report


@dataclass(frozen=True)
class Latency:
    """A latency distribution, microseconds."""

    count: int
    min_us: Optional[float]
    mean_us: Optional[float]
    stdev_us: Optional[float]
    p50_us: Optional[float]
    p90_us: Optional[float]
    p99_us: Optional[float]
    p999_us: Optional[float]
    max_us: Optional[float]
    #: In an open loop: the same from the actual start of each attempt.
    uncorrected: Optional["Latency"]

    @classmethod
    def from_json(cls, of: Json) -> "Latency":
        uncorrected = of.get("uncorrected")
        return cls(
            count=of["count"],
            min_us=of.get("min_us"),
            mean_us=of.get("mean_us"),
            stdev_us=of.get("stdev_us"),
            p50_us=of.get("p50_us"),
            p90_us=of.get("p90_us"),
            p99_us=of.get("p99_us"),
            p999_us=of.get("p999_us"),
            max_us=of.get("max_us"),
            uncorrected=None if uncorrected is None else cls.from_json(uncorrected),
        )


@dataclass(frozen=True)
class Workload:
    """What one workload measured."""

    name: str
    kind: str
    start_s: float
    duration_s: float
    attempts: int
    succeeded: int
    #: Failures by name, only those that occurred.
    failures: Mapping[str, int]
    #: HTTP status codes with how often each came.
    responses: Mapping[str, int]
    #: Successes as a share of the attempts that the host itself did not prevent.
    success_rate: Optional[float]
    attempts_per_s: Optional[float]
    goodput_bytes_per_s: Optional[float]
    #: By phase: ``connect``, ``first_byte``, ``total``, ...
    latency: Mapping[str, Latency]
    #: Everything, as the report has it.
    raw: Json = field(repr=False)

    @property
    def failed(self) -> int:
        return self.attempts - self.succeeded

    @classmethod
    def from_json(cls, of: Json) -> "Workload":
        return cls(
            name=of["name"],
            kind=of["kind"],
            start_s=of["start_s"],
            duration_s=of["duration_s"],
            attempts=of["attempts"],
            succeeded=of["succeeded"],
            failures={name: n for name, n in of["failures"].items() if n > 0},
            responses=dict(of.get("responses") or {}),
            success_rate=of.get("success_rate"),
            attempts_per_s=of.get("attempts_per_s"),
            goodput_bytes_per_s=of.get("goodput_bytes_per_s"),
            latency={phase: Latency.from_json(one) for phase, one in of["latency"].items()},
            raw=of,
        )


@dataclass(frozen=True)
class Finding:
    """A diagnosis: what happened, the likely cause, what to change."""

    id: str
    #: ``error``, ``warning`` or ``info``.
    severity: str
    statement: str
    evidence: tuple[str, ...]
    cause: str
    change: str

    @classmethod
    def from_json(cls, of: Json) -> "Finding":
        return cls(
            id=of["id"],
            severity=of["severity"],
            statement=of["statement"],
            evidence=tuple(of["evidence"]),
            cause=of["cause"],
            change=of["change"],
        )

    def __str__(self) -> str:
        lines = [f"{self.severity}: {self.statement} [{self.id}]"]
        lines += [f"  {line}" for line in self.evidence]
        lines += [f"  cause: {self.cause}", f"  change: {self.change}"]
        return "\n".join(lines)


@dataclass(frozen=True)
class Anomaly:
    """A pattern in the packets that healthy TCP does not show."""

    id: str
    #: ``device``, ``path`` or ``provoked``: only the first counts against the device.
    by: str
    count: int
    connections: int
    workload: Optional[str]
    first_s: float
    last_s: float

    @classmethod
    def from_json(cls, of: Json) -> "Anomaly":
        return cls(
            id=of["id"],
            by=of["class"],
            count=of["count"],
            connections=of["connections"],
            workload=of.get("workload"),
            first_s=of["first_s"],
            last_s=of["last_s"],
        )


@dataclass(frozen=True)
class Threshold:
    """A gate and how it was judged."""

    expr: str
    #: ``pass``, ``fail`` or ``inconclusive``.
    status: str
    #: In ``unit``; None where it was not measured.
    value: Optional[float]
    unit: str
    reason: Optional[str]

    @classmethod
    def from_json(cls, of: Json) -> "Threshold":
        return cls(
            expr=of["expr"],
            status=of["status"],
            value=of.get("value"),
            unit=of["unit"],
            reason=of.get("reason"),
        )


@dataclass(frozen=True)
class Probe:
    """One kind of probe beside the workloads: ``icmp``, ``tcp_connect``, ``telemetry``."""

    kind: str
    sent: int
    lost: int
    longest_gap_s: Optional[float]
    latency: Latency

    @classmethod
    def from_json(cls, of: Json) -> "Probe":
        return cls(
            kind=of["kind"],
            sent=of["sent"],
            lost=of["lost"],
            longest_gap_s=of.get("longest_gap_s"),
            latency=Latency.from_json(of["latency"]),
        )


@dataclass(frozen=True)
class Capture:
    """Whether the packets were looked at."""

    #: ``complete``, ``file_incomplete``, ``dropped``, ``denied`` or ``off``.
    status: str
    packets: Optional[int]
    dropped: Optional[int]
    reason: Optional[str]

    @property
    def saw_all(self) -> bool:
        """Whether the absence of an anomaly means that there was none."""
        return self.status in ("complete", "file_incomplete")

    @classmethod
    def from_json(cls, of: Json) -> "Capture":
        return cls(
            status=of["status"],
            packets=of.get("packets"),
            dropped=of.get("dropped"),
            reason=of.get("reason"),
        )


@dataclass(frozen=True)
class Target:
    """The device that was tested."""

    address: str
    #: ``device``, ``twin``, ``sim`` or ``tap``.
    kind: str
    stack: Optional[str]
    firmware: Optional[str]
    capacity: Optional[int]

    @classmethod
    def from_json(cls, of: Json) -> "Target":
        return cls(
            address=of["address"],
            kind=of["kind"],
            stack=of.get("stack"),
            firmware=of.get("firmware"),
            capacity=of.get("capacity"),
        )


@dataclass(frozen=True)
class Report:
    """What one run did, measured, saw and concluded."""

    target: Target
    seed: int
    started_at: str
    duration_s: float
    interrupted: bool
    #: ``pass``, ``fail`` or ``inconclusive``.
    verdict: str
    verdict_reasons: tuple[str, ...]
    capture: Capture
    workloads: tuple[Workload, ...]
    findings: tuple[Finding, ...]
    anomalies: tuple[Anomaly, ...]
    thresholds: tuple[Threshold, ...]
    probes: tuple[Probe, ...]
    remarks: tuple[str, ...]
    #: Everything, as the report has it.
    raw: Json = field(repr=False)

    @classmethod
    def from_json(cls, of: Union[str, bytes, Json]) -> "Report":
        """Reads a report from its JSON, as text or already parsed."""
        report: Json = json.loads(of) if isinstance(of, (str, bytes)) else of
        if "fleet_version" in report:
            raise ValueError("a report of several devices: take one out with `espstress report FILE --device NAME`")
        version = report.get("schema_version")
        if version != SCHEMA_VERSION:
            raise ValueError(f"a report of schema_version {version}; this module reads {SCHEMA_VERSION}")
        return cls(
            target=Target.from_json(report["target"]),
            seed=report["seed"],
            started_at=report["started_at"],
            duration_s=report["duration_s"],
            interrupted=report["interrupted"],
            verdict=report["verdict"],
            verdict_reasons=tuple(report.get("verdict_reasons") or ()),
            capture=Capture.from_json(report["capture"]),
            workloads=tuple(Workload.from_json(one) for one in report["workloads"]),
            findings=tuple(Finding.from_json(one) for one in report["findings"]),
            anomalies=tuple(Anomaly.from_json(one) for one in report["anomalies"]),
            thresholds=tuple(Threshold.from_json(one) for one in report["thresholds"]),
            probes=tuple(Probe.from_json(one) for one in report["probes"]),
            remarks=tuple(report.get("remarks") or ()),
            raw=report,
        )

    @classmethod
    def read(cls, path: Union[str, Path]) -> "Report":
        """Reads a report's file."""
        return cls.from_json(Path(path).read_text(encoding="utf-8"))

    @property
    def passed(self) -> bool:
        return self.verdict == "pass"

    def workload(self, name: str) -> Workload:
        """The workload of that name."""
        for one in self.workloads:
            if one.name == name:
                return one
        known = ", ".join(one.name for one in self.workloads) or "none"
        raise KeyError(f"no workload {name!r}; the report has {known}")

    def finding(self, id: str) -> Optional[Finding]:
        """The finding of that id; None where the run does not have it."""
        return next((one for one in self.findings if one.id == id), None)

    def check(self, *, allow_inconclusive: bool = False) -> "Report":
        """Raises an AssertionError that quotes the findings unless every gate passed; returns the report otherwise."""
        __tracebackhide__ = True
        if self.verdict == "fail":
            raise GateFailed(self.explain(), self)
        if self.verdict == "inconclusive" and not allow_inconclusive:
            raise Inconclusive(self.explain(), self)
        return self

    def explain(self) -> str:
        """The verdict, why, and the findings, as text."""
        lines = [f"espstress: {self.verdict} on {self.target.address} ({self.target.kind}), seed {self.seed}"]
        lines += self.verdict_reasons
        lines += [str(finding) for finding in self.findings if finding.severity != "info"]
        for workload in self.workloads:
            failures = ", ".join(f"{name} {n}" for name, n in workload.failures.items())
            lines.append(f"{workload.name}: {workload.succeeded} of {workload.attempts} succeeded" + (f"; {failures}" if failures else ""))
        return "\n".join(lines)
