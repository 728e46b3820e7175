"""nginx as the server of the comparison: one process on one processor, on a free port of 127.0.0.1."""

import socket
import subprocess
import time
from pathlib import Path

from tools import need

CONFIGURATION = """
daemon off; master_process off; worker_processes 1;
pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; server_tokens off;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200; }} }}
}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Nginx:
    """Up within the `with`."""

    def __init__(self, cpu, folder):
        self.cpu = cpu
        self.folder = Path(folder) / "nginx"
        self.host = "127.0.0.1"
        self.port = free_port()
        self.process = None

    def __enter__(self):
        self.folder.mkdir()
        file = self.folder / "nginx.conf"
        file.write_text(CONFIGURATION.format(folder=self.folder, port=self.port))
        words = ["taskset", "-c", str(self.cpu), need("nginx"), "-e", str(self.folder / "error.log"), "-c", str(file)]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection((self.host, self.port), timeout=1).close()
                return self
            except OSError:
                time.sleep(0.05)
        self.__exit__()
        log = self.folder / "error.log"
        raise RuntimeError(f"nginx did not come up: {log.read_text() if log.exists() else ''}")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
