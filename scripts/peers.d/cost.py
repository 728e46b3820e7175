"""What the same work costs with each tool, and what latency each reports.

The work is a HEAD over a new connection each, 16 at once, which the server closes, against nginx on one processor with
the client on another. The tools take turns; figures are medians over the rounds, ratios medians of the ratios inside
each round. Beside the peers stands a minimal client in C (scripts/peers.d/client.c): what it costs is the kernel's share,
and with a ring the kernel's share of a capture.
Needs a machine with nothing else to do: with other load only the ratios mean something, and those not much.
"""

import json
import os
import platform
import re
import statistics
import sys
import tempfile
from pathlib import Path

import page
import tools
from server import Nginx
from tools import Work, say

NAME = "cost"
PAGE = "docs/performance.md"
AT_ONCE = 16
PER = 100_000
RATE = 1_000

BARE = "espstress head"
SEEING = "espstress head, with capture and all rules"
C = "minimal C client"
RINGED = "minimal C client, with a ring of packets that nobody reads"
# With capture the last connection of each source port is kept, some 28,000 in all; it is flat once each was used.
FLAT_FROM = {BARE: 10_000, SEEING: 100_000}
PEERS = ["wrk", "ab", "oha", "hey"]


def options(part):
    part.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds, each tool once in each (default 5)")
    part.add_argument("--count", type=int, default=100_000, metavar="N",
                      help="connections of each tool in a round (default 100000)")
    part.add_argument("--memory", type=int, default=1_000_000, metavar="N",
                      help="connections of the long run whose memory is held against shorter ones "
                      "(default 1000000, at least 100000; 0 leaves it out)")
    part.add_argument("--seconds", type=int, default=20, metavar="N",
                      help=f"length of each run at {RATE}/s (default 20; 0 leaves them out)")
    part.add_argument("-o", "--output", metavar="FILE", help="keep every single figure as JSON")
    part.add_argument("--strict", action="store_true", help="exit status 1 when a target is missed")


class Bench:
    """What every measurement has."""

    def __init__(self, folder, server, cpu):
        self.folder = folder
        self.server = server
        self.cpu = cpu
        self.program = tools.espstress()
        self.client = tools.compile_c("client", folder)
        self.measure = tools.compile_c("measure", folder)
        # Where wrk's number of requests is to come from a time: its rate so far.
        self.wrk_rate = 20_000

    def cost(self, words):
        return tools.measured(self.measure, self.folder / "cost.json", self.cpu, words)

    def head(self, looking, load):
        """espstress on the work: cost, and its report."""
        file = self.folder / "report.json"
        words = [self.program, "head", f"{self.server.host}:{self.server.port}", "-c", str(AT_ONCE), "--close", "wait",
                 "--no-gate", "--no-probes", "-q", "-o", str(file), *looking, *load]
        cost, _ = self.cost(words)
        report = json.loads(file.read_text())
        return cost, report

    def once(self, name, count):
        """One tool once: cost for so many connections, scaled to PER."""
        work = Work(self.server.host, self.server.port, AT_ONCE, count, self.folder)
        if name in (BARE, SEEING):
            looking = ["--no-capture"] if name == BARE else []
            cost, report = self.head(looking, ["-n", str(count)])
            w = report["workloads"][0]
            good, rate = w["succeeded"], w["attempts_per_s"]
            if name == SEEING and report["capture"]["status"] != "complete":
                say(f"  capture was {report['capture']['status']}: {report['capture']['reason']}")
                cost["capture"] = report["capture"]["status"]
        elif name in (C, RINGED):
            looking = ["--ring"] if name == RINGED else []
            cost, text = self.cost([self.client, *looking, work.host, str(work.port), str(AT_ONCE), str(count)])
            told = json.loads(text)
            if told.get("dropped"):
                raise RuntimeError(f"the ring dropped {told['dropped']} packets")
            good, rate = told["attempts"] - told["failed"], told["attempts"] / told["seconds"]
        else:
            cost, text = self.cost(tools.command(name, work, count / self.wrk_rate))
            good, rate = tools.served(name, text)
            if name == "wrk":
                count, self.wrk_rate = good, rate or self.wrk_rate
        if not good or good < count:
            raise RuntimeError(f"{name}: {good} of {count} were served")
        scale = PER / good
        return {
            "cpu_s": (cost["user_s"] + cost["system_s"]) * scale,
            "user_s": cost["user_s"] * scale,
            "rate": rate,
            "peak_kib": cost["peak_kib"],
            "capture": cost.get("capture"),
        }

    def paced(self, name, seconds):
        """p50 and p99 at RATE, from the intended start, microseconds."""
        count = RATE * seconds
        if name == C:
            _, text = self.cost([self.client, self.server.host, str(self.server.port), str(AT_ONCE), str(count), str(RATE)])
            told = json.loads(text)
            return {"p50_us": told["p50_us"], "p99_us": told["p99_us"], "max_us": told["max_us"]}
        looking = ["--no-capture"] if name == BARE else []
        _, report = self.head(looking, ["-n", str(count), "-r", f"{RATE}/s"])
        total = report["workloads"][0]["latency"]["total"]
        return {key: total[key] for key in ("p50_us", "p99_us", "max_us")}


