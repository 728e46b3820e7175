"""The script under the workloads of the host program, as a board meets them.

The program is the one that $ESPSTRESS names, else the newest of the build. Outages are made by stopping the script's
process, which needs no privilege: the kernel goes on acknowledging for it, as an access point's buffer would.
"""

import glob
import json
import os
import subprocess
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def host_program():
    """Its path, or None."""
    if os.environ.get("ESPSTRESS"):
        return os.path.abspath(os.environ["ESPSTRESS"])
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    built = glob.glob(os.path.join(target, "*", "espstress"))
    return max(built, key=os.path.getmtime, default=None)


def failures(workload):
    return {name: count for name, count in workload["failures"].items() if count}


class Workloads:
    """Tests for each interpreter, mixed into those of the services."""

    def start(self, board, port, arguments):
        program = host_program()
        self.assertIsNotNone(program, "no espstress is built: cargo build, or set ESPSTRESS")
        command = [program] + arguments.replace("TARGET", "127.0.0.1:{}".format(port)).split()
        # What the packets show is the host's stack here, not a board's.
        command += ["--json", "-q", "--no-capture", "--no-probes", "--no-gate"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def report(self, process):
        output, said = process.communicate(timeout=180)
        self.assertEqual(process.returncode, 0, said)
        return json.loads(output)["workloads"][0]

    def drive(self, board, service, arguments):
        return self.report(self.start(board, board.ports[service], arguments))

    def all_served(self, workload, count):
        self.assertEqual((workload["attempts"], workload["succeeded"], failures(workload)), (count, count, {}))

    def test_a_head_storm_is_served_to_the_last(self):
        board = self.board()
        for close in ("fin", "wait", "half"):
            workload = self.drive(board, "http", "head TARGET -n 100 -c 2 --close {}".format(close))
            self.all_served(workload, 100)
        # Resets are this workload's own, and cost the script nothing but an error counted.
        workload = self.drive(board, "http", "head TARGET -n 50 --close rst")
        self.all_served(workload, 50)
        self.eventually("every place free", lambda: board.telemetry()["services"]["http"]["open"] == 0)

    def test_persistent_http_gets_every_answer_checked(self):
        workload = self.drive(self.board(), "http", "rw TARGET --protocol http -n 300 -c 3 --path /?bytes=3000")
        self.all_served(workload, 300)
        self.assertEqual(workload["reconnects"], 0)
        self.assertEqual(workload["bytes"]["goodput"], 300 * 3000)

    def test_the_raw_workload_gets_its_ten_kilobytes_and_the_heap_figures(self):
        board = self.board()
        workload = self.drive(board, "raw", "rw TARGET --protocol raw -n 40 -c 2")
        self.all_served(workload, 40)
        # The two lines before them are checked by the workload as well, and come on top.
        self.assertEqual(workload["bytes"]["goodput"], 40 * 10240)
        self.assertGreater(workload["bytes"]["received"], 40 * (10240 + len("EXEC:[]\nDATA:[]\n")))
        self.assertEqual(board.telemetry()["services"]["raw"]["served"], 40)

    def test_lines_are_echoed_to_the_last(self):
        workload = self.drive(self.board(), "line", "rw TARGET --protocol line -n 300 -c 3 --size 2KiB --window 4")
        self.all_served(workload, 300)

    def test_lines_go_on_after_outages(self):
        board = self.board()
        process = self.start(board, board.ports["line"], "rw TARGET --protocol line -d 12s -i 20ms --timeout-read 1s")
        served = lambda: board.telemetry()["services"]["line"]["served"]
        for _ in range(2):
            before = served()
            self.eventually("lines", lambda: served() > before + 5)
            with board.stopped():
                time.sleep(2)
        workload = self.report(process)
        self.assertGreaterEqual(workload["failures"]["read_timeout"], 2)
        self.assertGreaterEqual(workload["reconnects"], 2)
        # As long as it answers at all, every answer is the right one.
        wrong = set(failures(workload)) - {"read_timeout", "connect_timeout", "read_reset", "connect_reset"}
        self.assertEqual(wrong, set())
        self.assertGreater(workload["succeeded"], 50)
        self.eventually("every place free", lambda: board.telemetry()["services"]["line"]["open"] == 0)

    def test_a_dialled_host_sees_outages_and_the_device_again(self):
        port = self.free_port()
        board = self.board(number=3, dial_host="127.0.0.1", dial_port=port)
        process = self.start(board, board.ports["http"], "outage TARGET --listen {} --cycles 2 -d 2m".format(port))
        over = threading.Event()

        def outages():
            while not over.wait(3):
                with board.stopped():
                    # Beyond the 1.5 s of silence that count as one.
                    over.wait(3)

        maker = threading.Thread(target=outages)
        maker.start()
        try:
            workload = self.report(process)
        finally:
            over.set()
            maker.join()
        self.assertGreaterEqual(len(workload["outages"]), 2, workload)
        first = workload["outages"][0]
        self.assertIsNotNone(first["host_noticed_s"], first)
        self.assertGreater(first["back_s"], first["host_noticed_s"], first)
        self.assertGreaterEqual(workload["reconnects"], 1)
