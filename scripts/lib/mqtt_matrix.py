#!/usr/bin/env python3
"""Every MQTT persona of the twin against the fault that shows it, and a robust client against every fault.

Right is: the finding that names the persona and no other of the device, and none for the robust client. Keep-alive is two
seconds, messages are numbered. Exit status 1 when a run says something else.

  mqtt_matrix.py --program target/release/espstress [--stack lwip,smoltcp] [--link clean,home] [--at-once 3] [--only WORD]
"""

import argparse
import concurrent.futures
import json
import subprocess
import sys
import tempfile
from pathlib import Path

PUBLISH = ["--publish", "espstress/twin-1/cmd"]

SLOWER = ["--device-keepalive", "6s"]

# Persona, arguments, the findings that are right.
PERSONAS = [
    # 1.7 keep-alives are 1.5 and a margin that a busy machine does not use up.
    ("mqtt-late-ping", ["-d", "22s", *SLOWER], ["mqtt_keepalive_missed"]),
    ("mqtt-deaf-ping", ["--fault", "silent"], ["mqtt_outage_unnoticed"]),
    ("mqtt-deaf-ping", ["--fault", "silent", "--by", "link"], ["mqtt_outage_unnoticed"]),
    ("mqtt-deaf-ping", ["--fault", "frozen"], ["mqtt_outage_unnoticed"]),
    ("mqtt-no-retry", ["--fault", "close", "--outage", "3s", "--recover-limit", "8s"], ["mqtt_no_reconnect"]),
    ("mqtt-storm", ["--fault", "close", "--outage", "4s"], ["mqtt_reconnect_storm"]),
    ("mqtt-forgetful", ["--fault", "session-lost"], ["mqtt_not_resubscribed"]),
    ("mqtt-no-dup", ["--fault", "frozen"], ["mqtt_dup_missing"]),
    # Shorter than its own time-out, so that it repeats on one connection.
    ("mqtt-repeat", ["--fault", "slow", "--delay", "4s", "--outage", "9s", *SLOWER], ["mqtt_duplicates"]),
    ("mqtt-session-blind", ["--fault", "session-kept", "--recover-limit", "8s"], ["mqtt_session_refused"]),
    ("mqtt-small-buffer", ["--fault", "big", *PUBLISH], ["mqtt_big_packet"]),
    ("mqtt-lossy", ["--fault", "close", "--outage", "3s"], ["mqtt_message_lost"]),
    ("mqtt-blocking", ["--fault", "silent", "--outage", "20s"], ["blocked_application"]),
]

FAULTS = [
    "none", "close", "reset", "silent", "frozen", "no-pingresp", "no-connack", "refuse", "slow", "takeover",
    "session-lost", "session-kept", "redeliver", "big",
]


def cases():
    yield from PERSONAS
    for fault in FAULTS:
        # A delay above half a keep-alive is the broker's own doing.
        arguments = ["--fault", fault, *PUBLISH] + (["-d", "12s"] if fault == "none" else [])
        yield "robust", arguments + (["--delay", "300ms"] if fault == "slow" else []), []
    yield "robust", ["--fault", "silent", "--by", "link", *PUBLISH], []


def run(program, stack, link, persona, arguments, wanted, seed):
    # Without a fault these have no effect, and are refused.
    faulty = "--fault" in arguments and "none" not in arguments
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            program, "mqtt", "twin", "--stack", stack, "--link", link, "--persona", persona, "--seed", str(seed),
            *([] if "--device-keepalive" in arguments else ["--device-keepalive", "2s"]), "--device-interval", "500ms",
            "--sequence", "auto", *(["--cycles", "1", "--settle", "3s"] if faulty else []), *arguments, "--no-gate", "-q",
            "-o", str(report),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        words = " ".join(command[1:-1])
        if not report.exists():
            return False, f"BROKEN: no report, status {done.returncode}: {words}: {done.stderr[-300:]}"
        report = json.loads(report.read_text())
    # A busy machine says nothing of the device, and a link that loses packets is not the device's.
    about_device = [f["id"] for f in report["findings"] if f["id"] not in ("host_limited", "lossy_link")]
    mqtt = report["workloads"][0]["mqtt"]
    right = about_device == wanted and report["capture"]["status"] == "complete" and mqtt["clients"]
    rows = [
        f'{o["fault"]}: notices {o["device_notices_s"]} {o["device_sign"]}, attempts {o["attempts"]}, back {o["back_s"]}, '
        f'not judged {o["not_judged"]}'
        for o in mqtt["outages"]
    ]
    # Nothing is left open by a fault that was not made.
    faulty = arguments[arguments.index("--fault") + 1] if "--fault" in arguments else "none"
    right = right and (faulty == "none" or len(rows) == 1)
    line = f"{stack}, {link}, {persona}: {', '.join(about_device) or 'none'}: {' '.join(arguments)}"
    if not right:
        line = f"BROKEN: {line}\n  wanted {wanted}; {rows}; {mqtt['to_host']} {mqtt['to_device']} {mqtt['unavailable']}\n  espstress {words}"
        line += "".join(f'\n  {f["id"]}: {f["statement"]}' for f in report["findings"])
    return right, line


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--stack", default="lwip,smoltcp")
    parser.add_argument("--link", default="clean,home")
    parser.add_argument("--at-once", type=int, default=3)
    parser.add_argument("--only", default="")
    chosen = parser.parse_args()
    good = total = 0
    with concurrent.futures.ThreadPoolExecutor(chosen.at_once) as pool:
        runs = [
            pool.submit(run, chosen.program, stack, link, *case, seed)
            for stack in chosen.stack.split(",")
            for link in chosen.link.split(",")
            for seed, case in enumerate(cases(), 1)
            if chosen.only in " ".join([case[0], *case[1]])
        ]
        for done in concurrent.futures.as_completed(runs):
            right, line = done.result()
            good, total = good + right, total + 1
            print(("- " if right else "") + line, flush=True)
    print(f"{good} of {total} runs said what is right")
    return 0 if good == total else 1


if __name__ == "__main__":
    sys.exit(main())
