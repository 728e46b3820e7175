"""What each tool says of a device with a fault: its own output and exit status, beside what espstress finds.

Every run has a twin of its own with one persona, on a clean link. The others make HEADs (wrk GETs) over a new connection each,
with time-outs of 5 s; espstress does the same where that shows the fault, and otherwise the workload that is made for it.
Needs what `espstress twin` needs.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import page
import tools
from tools import Work, say

NAME = "sight"
PAGE = "docs/what-others-see.md"
PEERS = ["wrk", "ab", "hey", "oha"]
TWIN = "192.168.4.91"
SEED = "1"
# Lines of a tool's output that are shown.
MOST_LINES = 5
# wrk goes by time.
WRK_S = 8
# A tool that has not ended after this long never would.
PATIENCE_S = 60

STORM = ["head", "twin", "-c", "4", "-n", "300"]
PACED = ["head", "twin", "-r", "20/s", "-d", "15s"]


@dataclass
class Case:
    """A persona's habit, the run of espstress that shows it, and how many HEADs the others make, how many at once."""

    habit: str
    words: list
    count: int = 300
    at_once: int = 4


PERSONAS = {
    "robust": Case("none", STORM),
    "unread-close": Case("replies and closes with request bytes unread", STORM),
    "early-close": Case("replies and closes before the request has arrived",
                        ["head", "twin", "-c", "4", "-n", "40", "--request-delay", "300ms"]),
    "serial": Case("one client at a time, no time-out", ["half-open", "twin"]),
    "no-keepalive": Case("never notices a vanished peer", ["half-open", "twin"]),
    "leaky": Case("forgets to close after an error", ["head", "twin", "-n", "20", "--close", "rst", "--timeout-connect", "1s"]),
    "hoarder": Case("keeps 256 bytes of every request", PACED),
    "slow-accept": Case("accepts one connection a second", ["head", "twin", "-c", "16", "-n", "32", "--timeout-connect", "3500ms",
                                                               "--timeout-read", "20s"], 32, 16),
    "deaf": Case("stops reading in mid-stream", ["rw", "twin", "--size", "16KiB", "-n", "20"]),
    "half-closer": Case("never closes after the peer's FIN", ["head", "twin", "-c", "4", "-n", "60"], 60),
    "frozen": Case("the application hangs, the stack lives", ["head", "twin", "-c", "4", "-n", "20"], 20),
    "rebooting": Case("restarts every few seconds", PACED, 30_000),
}

# What of a tool's output says how it went.
TELLING = {
    "wrk": r"requests in|Socket errors|Non-2xx",
    "ab": r"Complete requests|Failed requests|\(Connect:|Non-2xx|apr_|Total of",
    "hey": r"^\s*\[\d+\]\s",
    "oha": r"Success rate|^\s*\[\d+\] (?!\|)|Error distribution",
}


def options(part):
    part.add_argument("--persona", action="append", choices=list(PERSONAS), metavar="NAME",
                      help="only this one; may be repeated")


def status_text(code):
    return "did not end" if code is None else f"exit {code}"


def run_in_twin(program, persona, words):
    """A command inside the network of a twin: (output, exit status or None)."""
    # `timeout` ends it from inside: a killed espstress would take the network from under the tool.
    whole = [program, "twin", "--persona", persona, "--seed", SEED, "--", "timeout", str(PATIENCE_S), *words]
    done = subprocess.run(whole, capture_output=True, text=True, check=False, errors="replace")
    return done.stdout + "\n" + done.stderr, None if done.returncode == 124 else done.returncode


def told(name, text):
    """The lines that say how it went, blanks drawn together."""
    lines = [" ".join(line.split()) for line in text.splitlines() if re.search(TELLING[name], line)]
    return [line.split("(be patient)...")[-1] for line in lines if line]


def short(name, lines):
    """The same in a table's cell: what was served, and what was complained about."""
    text = "\n".join(lines)
    if name == "wrk":
        served = re.search(r"(\d+) requests in", text)
        errors = re.search(r"Socket errors: (.*)", text)
        parts = [f"{served[1]} served" if served else "no figure"]
        if errors:
            parts.append(", ".join(part for part in errors[1].split(", ") if not part.endswith(" 0")))
    elif name == "ab":
        whole = re.search(r"Complete requests: (\d+)", text)
        failed = re.search(r"Failed requests: (\d+)", text)
        parts = [f"{whole[1]} served, {failed[1]} failed" if whole and failed else "gave up"]
        parts += re.findall(r"apr_\w+: ([^(]+) \(\d+\)", text)
    else:
        served = re.search(r"\[200\] (\d+)", text)
        parts = [f"{served[1] if served else 0} served"]
        errors = sum(int(n) for n in re.findall(r"^\[(\d+)\] (?!\d+ responses)", text, re.MULTILINE))
        if errors:
            parts.append(f"{errors} errors")
    return ", ".join(part for part in parts if part)


