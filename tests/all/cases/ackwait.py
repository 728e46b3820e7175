# Each small write waits until the host has acknowledged the one before: one segment under way at a time, forty a page.
import fcntl, os, socket, struct, sys, threading, time

SIOCOUTQ = 0x5411
# A device has its processor for itself: what other tests do must not make it late.
try:
    os.setpriority(os.PRIO_PROCESS, 0, -15)
except OSError:
    pass
listening = socket.create_server((sys.argv[1], int(sys.argv[2])))


def put(client, data):
    client.sendall(data)
    while struct.unpack("i", fcntl.ioctl(client, SIOCOUTQ, b"\0\0\0\0"))[0]:
        time.sleep(0.0005)


def serve(client):
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    unread = b""
    try:
        while True:
            while b"\r\n\r\n" not in unread:
                some = client.recv(2048)
                if not some:
                    return client.close()
                unread += some
            request, unread = unread.split(b"\r\n\r\n", 1)
            put(client, b"HTTP/1.1 200 OK\r\n")
            put(client, b"Content-Length: 1080\r\n\r\n")
            if not request.startswith(b"HEAD"):
                for _ in range(40):
                    put(client, b"<tr><td>27 bytes of html...")
    except OSError:
        pass


while True:
    threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()
