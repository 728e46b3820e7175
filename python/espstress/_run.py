"""Runs the program and reads its report."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Iterable, Iterator, Optional, Sequence, Union

from ._report import Report

#: What a flag may have.
Value = Union[None, bool, int, float, str, Path, timedelta, Sequence[Union[int, float, str, Path]]]

#: Statuses with which a run has a report: passed, failed, inconclusive, interrupted.
_WITH_REPORT = (0, 1, 4, 130)


class EspstressError(RuntimeError):
    """The program did not run: wrong flags (status 2), or the target or this machine would not let it (status 3)."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def program() -> str:
    """The program: ``ESPSTRESS_BIN``, or the one that was installed with this module, or the one in PATH."""
    named = os.environ.get("ESPSTRESS_BIN")
    if named:
        return named
    name = "espstress.exe" if sys.platform == "win32" else "espstress"
    folders = [sysconfig.get_path("scripts"), os.path.dirname(sys.executable)]
    for folder in folders:
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK):
            return path
    found = shutil.which(name)
    if found:
        return found
    raise EspstressError(
        "there is no espstress program: install the wheel (`pip install espstress`), or set ESPSTRESS_BIN", 3
    )


def flags(options: "dict[str, Value]") -> Iterator[str]:
    """Keyword arguments as flags."""
    for name, value in options.items():
        flag = "--" + name.rstrip("_").replace("_", "-")
        if value is None or value is False:
            continue
        if value is True:
            yield flag
        elif isinstance(value, timedelta):
            yield f"{flag}={round(value.total_seconds() * 1000)}ms"
        elif isinstance(value, (int, float, str, Path)):
            yield f"{flag}={value}"
        else:
            for one in value:
                yield f"{flag}={one}"


def execute(
    command: str,
    positional: Iterable[str],
    options: "dict[str, Value]",
    *,
    bin: Optional[str] = None,
    timeout: Optional[float] = None,
    output: Union[None, str, Path] = None,
) -> Report:
    """Runs a command that has a report.

    ``timeout`` is in seconds: after it the run is ended as by SIGTERM, and its report is still read.
    ``output`` keeps the report's file.
    """
    with tempfile.TemporaryDirectory(prefix="espstress-") as folder:
        path = Path(output) if output is not None else Path(folder) / "report.json"
        # A file of an earlier run must not be taken for this one's.
        path.unlink(missing_ok=True)
        arguments = [bin or program(), command, *positional, "--quiet", "--output", str(path), *flags(options)]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            _, said = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.terminate()
            _, said = process.communicate()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        status = process.returncode
        if status not in _WITH_REPORT or not path.exists():
            raise EspstressError(f"`espstress {command}` ended with status {status}: {said.strip()}", status)
        return Report.read(path)


def _workload(
    command: str,
    target: str,
    timeout: Optional[float],
    output: Union[None, str, Path],
    options: "dict[str, Value]",
) -> Report:
    return execute(command, [target] if target else [], options, timeout=timeout, output=output)


def head(target: str, *, timeout: Optional[float] = None, output: Union[None, str, Path] = None, **options: Value) -> Report:
    """``espstress head``: a connection for each HTTP request."""
    return _workload("head", target, timeout, output, options)


def rw(target: str, *, timeout: Optional[float] = None, output: Union[None, str, Path] = None, **options: Value) -> Report:
    """``espstress rw``: persistent connections with a checked payload."""
    return _workload("rw", target, timeout, output, options)


def outage(target: str = "", *, timeout: Optional[float] = None, output: Union[None, str, Path] = None, **options: Value) -> Report:
    """``espstress outage``: idle connections through outages."""
    return _workload("outage", target, timeout, output, options)


def half_open(target: str, *, timeout: Optional[float] = None, output: Union[None, str, Path] = None, **options: Value) -> Report:
    """``espstress half-open``: clients that vanish."""
    return _workload("half-open", target, timeout, output, options)


def mqtt(target: str = "", *, timeout: Optional[float] = None, output: Union[None, str, Path] = None, **options: Value) -> Report:
    """``espstress mqtt``: a broker that misbehaves."""
    return _workload("mqtt", target, timeout, output, options)


def doctor(target: str, *, timeout: Optional[float] = None, output: Union[None, str, Path] = None, **options: Value) -> Report:
    """``espstress doctor``: what is wrong with a device, in a minute."""
    return _workload("doctor", target, timeout, output, options)


def run(
    scenario: str = "quick",
    *,
    target: Optional[str] = None,
    timeout: Optional[float] = None,
    output: Union[None, str, Path] = None,
    **options: Value,
) -> Report:
    """``espstress run``: a scenario file, or a built-in one."""
    return execute("run", [scenario], {"target": target, **options}, timeout=timeout, output=output)