def ask_peer(name, program, persona, folder):
    case = PERSONAS[persona]
    work = Work(TWIN, 80, case.at_once, case.count, folder, wrk_method="GET")
    words = tools.command(name, work, WRK_S)
    text, code = run_in_twin(program, persona, words)
    lines = told(name, text)
    shown = [Path(words[0]).name, *words[1:]]
    return {"line": " ".join(quoted(word) for word in shown).replace(str(folder) + "/", ""), "lines": few(lines),
            "short": "no figure" if code is None else short(name, lines), "status": code}


def few(lines):
    """The first lines, and how many more there are."""
    left_out = len(lines) - MOST_LINES
    return lines if left_out <= 1 else [*lines[:MOST_LINES], f"... and {left_out} lines more of this kind"]


def quoted(word):
    return f"'{word}'" if " " in word else word


def ask_espstress(program, persona, words):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        whole = [program, *words, "--persona", persona, "--seed", SEED, "-q", "-o", str(file)]
        done = subprocess.run(whole, capture_output=True, text=True, check=False)
        if not file.exists():
            raise RuntimeError(f"espstress {' '.join(words)}: {done.stderr.strip()}")
        report = json.loads(file.read_text())
    findings = [f for f in report["findings"] if f["severity"] in ("error", "warning")]
    counts = Counter()
    for a in report["anomalies"]:
        if a["class"] == "device":
            counts[a["id"]] += a["count"]
    charged = [f"{name} {n}" for name, n in counts.items()]
    w = report["workloads"][0]
    failures = ", ".join(f"{name} {n}" for name, n in w["failures"].items() if n)
    lines = [f"{report['verdict']}: {w['succeeded']} of {w['attempts']} served" + (f"; {failures}" if failures else "")]
    lines += [f"{f['severity']}: {f['statement']} [{f['id']}]" for f in findings]
    if charged:
        lines.append(f"anomalies of the device: {', '.join(charged)}")
    return {"line": " ".join(["espstress", *words, "--persona", persona]), "lines": lines,
            "short": ", ".join(f"`{f['id']}`" for f in findings) or "nothing", "status": done.returncode}


def summary(results, peers):
    rows = []
    for persona, said in results.items():
        cells = [f"{page.cell(said[who]['short'])}; {status_text(said[who]['status'])}" for who in ["espstress", *peers]]
        rows.append([f"`{persona}`", PERSONAS[persona].habit, *cells])
    return page.table(["persona", "what the device does", "espstress", *peers], rows)


def details(results, peers):
    parts = []
    for persona, said in results.items():
        lines = [f"### `{persona}`: {PERSONAS[persona].habit}".replace(": none", ""), "", "```text"]
        for who in ["espstress", *peers]:
            lines.append(f"$ {said[who]['line']}")
            lines += [f"  {line}" for line in said[who]["lines"] or ["(nothing that tells how it went)"]]
            lines.append(f"  ({status_text(said[who]['status'])})")
        parts.append("\n".join([*lines, "```"]))
    return "\n\n".join(parts)


def run(chosen):
    peers = tools.found(PEERS)
    program = tools.espstress()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for persona in chosen.persona or PERSONAS:
            said = {}
            for who in ["espstress", *peers]:
                if who == "espstress":
                    said[who] = ask_espstress(program, persona, PERSONAS[persona].words)
                else:
                    said[who] = ask_peer(who, program, persona, Path(folder))
                say(f"  {persona}: {who}: {said[who]['short']}; {status_text(said[who]['status'])}")
            results[persona] = said
    blocks = {
        "tools": ", ".join(tools.version(name) for name in peers) + ".",
        "sight": summary(results, peers),
        "details": details(results, peers),
    }
    page.show(blocks)
    sys.stdout.flush()
    if chosen.write:
        page.write(PAGE, blocks)
    return 0