def rounds(names, number, what, one):
    """Every name once a round, in an order that moves on; {name: [figures]}."""
    all_figures = {name: [] for name in names}
    for i in range(number):
        turn = names[i % len(names):] + names[:i % len(names)]
        for name in turn:
            figures = one(name)
            all_figures[name].append(figures)
            say(f"  {what} {i + 1}/{number}: {name}: " + ", ".join(
                f"{key} {value:,.2f}" for key, value in figures.items() if isinstance(value, float)))
    return all_figures


def median(figures, key):
    return statistics.median(f[key] for f in figures)


def ratio(ours, theirs, key):
    """Median of the ratios round by round."""
    return statistics.median(a[key] / b[key] for a, b in zip(ours, theirs))


def distance(ours, theirs, key):
    """Median of the differences round by round."""
    return statistics.median(a[key] - b[key] for a, b in zip(ours, theirs))


def cost_table(costs):
    rows = []
    for name, figures in costs.items():
        cpu = [f["cpu_s"] for f in figures]
        against = [f"{ratio(figures, costs[other], 'cpu_s'):.2f}" if other in costs else "-" for other in ("wrk", "ab", C)]
        rows.append([name, f"{statistics.median(cpu):.2f} s", f"{min(cpu):.2f} - {max(cpu):.2f}",
                     f"{median(figures, 'user_s'):.2f} s", *against, f"{median(figures, 'rate'):,.0f}",
                     f"{median(figures, 'peak_kib') / 1024:.1f} MiB"])
    head = ["client", "CPU, user + system", "least - most", "user part", "x wrk", "x ab", "x C", "connections/s", "peak memory"]
    return page.table(head, rows, right=range(1, len(head)))


def latency_table(paced):
    rows = []
    for name, figures in paced.items():
        rows.append([name, *(f"{median(figures, key):.0f} us" for key in ("p50_us", "p99_us")),
                     *(f"{distance(figures, paced[C], key):+.0f} us" for key in ("p50_us", "p99_us"))])
    head = ["client", "p50", "p99", "p50 less C's", "p99 less C's"]
    return page.table(head, rows, right=range(1, len(head)))


def memory_table(memory):
    rows = [[name, *(f"{kib / 1024:.1f} MiB" for kib in peaks.values())] for name, peaks in memory.items()]
    counts = next(iter(memory.values()))
    head = ["client", *(f"{count:,} connections" for count in counts)]
    return page.table(head, rows, right=range(1, len(head)))


