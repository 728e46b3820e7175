#!/usr/bin/env python3
"""When a client pinged, by Mosquitto's own log and by `espstress mqtt --via` in front of it.

A quiet mosquitto_sub with a keep-alive of five seconds, in a network of its own. Mosquitto's log has whole seconds, so that each of its
lines counts from the moment at which it comes. Exit status 1 when a ping is missing on one side or is more than 50 ms apart, 2
where a program that this takes is missing.

  mqtt_mosquitto.py --program target/release/espstress
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

BROKER, PROXY = 1884, 1883
KEEPALIVE, LENGTH = 5, 42
APART = 0.05


def read_log(stream, pings, started):
    """Stamps each line as it comes: Mosquitto's own time-stamps are whole seconds."""
    for line in stream:
        now = time.time()
        if "running" in line:
            started.set()
        if "Received PINGREQ" in line:
            pings.append(now)


def in_capture(capture):
    """When PINGREQs came from the client, by tshark."""
    command = ["tshark", "-r", str(capture), "-d", f"tcp.port=={PROXY},mqtt", "-T", "fields", "-e", "frame.time_epoch", "-Y",
               f"mqtt.msgtype==12 && tcp.dstport=={PROXY} && !tcp.analysis.retransmission"]
    return [float(line) for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin"
    if missing := [name for name in ("mosquitto", "mosquitto_sub", "tshark", "unshare", "ip") if not shutil.which(name)]:
        print(f"no {', '.join(missing)}", file=sys.stderr)
        return 2
    if not chosen.inside:
        own = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
        return subprocess.run([*own, sys.executable, __file__, "--program", chosen.program, "--inside"], check=False).returncode
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        return compare(chosen.program, Path(folder))


def compare(program, folder):
    config, report, capture = folder / "mosquitto.conf", folder / "report.json", folder / "run.pcapng"
    config.write_text(f"user root\nlistener {BROKER} 127.0.0.1\nallow_anonymous true\nlog_type all\nlog_dest stderr\n")
    pings, started = [], threading.Event()
    broker = subprocess.Popen(["mosquitto", "-c", str(config)], stderr=subprocess.PIPE, text=True)
    reader = threading.Thread(target=read_log, args=(broker.stderr, pings, started))
    reader.start()
    client = run = None
    try:
        if not started.wait(30):
            print("BROKEN: Mosquitto did not start")
            return 1
        run = subprocess.Popen([program, "mqtt", "127.0.0.1", "--via", f"127.0.0.1:{BROKER}", "--fault", "none", "-d", f"{LENGTH}s",
                                "--no-gate", "-q", "-o", str(report), "--pcap", str(capture)], stdout=subprocess.DEVNULL)
        # mosquitto_sub gives up where nobody listens yet.
        while run.poll() is None and client is None:
            if str(PROXY) in subprocess.run(["ss", "-Hltn", f"sport = :{PROXY}"], capture_output=True, text=True, check=True).stdout:
                client = subprocess.Popen(["mosquitto_sub", "-h", "127.0.0.1", "-k", str(KEEPALIVE), "-t", "a", "-i", "one"])
            time.sleep(0.05)
        run.wait()
    finally:
        for process in filter(None, (client, run, broker)):
            process.terminate()
            process.wait()
        reader.join()
    if not report.exists():
        print("BROKEN: no report")
        return 1
    return judge(json.loads(report.read_text()), in_capture(capture), pings)


def judge(told, ours, pings):
    mqtt = told["workloads"][0]["mqtt"]
    counted = mqtt["clients"][0]["pings"]
    # Ours ends first: a ping after that is Mosquitto's alone.
    theirs = [at for at in pings if ours and at <= ours[-1] + APART]
    apart = [theirs - own for theirs, own in zip(theirs, ours)]
    intervals = [b - a for a, b in zip(theirs, theirs[1:])]
    figures = mqtt["clients"][0]["ping_interval"]
    good = len(ours) == len(theirs) == counted >= LENGTH / KEEPALIVE / 2 and max(map(abs, apart)) <= APART
    # The first ping follows SUBSCRIBE, and the figure is of the same distances.
    longest = max(intervals, default=0)
    good = good and abs(figures["max_us"] / 1e6 - longest) <= APART
    line = f"PINGREQ {counted} by espstress, {len(ours)} in the capture, {len(theirs)} in Mosquitto's log"
    if apart:
        line += f"; at most {max(map(abs, apart)) * 1000:.1f} ms apart; longest interval {figures['max_us'] / 1e6:.3f} s, Mosquitto {longest:.3f} s"
    print(f"{'- ' if good else 'BROKEN: '}{line}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
