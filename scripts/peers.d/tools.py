"""The programs that are compared: where they are, how they are asked for the same work, what they say of it."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from page import ROOT

# Debian keeps servers where the path of ordinary users does not lead.
os.environ["PATH"] += os.pathsep + "/usr/sbin"

HOW_TO_GET = {
    "wrk": "apt-get install wrk",
    "ab": "apt-get install apache2-utils",
    "hey": "apt-get install hey",
    "oha": "cargo install oha --locked",
    "nginx": "apt-get install nginx-light",
    "cc": "apt-get install gcc",
}


def say(text):
    """Progress, beside the tables."""
    print(text, file=sys.stderr, flush=True)


def find(name):
    """A program's path, or None."""
    return shutil.which(name)


def found(names):
    """Those that are there; says which are not."""
    there = [name for name in names if find(name)]
    for name in names:
        if name not in there:
            say(f"without {name}: not found ({HOW_TO_GET[name]})")
    return there


def need(name):
    """A program's path."""
    path = find(name)
    if path is None:
        raise RuntimeError(f"there is no {name} ({HOW_TO_GET[name]})")
    return path


def espstress():
    """The program's path; it is built when $ESPSTRESS does not name it."""
    given = os.environ.get("ESPSTRESS")
    if given:
        return str(Path(given).resolve())
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet"], cwd=ROOT, check=True)
    folder = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    return str(Path(folder).resolve() / "release" / "espstress")


def compile_c(name, folder):
    """Compiles one of the C programs beside this file into `folder`."""
    program = Path(folder) / name
    source = Path(__file__).with_name(f"{name}.c")
    subprocess.run([need("cc"), "-O2", "-Wall", "-pthread", "-o", program, source], check=True)
    return str(program)


def version(name):
    """What the program says of its version, on one line; a Debian package's where it says nothing."""
    asked = {"wrk": ["-v"], "ab": ["-V"], "oha": ["--version"], "nginx": ["-v"], "cc": ["--version"]}.get(name)
    if asked is None:
        told = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name], capture_output=True, text=True, check=False)
        return f"{name} {told.stdout.strip() or 'of unknown version'}"
    told = subprocess.run([need(name), *asked], capture_output=True, text=True, check=False)
    line = (told.stdout + told.stderr).strip().splitlines()[0]
    line = re.sub(r"This is |, Version| \$?<?\$Revision.*| version:| Copyright.*", "", line)
    return line.strip()


@dataclass
class Work:
    """A HEAD over a new connection each, the server closing it."""

    host: str
    port: int
    at_once: int
    count: int
    folder: Path
    # wrk waits for the body that a response to HEAD announces; there it has to be GET.
    wrk_method: str = "HEAD"

    @property
    def url(self):
        return f"http://{self.host}:{self.port}/"


def command(name, work, seconds):
    """A peer's command line for the work. wrk knows no number of requests: it works for `seconds`."""
    url, at_once, count = work.url, str(work.at_once), str(work.count)
    if name == "wrk":
        script = work.folder / "method.lua"
        script.write_text(f'wrk.method = "{work.wrk_method}"\n')
        return [need("wrk"), "-t", "1", "-c", at_once, "-d", f"{max(1, round(seconds))}s", "--timeout", "5s",
                "-s", str(script), "-H", "Connection: close", url]
    if name == "ab":
        return [need("ab"), "-q", "-i", "-s", "5", "-c", at_once, "-n", count, url]
    if name == "hey":
        return [need("hey"), "-m", "HEAD", "-disable-keepalive", "-t", "5", "-c", at_once, "-n", count, url]
    if name == "oha":
        return [need("oha"), "--no-tui", "-m", "HEAD", "--disable-keepalive", "-t", "5s", "-c", at_once, "-n", count, url]
    raise ValueError(name)


def number(pattern, text):
    """The number that a pattern finds, or None."""
    hit = re.search(pattern, text, re.MULTILINE)
    return float(hit[1].replace(",", "")) if hit else None


def served(name, text):
    """What a peer says that it got: responses of status 200, and how many a second."""
    if name == "wrk":
        wrong = number(r"Non-2xx or 3xx responses: (\d+)", text) or 0
        return (number(r"(\d+) requests in", text) or 0) - wrong, number(r"Requests/sec:\s+([\d.]+)", text)
    if name == "ab":
        wrong = (number(r"Failed requests:\s+(\d+)", text) or 0) + (number(r"Non-2xx responses:\s+(\d+)", text) or 0)
        return (number(r"Complete requests:\s+(\d+)", text) or 0) - wrong, number(r"Requests per second:\s+([\d.]+)", text)
    return number(r"\[200\]\s+(\d+) responses", text) or 0, number(r"Requests/sec:\s+([\d.]+)", text)


def measured(measure, file, cpu, words):
    """Runs a command on one processor: what it cost, and its output."""
    done = subprocess.run([measure, str(file), str(cpu), *words], capture_output=True, text=True, check=False)
    if not Path(file).exists():
        raise RuntimeError(f"{words[0]}: {done.stderr.strip()}")
    cost = json.loads(Path(file).read_text())
    Path(file).unlink()
    if cost["status"] != 0:
        raise RuntimeError(f"{' '.join(words)}: status {cost['status']}: {(done.stderr + done.stdout).strip()[-400:]}")
    return cost, done.stdout