def targets(costs, paced, memory):
    """[target, measured, whether it holds (None: not measured)]."""
    rows = []
    ours = costs[BARE]
    if "wrk" in costs:
        x = ratio(ours, costs["wrk"], "cpu_s")
        rows.append(["CPU without capture below wrk's", f"{x:.2f} x", x < 1])
    user = median(ours, "user_s")
    rows.append([f"user part below 0.4 s per {PER:,}", f"{user:.2f} s", user < 0.4])
    looked = all(f["capture"] is None for f in costs[SEEING])
    for peer in ("ab", "oha"):
        if peer in costs:
            x = ratio(costs[SEEING], costs[peer], "cpu_s")
            rows.append([f"CPU with capture and all rules below {peer}'s", f"{x:.2f} x" if looked else "no complete capture",
                         x < 1 if looked else None])
    for name, peaks in memory.items():
        if max(peaks) > FLAT_FROM.get(name, max(peaks)):
            few, many = FLAT_FROM[name], max(peaks)
            low, high = peaks[few], peaks[many]
            rows.append([f"memory flat from {few:,} to {many:,} connections: {name}", f"{(high - low) / 1024:+.1f} MiB",
                         high - low <= max(1024, low / 10)])
    if memory:
        many = max(memory[SEEING])
        peak = memory[SEEING][many] * 1024 / 1e6
        rows.append([f"memory below 40 MB with {many:,} connections, with capture and all rules", f"{peak:.1f} MB", peak < 40])
    if paced:
        for key in ("p50_us", "p99_us"):
            theirs = median(paced[C], key)
            allowed = max(20, theirs / 10)
            away = distance(paced[BARE], paced[C], key)
            rows.append([f"{key[:3]} at {RATE:,}/s within 10 % or 20 us of the C client's {theirs:.0f} us", f"{away:+.0f} us",
                         away <= allowed])
    return rows


def targets_table(rows):
    words = {True: "PASS", False: "MISS", None: "not judged"}
    return page.table(["target", "measured", ""], [[what, figure, words[holds]] for what, figure, holds in rows])


def machine(peers, chosen):
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    cpu = model[1].strip() if model else platform.machine()
    versions = ", ".join(tools.version(name) for name in [*peers, "nginx", "cc"])
    return (f"{os.cpu_count()} x {cpu}, Linux {platform.release()}; {versions}. "
            f"{chosen.rounds} rounds of {chosen.count:,} connections.")


def memory_runs(bench, most):
    peaks = {}
    for name in (BARE, SEEING, *(["oha"] if tools.find("oha") else [])):
        peaks[name] = {}
        for count in sorted({10_000, 100_000, most}):
            peaks[name][count] = bench.once(name, count)["peak_kib"]
            say(f"  memory: {name}: {count:,} connections: {peaks[name][count] / 1024:.1f} MiB")
    return peaks


def run(chosen):
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise RuntimeError("client and server need a processor each")
    peers = tools.found(PEERS)
    with tempfile.TemporaryDirectory() as folder, Nginx(cpus[-1], folder) as server:
        bench = Bench(Path(folder), server, cpus[0])
        names = [C, RINGED, *peers, BARE, SEEING]
        # The first connections of all warm up the server, for none of them.
        bench.once(C, min(chosen.count, 10_000))
        costs = rounds(names, chosen.rounds, "cost", lambda name: bench.once(name, chosen.count))
        paced = {}
        if chosen.seconds:
            paced = rounds([C, BARE, SEEING], chosen.rounds, f"{RATE}/s", lambda name: bench.paced(name, chosen.seconds))
        memory = memory_runs(bench, max(100_000, chosen.memory)) if chosen.memory else {}
    if chosen.output:
        everything = {"costs": costs, "paced": paced, "memory": memory}
        Path(chosen.output).write_text(json.dumps(everything, indent=1) + "\n")
    judged = targets(costs, paced, memory)
    blocks = {"machine": machine(peers, chosen), "targets": targets_table(judged), "cost": cost_table(costs)}
    if paced:
        blocks["latency"] = latency_table(paced)
    if memory:
        blocks["memory"] = memory_table(memory)
    page.show(blocks)
    sys.stdout.flush()
    if chosen.write:
        page.write(PAGE, blocks)
    return 1 if chosen.strict and any(holds is False for _, _, holds in judged) else 0
