# A web server that keeps connections: a small page, and 20 kB at /big.
import socket, sys, threading

listening = socket.create_server((sys.argv[1], int(sys.argv[2])))


def serve(client):
    unread = b""
    try:
        while True:
            while b"\r\n\r\n" not in unread:
                some = client.recv(2048)
                if not some:
                    return client.close()
                unread += some
            request, unread = unread.split(b"\r\n\r\n", 1)
            length = 20000 if request.split()[1] == b"/big" else 300
            body = b"" if request.startswith(b"HEAD") else b"m" * length
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + body)
    except OSError:
        client.close()


while True:
    threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()
