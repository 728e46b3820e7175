#!/usr/bin/env python3
"""What `espstress mqtt` counts against what tshark counts in the capture of the same run.

Three runs on the twin: pings of a quiet client, repetitions under a slow broker, and messages to the device. Exit status 1 when
a count differs, 2 without tshark.

  mqtt_tshark.py --program target/release/espstress
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

RUNS = [
    ("pings", ["-d", "20s", "--device-keepalive", "2s", "--device-interval", "10m"]),
    ("repetitions", ["--fault", "slow", "--delay", "3s", "--outage", "8s", "--cycles", "1", "--settle", "3s",
                     "--device-keepalive", "2s", "--device-interval", "500ms"]),
    ("to the device", ["--fault", "redeliver", "--outage", "5s", "--cycles", "1", "--settle", "3s", "--device-keepalive", "2s",
                       "--publish", "espstress/twin-1/cmd"]),
]
CONNECT, PUBLISH, PUBACK, PINGREQ = "1", "3", "4", "12"


def of_tshark(capture, device):
    """Packets by direction, kind, QoS and DUP. Only those with a TCP payload that came for the first time."""
    fields = ["ip.src", "mqtt.msgtype", "mqtt.qos", "mqtt.dupflag"]
    command = ["tshark", "-r", str(capture), "-d", "tcp.port==1883,mqtt", "-Y", "mqtt && !tcp.analysis.retransmission",
               "-T", "json", "-e", fields[0], *[word for field in fields[1:] for word in ("-e", field)]]
    frames = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    found = Counter()
    for frame in frames:
        layers = frame["_source"]["layers"]
        kinds, qos, dup = (layers.get(field, []) for field in fields[1:])
        # QoS and DUP are of PUBLISH packets alone, in their order.
        flags = iter(zip(qos, dup))
        for kind in kinds:
            side = "from" if layers["ip.src"][0] == device else "to"
            level, again = next(flags, ("0", "0")) if kind == PUBLISH else ("0", "0")
            found[side, kind, level, again in ("1", "True")] += 1
    return found


def compare(name, program, arguments):
    with tempfile.TemporaryDirectory() as folder:
        report, capture = Path(folder) / "report.json", Path(folder) / "run.pcapng"
        command = [program, "mqtt", "twin", "--seed", "1", *arguments, "--no-gate", "-q", "-o", str(report), "--pcap", str(capture)]
        subprocess.run(command, capture_output=True, check=True)
        told = json.loads(report.read_text())
        seen = of_tshark(capture, told["target"]["address"].rsplit(":", 1)[0])
    mqtt = told["workloads"][0]["mqtt"]
    rows = [
        ("CONNECT", sum(n for (side, kind, *_), n in seen.items() if (side, kind) == ("from", CONNECT)), mqtt["clients"][0]["connects"]),
        ("PINGREQ", sum(n for (side, kind, *_), n in seen.items() if (side, kind) == ("from", PINGREQ)), mqtt["clients"][0]["pings"]),
    ]
    for qos in "01":
        row = mqtt["to_host"].get(qos, {"received": 0, "again_dup": 0, "again_no_dup": 0})
        # Where a copy with DUP is the first that arrives, it is a message.
        ours = row["received"] + row["again_dup"] + row["again_no_dup"] + (row.get("again_new_id") or 0)
        rows.append((f"PUBLISH, QoS {qos}", seen["from", PUBLISH, qos, False] + seen["from", PUBLISH, qos, True], ours))
        rows.append((f"with DUP, QoS {qos}", seen["from", PUBLISH, qos, True], row["again_dup"]))
        row = mqtt["to_device"].get(qos, {"sent": 0, "again": 0})
        rows.append((f"PUBLISH to it, QoS {qos}", seen["to", PUBLISH, qos, False], row["sent"]))
        rows.append((f"again to it, QoS {qos}", seen["to", PUBLISH, qos, True], row["again"]))
    different = [row for row in rows if row[1] != row[2]]
    print(f"- {name}: " + ", ".join(f"{what} {tshark}" for what, tshark, _ in rows if tshark))
    for what, tshark, ours in different:
        print(f"BROKEN: {name}: {what}: tshark {tshark}, espstress {ours}")
    return not different


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    chosen = parser.parse_args()
    if not shutil.which("tshark"):
        print("no tshark", file=sys.stderr)
        return 2
    return 0 if all([compare(name, chosen.program, arguments) for name, arguments in RUNS]) else 1


if __name__ == "__main__":
    sys.exit(main())
