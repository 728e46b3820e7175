#!/usr/bin/env python3
"""Web servers without a fault, each under every workload and the doctor: every run passes and blames nobody.

The servers listen on 127.0.0.0/8, each at an address of its own. One that is not installed is left out, and named.
Exit status 1 when a run says something of the device, doesn't pass, or no server was there.

  strangers.py --program target/release/espstress [--at-once 4] [--only WORD]
"""

import argparse
import concurrent.futures
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"

# What is run, by name. `outage` is not among them: its heartbeats need a service of frames, which no web server has.
RUNS = {
    "run": ["run"],
    "head": ["head", "-n", "300", "-c", "4"],
    "head, GET, waits for the server's close": ["head", "--method", "GET", "--close", "wait", "-n", "100"],
    "head, at a rate": ["head", "--rate", "20/s", "-c", "4", "-d", "10s"],
    "head, silent before": ["head", "-n", "20", "-c", "4", "--silent-before", "500ms"],
    "rw, http": ["rw", "--protocol", "http", "-n", "300", "-c", "2"],
    "rw, http, a second between": ["rw", "--protocol", "http", "-n", "12", "--interval", "1s"],
    "rw, http, four seconds between": ["rw", "--protocol", "http", "-n", "5", "--interval", "4s"],
    "half-open": ["half-open"],
    "doctor": ["doctor", "--duration", "30s"],
}

# Said of this machine, or to inform: nobody is blamed.
NO_BLAME = {"host_limited", "capture_incomplete"}


class Page(BaseHTTPRequestHandler):
    """A page with what changes: how long it is up, and its free heap."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    started = time.monotonic()
    asked = 0

    def answer(self, has_body):
        Page.asked += 1
        up = time.monotonic() - Page.started
        body = f'{{"uptime_s":{up:.3f},"free_heap":{180_000 - Page.asked % 997},"asked":{Page.asked}}}'.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if has_body:
            self.wfile.write(body)

    def do_GET(self):
        self.answer(True)

    def do_HEAD(self):
        self.answer(False)

    def log_message(self, *_):
        pass


def commands(folder, ip, port):
    """The servers by name: the program, and how it is started."""
    (folder / "index.html").write_text("<p>hello</p>\n")
    for name, more in [("nginx", ""), ("nginx, keepalive_timeout 2s", "keepalive_timeout 2s;")]:
        conf = folder / f"nginx{len(more)}.conf"
        conf.write_text(
            f"daemon off; master_process off; pid {folder}/pid{len(more)}; error_log stderr;\n"
            "events { worker_connections 256; }\n"
            f"http {{ access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;\n"
            f"fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e; {more}\n"
            f"server {{ listen {ip}:{port}; location / {{ root {folder}; }} }} }}\n"
        )
        yield name, ["nginx", "-c", str(conf), "-e", "stderr"]
    conf = folder / "lighttpd.conf"
    conf.write_text(
        f'server.bind = "{ip}"\nserver.port = {port}\nserver.document-root = "{folder}"\nindex-file.names = ( "index.html" )\n'
    )
    yield "lighttpd", ["lighttpd", "-D", "-f", str(conf)]
    yield "busybox httpd", ["busybox", "httpd", "-f", "-p", f"{ip}:{port}", "-h", str(folder)]
    yield "http.server", ["python3", "-m", "http.server", str(port), "--bind", ip, "-d", str(folder)]
    script = f"require('http').createServer((q, r) => r.end('hello\\n')).listen({port}, '{ip}')"
    yield "node", ["node", "-e", script]
    yield "civetweb", ["civetweb", "-listening_ports", f"{ip}:{port}", "-document_root", str(folder)]


class Quiet(ThreadingHTTPServer):
    """A client that resets its connection is nothing to write about."""

    daemon_threads = True

    def handle_error(self, *_):
        pass


@contextlib.contextmanager
def serving(name, number, folder):
    """The address of a server while it runs; None where there is no such program."""
    ip, port = f"127.77.0.{number + 1}", 8080
    if name == "uptime and free heap":
        server = Quiet((ip, port), Page)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"{ip}:{port}"
        server.shutdown()
        return
    command = dict(commands(folder, ip, port))[name]
    if not shutil.which(command[0], path=PATH):
        yield None
        return
    quiet = subprocess.DEVNULL
    child = subprocess.Popen(command, env={**os.environ, "PATH": PATH}, stdin=quiet, stdout=quiet, stderr=quiet, cwd=folder)
    try:
        while socket.socket().connect_ex((ip, port)) != 0:
            if child.poll() is not None:
                sys.exit(f"{name} ended with status {child.returncode}")
            time.sleep(0.05)
        yield f"{ip}:{port}"
    finally:
        child.kill()
        child.wait()


def judged(program, arguments, address):
    """What is wrong with one run; None where nothing is."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        command = [program, *arguments, "-t", address] if arguments[0] == "run" else [program, arguments[0], address, *arguments[1:]]
        done = subprocess.run([*command, "-q", "-o", str(path)], capture_output=True, text=True)
        if not path.exists():
            return f"status {done.returncode}: {done.stderr.strip()[-300:]}"
        report = json.loads(path.read_text())
    said = [f'{f["id"]} ({f["severity"]})' for f in report["findings"] if f["id"] not in NO_BLAME and f["severity"] != "info"]
    charged = sorted({a["id"] for a in report["anomalies"] if a["class"] == "device"})
    if (report["verdict"], done.returncode, said, charged) == ("pass", 0, [], []):
        return None
    return f'{report["verdict"]}, status {done.returncode}, findings {said}, anomalies of the device {charged}, seed {report["seed"]}'


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    program = str(Path(args.program).resolve())
    names = [name for name, _ in commands(Path(tempfile.mkdtemp()), "127.0.0.1", 1)] + ["uptime and free heap"]
    names = [name for name in names if args.only in name]
    wrong = runs = 0
    with contextlib.ExitStack() as stack, concurrent.futures.ThreadPoolExecutor(args.at_once) as pool:
        tasks = []
        for number, name in enumerate(names):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            folder.chmod(0o755)
            address = stack.enter_context(serving(name, number, folder))
            if address is None:
                print(f"- {name}: SKIPPED: not installed")
                continue
            tasks.append((name, {what: pool.submit(judged, program, how, address) for what, how in RUNS.items()}))
        for name, each in tasks:
            bad = {what: one.result() for what, one in each.items() if one.result()}
            runs, wrong = runs + len(each), wrong + len(bad)
            print(f"- {name}: {len(each) - len(bad)} of {len(each)} right", flush=True)
            for what, why in bad.items():
                print(f"    {what}: {why}", flush=True)
    print(f"{runs - wrong} of {runs} runs pass and blame nobody")
    return 1 if wrong or not runs else 0


if __name__ == "__main__":
    sys.exit(main())
