# A board that restarts: off the network for some seconds, then every old connection is unknown to it.
# ADDRESS PORT crowd: when five requests are served at once. ADDRESS PORT every: each ten seconds.
import os, signal, socket, subprocess, sys, threading, time

RESTART = 77
address, port, why = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def restart():
    subprocess.run(["ip", "link", "set", "vd", "down"])
    os._exit(RESTART)


def board():
    program = None

    def end(*_):
        if program:
            program.kill()
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    while True:
        program = subprocess.Popen([sys.executable, __file__, address, str(port), why, "program"], stdin=subprocess.PIPE)
        if program.wait() != RESTART:
            sys.exit(1)
        subprocess.run(["ss", "-K", "state", "all", "sport", "=", str(port)], stdout=subprocess.DEVNULL)
        time.sleep(3)
        subprocess.run(["ip", "link", "set", "vd", "up"])
        # A board is in its network before its server is up.
        time.sleep(1)


def program():
    listening = socket.create_server((address, port), backlog=8)
    serving, lock = 0, threading.Lock()

    def serve(client):
        nonlocal serving
        unread = b""
        try:
            while True:
                while b"\r\n\r\n" not in unread:
                    some = client.recv(2048)
                    if not some:
                        return client.close()
                    unread += some
                request, unread = unread.split(b"\r\n\r\n", 1)
                with lock:
                    serving += 1
                    if why == "crowd" and serving >= 5:
                        restart()
                time.sleep(0.03)
                body = b"" if request.startswith(b"HEAD") else b"hello"
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + body)
                with lock:
                    serving -= 1
        except OSError:
            client.close()

    def end_with_the_board():
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=end_with_the_board, daemon=True).start()
    if why == "every":
        threading.Timer(10, restart).start()
    while True:
        threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()


program() if len(sys.argv) > 4 else board()
