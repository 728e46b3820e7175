"""Stress a small networked device with real traffic, and get the report as objects.

    import espstress

    report = espstress.head("192.168.4.1", count=1000, connections=4)
    report.check()                                  # an AssertionError that quotes the finding
    print(report.workload("head").latency["total"].p99_us)

Keyword arguments are the command's flags: ``pause_after_failure="1s"`` is ``--pause-after-failure 1s``, ``True`` is a
flag without a value, a list repeats it.
"""

from ._report import (
    Anomaly,
    Capture,
    Finding,
    GateFailed,
    Inconclusive,
    Latency,
    Probe,
    Report,
    Target,
    Threshold,
    Workload,
)
from ._run import (
    EspstressError,
    Value,
    doctor,
    half_open,
    head,
    mqtt,
    outage,
    program,
    run,
    rw,
)

__all__ = [
    "Anomaly",
    "Capture",
    "EspstressError",
    "Finding",
    "GateFailed",
    "Inconclusive",
    "Latency",
    "Probe",
    "Report",
    "Target",
    "Threshold",
    "Value",
    "Workload",
    "doctor",
    "half_open",
    "head",
    "mqtt",
    "outage",
    "program",
    "run",
    "rw",
]
