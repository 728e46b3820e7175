"""The network services of a device under test, for any board that already runs MicroPython.

One script, asyncio, memory that does not grow: a fixed number of connections, each with a bounded buffer.

    80    HTTP/1.1: HEAD and GET / (GET /?bytes=N for a longer body), GET /telemetry (JSON)
    7008  telemetry in one UDP datagram, for the request `telemetry` or `telemetry 17`
    8080  raw: a request in, heap lists and 10,240 bytes out, close
    8123  line: newline-terminated JSON; an empty line keeps alive; lines that start with { come back

With `dial_host`, the device also dials that host with the line protocol. On a board, put settings (Wi-Fi name and
password first of all) into espstress_config.py beside this file, in capitals: WIFI_SSID = "...". On a host, give them
as arguments: micropython espstress_device.py http=8081 raw=8082. See README.md.
"""

import asyncio
import errno
import gc
import json
import socket
import sys
import time



def where_there_is(name):
    try:
        return __import__(name)
    except ImportError:
        return None


esp32, machine, network = [where_there_is(name) for name in ("esp32", "machine", "network")]

VERSION = "0.1.0"

CONFIG = {
    "address": "0.0.0.0",
    # Ports; 0 switches a service off.
    "http": 80,
    "telemetry": 7008,
    "raw": 8080,
    "line": 8123,
    # Connections at once. lwIP on an ESP32 has ten sockets: three listeners, telemetry, one to dial, and these.
    "connections": 5,
    "backlog": 4,
    # Name and number in telemetry; the number is also the id line of the line protocol.
    "name": "micropython",
    "number": 1,
    "wifi_ssid": "",
    "wifi_password": "",
    # How long one attempt to join may take, in seconds.
    "wifi_attempt_s": 15,
    # A host to dial with the line protocol, and silence after which a peer counts as gone.
    "dial_host": "",
    "dial_port": 8123,
    "line_timeout_ms": 1500,
    "line_data_interval_ms": 5000,
    # Silence after which an HTTP or raw connection is closed: its client may be gone, and MicroPython has no keep-alive to
    # find that out.
    "idle_ms": 20000,
}

# Bytes, but for the fields: of a request's head, of a body that is asked for, of one that is sent and dropped.
MAX_HEAD, MAX_FIELDS, MAX_BODY, MAX_SKIP = 1536, 24, 1024 * 1024, 64 * 1024
MAX_RAW_REQUEST, RAW_FILLER, MAX_LINE = 1024, 10240, 64 * 1024
# What is read or written at once.
PIECE = 512


# ---- time, errors, counters ----

_clock = [time.ticks_ms(), 0]


def now():
    """Milliseconds since the start. MicroPython's ticks wrap around after some days; these do not."""
    ticks = time.ticks_ms()
    _clock[1] += time.ticks_diff(ticks, _clock[0])
    _clock[0] = ticks
    return _clock[1]


# Names rather than numbers, which are newlib's on a board. Not every port has all of them, and none has the last.
ERROR_NAMES = {
    "reset": ("ECONNRESET", "ECONNABORTED", "EPIPE", "ENOTCONN"),
    "timed_out": ("ETIMEDOUT",),
    "refused": ("ECONNREFUSED",),
    "unreachable": ("EHOSTUNREACH", "ENETUNREACH"),
    "out_of_memory": ("ENOMEM", "ENOBUFS"),
}
TOO_MANY_SOCKETS = (23, 24)

# What ends one connection and nothing else.
FAILURES = (OSError, MemoryError, asyncio.TimeoutError)


def error_name(error):
    if isinstance(error, MemoryError):
        return "out_of_memory"
    if isinstance(error, asyncio.TimeoutError):
        return "timed_out"
    number = error.args[0] if error.args else None
    for name, symbols in ERROR_NAMES.items():
        if number in [getattr(errno, symbol, -1) for symbol in symbols]:
            return name
    return "out_of_sockets" if number in TOO_MANY_SOCKETS else "other"


class Counters:
    """What one service has seen."""

    def __init__(self):
        self.open = self.accepted = self.served = 0
        self.errors = {}

    def error(self, name):
        self.errors[name] = self.errors.get(name, 0) + 1

    def fields(self):
        fields = {"open": self.open, "accepted": self.accepted, "served": self.served}
        fields.update({"leaked": 0, "errors": self.errors})
        return fields


COUNTERS = {}


class Slots:
    """Places for connections. A listener without a free one leaves its connections with the stack."""

    def __init__(self, count):
        self.free = count
        self.freed = asyncio.Event()

    async def wait(self):
        while self.free == 0:
            self.freed.clear()
            await self.freed.wait()


# ---- sockets ----

def readable(sock):
    # A generator is a coroutine here, and this is how MicroPython's own streams wait.
    yield asyncio.core._io_queue.queue_read(sock)


async def open_stream(sock):
    both = asyncio.StreamReader(sock)
    return both, both


class Stream:
    """A connection. Nothing waits for ever: reads and writes have a limit in milliseconds."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    async def read(self, at_most, limit_ms):
        """Up to so many bytes, b"" at the peer's end, None when nothing came."""
        try:
            return await asyncio.wait_for(self.reader.read(at_most), limit_ms / 1000)
        except asyncio.TimeoutError:
            return None

    async def write(self, data):
        self.writer.write(data)
        await asyncio.wait_for(self.writer.drain(), CONFIG["idle_ms"] / 1000)

    async def write_over_and_over(self, word, count):
        words = word * (PIECE // len(word) + 2)
        sent = 0
        while sent < count:
            at = sent % len(word)
            piece = words[at : at + min(PIECE, count - sent)]
            await self.write(piece)
            sent += len(piece)

    async def drain_input(self):
        """Drops what the peer still sends: unread bytes would turn the close into a reset and the answer be lost."""
        dropped = 0
        while dropped < MAX_SKIP:
            piece = await self.read(PIECE, 300)
            if not piece:
                return
            dropped += len(piece)

    async def close(self):
        try:
            self.writer.close()
            await self.writer.wait_closed()
        except OSError:
            pass  # It was gone already.


def listening(port, kind):
    sock = socket.socket(socket.AF_INET, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setblocking(False)
    sock.bind(socket.getaddrinfo(CONFIG["address"], port)[0][-1])
    if kind == socket.SOCK_STREAM:
        sock.listen(CONFIG["backlog"])
    return sock


async def serve(listener, handler, counters, slots):
    while True:
        await slots.wait()
        await readable(listener)
        if slots.free == 0:
            continue  # Another listener was quicker.
        try:
            sock = listener.accept()[0]
        except OSError as error:
            if error.args[0] != errno.EAGAIN:
                # The stack needs sockets or memory, not haste.
                counters.error(error_name(error))
                number = error.args[0]
                say("accept: [Errno {}] {}".format(number, errno.errorcode.get(number, "")))
                await asyncio.sleep(0.1)
            continue
        say_heap()
        slots.free -= 1
        counters.accepted += 1
        asyncio.create_task(attend(sock, handler, counters, slots))


async def attend(sock, handler, counters, slots):
    counters.open += 1
    stream = None
    try:
        sock.setblocking(False)
        if hasattr(socket, "TCP_NODELAY"):
            sock.setsockopt(getattr(socket, "IPPROTO_TCP", 6), socket.TCP_NODELAY, 1)
        stream = Stream(*await open_stream(sock))
        await handler(stream, counters)
    except FAILURES as error:
        counters.error(error_name(error))
    finally:
        if stream is None:
            sock.close()
        else:
            await stream.close()
        counters.open -= 1
        slots.free += 1
        slots.freed.set()
        say_heap()


# ---- readings ----

WIFI_REASONS = {
    2: "AUTH_EXPIRE", 4: "DISASSOC_DUE_TO_INACTIVITY", 8: "ASSOC_LEAVE", 15: "4WAY_HANDSHAKE_TIMEOUT",
    200: "BEACON_TIMEOUT", 201: "NO_AP_FOUND", 202: "AUTH_FAIL", 203: "ASSOC_FAIL", 204: "HANDSHAKE_TIMEOUT",
    205: "CONNECTION_FAIL",
}  # fmt: skip

RESET_REASONS = {
    "PWRON_RESET": "POWERON", "HARD_RESET": "EXT", "WDT_RESET": "WDT", "DEEPSLEEP_RESET": "DEEPSLEEP", "SOFT_RESET": "SW",
}  # fmt: skip

# Disconnects since the start, and the last one's reason.
WIFI = {"wlan": None, "disconnects": 0, "reason": None}


def reset_reason():
    if hasattr(machine, "reset_cause"):
        cause = machine.reset_cause()
        for symbol, name in RESET_REASONS.items():
            if getattr(machine, symbol, None) == cause:
                return name
    return "UNKNOWN"


def heap_regions(kind):
    """One tuple a heap region: total, free, largest free block, minimum ever free, in bytes."""
    if not hasattr(esp32, "idf_heap_info"):
        return []
    return list(esp32.idf_heap_info(getattr(esp32, kind)))


def heap():
    """Of all regions together; without regions, of MicroPython's own heap."""
    regions = heap_regions("HEAP_DATA")
    if not regions and not hasattr(gc, "mem_free"):
        return None
    if regions:
        total, free = sum(region[0] for region in regions), sum(region[1] for region in regions)
        largest, least = max(region[2] for region in regions), sum(region[3] for region in regions)
    else:
        free, largest, least = gc.mem_free(), None, None
        total = free + gc.mem_alloc()
    heap = {"free_bytes": free, "min_free_bytes": least}
    heap.update({"largest_free_block_bytes": largest, "total_bytes": total})
    return heap


_said = [None]


def say(text):
    """For `espstress --console`; nobody may be there to read it."""
    try:
        print(text)
    except OSError:
        pass


def say_heap():
    """A line takes milliseconds at 115,200 baud: at most five a second."""
    ticks = time.ticks_ms()
    if _said[0] is None or time.ticks_diff(ticks, _said[0]) >= 200:
        _said[0] = ticks
        own = heap()
        if own and own["min_free_bytes"] is not None:
            say("Free Heap: {free_bytes} bytes, Min Free: {min_free_bytes} bytes".format(**own))
        elif own:
            say("Free Heap: {} bytes".format(own["free_bytes"]))


def wifi():
    wlan = WIFI["wlan"]
    if wlan is None:
        return None
    rssi = mode = None
    try:
        if wlan.isconnected():
            rssi = wlan.status("rssi")
        mode = wlan.config("pm")
    except (OSError, ValueError, TypeError):
        pass  # Not every port has these two.
    names = {"PM_NONE": "NONE", "PM_PERFORMANCE": "MIN_MODEM", "PM_POWERSAVE": "MAX_MODEM"}
    modes = {getattr(wlan, symbol, symbol): name for symbol, name in names.items()}
    fields = {"rssi_dbm": rssi, "disconnects": WIFI["disconnects"]}
    fields.update({"last_disconnect_reason": WIFI["reason"], "power_save": modes.get(mode)})
    return fields


def telemetry(request=None):
    """The telemetry object as JSON. What the board does not know is null."""
    listeners = len(COUNTERS) + (1 if CONFIG["telemetry"] else 0)
    dialling = 1 if CONFIG["dial_host"] else 0
    used = listeners + sum(counters.open for counters in COUNTERS.values())
    implementation = sys.implementation
    version = "{} {}".format(implementation.name, ".".join(str(number) for number in implementation.version[:3]))
    fields = {"request": request, "device": CONFIG["name"], "number": CONFIG["number"], "firmware": VERSION}
    fields["stack"] = {"name": "lwIP" if esp32 else sys.platform, "version": version}
    fields.update({"persona": "robust", "uptime_ms": now()})
    fields.update({"boot_count": None, "reset_reason": reset_reason()})
    fields.update({"heap": heap(), "wifi": wifi()})
    fields["sockets"] = {"used": used, "limit": listeners + dialling + CONFIG["connections"]}
    fields.update({"capacity": CONFIG["connections"], "hoarded_bytes": 0})
    fields["services"] = {name: counters.fields() for name, counters in COUNTERS.items()}
    fields.update({"options": {}, "options_left_out": 0})
    return json.dumps(fields).encode()


def asked_for(datagram):
    """Whether a datagram asks for telemetry, and the number in it."""
    words = datagram.split()
    if words[:1] != [b"telemetry"] or len(words) > 2:
        return False, None
    if len(words) == 1:
        return True, None
    return words[1].isdigit(), int(words[1]) if words[1].isdigit() else None


async def answer_datagrams(sock):
    while True:
        await readable(sock)
        try:
            datagram, peer = sock.recvfrom(64)
            wanted, number = asked_for(datagram)
            if wanted:
                sock.sendto(telemetry(number), peer)
        except (OSError, MemoryError):
            await asyncio.sleep(0.05)  # Lost, as datagrams are.


# ---- HTTP ----

STATUSES = {
    200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    413: "Content Too Large", 431: "Request Header Fields Too Large", 501: "Not Implemented",
}  # fmt: skip

GREETING = b"The device program is up. Telemetry: /telemetry\n"


class Refusal(Exception):
    """A request after which the place in the stream is lost: the status to say, and the error to count."""


class Request:
    """A request's head, read whole."""

    def __init__(self, head):
        try:
            lines = head.decode().split("\r\n")
        except UnicodeError:
            raise Refusal(400, "malformed")
        words = lines[0].split(" ")
        if len(words) != 3 or words[2] not in ("HTTP/1.0", "HTTP/1.1") or not words[1]:
            raise Refusal(400, "malformed")
        self.method, target, self.version = words
        self.path, _, self.query = target.partition("?")
        if len(lines) - 1 > MAX_FIELDS:
            raise Refusal(431, "too_large")
        # An HTTP/1.0 client is always closed after its answer.
        self.keep = self.version == "HTTP/1.1"
        self._fields(lines[1:])

    def _fields(self, lines):
        hosts = 0
        length = None
        for line in lines:
            name, colon, value = line.partition(":")
            value = value.strip()
            if not colon or not name or name != name.strip():
                raise Refusal(400, "malformed")
            name = name.lower()
            if name == "host":
                hosts += 1
            elif name == "content-length":
                if not value.isdigit() or len(value) > 9 or (length is not None and length != int(value)):
                    raise Refusal(400, "malformed")
                length = int(value)
            elif name == "transfer-encoding":
                raise Refusal(501, "unsupported")
            elif name == "connection":
                for option in value.lower().split(","):
                    if option.strip() == "close":
                        self.keep = False
        # RFC 9112, section 3.2: exactly one Host, but HTTP/1.0 may do without.
        if hosts > 1 or (hosts == 0 and self.version == "HTTP/1.1"):
            raise Refusal(400, "malformed")
        self.length = length or 0


def head_of(status, kind, length, keep):
    allow = "Allow: GET, HEAD\r\n" if status == 405 else ""
    connection = "" if keep else "Connection: close\r\n"
    return "HTTP/1.1 {} {}\r\nServer: espstress-micropython/{}\r\n{}{}Content-Type: {}\r\nContent-Length: {}\r\n\r\n".format(
        status, STATUSES[status], VERSION, allow, connection, kind, length
    ).encode()


async def answer(stream, request, counters):
    """Answers a request whose body, if any, does not matter."""
    status, kind, body, letters = 200, "text/plain", GREETING, None
    served = request.method in ("GET", "HEAD")
    if request.path == "/control":
        # A board is controlled through its REPL; this script has no token that could be shown.
        status = 403
    elif request.path not in ("/", "/telemetry"):
        status = 404
    elif not served and request.method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"):
        status = 405
    elif not served:
        raise Refusal(501, "unsupported")
    elif request.path == "/telemetry":
        kind, body = "application/json", telemetry()
    elif request.query.startswith("bytes="):
        count = request.query[6:]
        if count.isdigit() and len(count) <= 7 and int(count) <= MAX_BODY:
            letters = int(count)
        else:
            status = 400
    if status != 200:
        body = (STATUSES[status] + "\n").encode()
        counters.error({400: "malformed", 403: "forbidden"}.get(status, "unsupported"))
    length = len(body) if letters is None else letters
    head = head_of(status, kind, length, request.keep)
    await stream.write(head if request.method == "HEAD" or letters is not None else head + body)
    if request.method != "HEAD" and letters is not None:
        await stream.write_over_and_over(b"abcdefghijklmnopqrstuvwxyz", letters)
    counters.served += 1


async def http(stream, counters):
    held = b""
    try:
        while True:
            held = held.lstrip(b"\r\n")
            while b"\r\n\r\n" not in held:
                if len(held) >= MAX_HEAD:
                    raise Refusal(431, "too_large")
                piece = await stream.read(min(PIECE, MAX_HEAD - len(held)), CONFIG["idle_ms"])
                if not piece:
                    if piece is None:
                        counters.error("idle")
                    elif held:
                        counters.error("truncated")
                    return
                held = (held + piece).lstrip(b"\r\n")
            at = held.find(b"\r\n\r\n")
            request = Request(held[:at])
            held = held[at + 4 :]
            if request.length > MAX_SKIP:
                raise Refusal(413, "too_large")
            await answer(stream, request, counters)
            skip = request.length
            while skip > len(held):
                skip -= len(held)
                held = await stream.read(min(PIECE, skip), CONFIG["idle_ms"])
                if not held:
                    counters.error("truncated")
                    return
            held = held[skip:]
            if not request.keep:
                return
    except Refusal as refusal:
        status, name = refusal.args
        counters.error(name)
        body = (STATUSES[status] + "\n").encode()
        await stream.write(head_of(status, "text/plain", len(body), False) + body)
        await stream.drain_input()


# ---- raw ----

async def raw(stream, counters):
    """Waits for the end of the request, also when it comes in pieces, and only then answers and closes."""
    request = b""
    while b"\r\n\r\n" not in request and b"\n\n" not in request and len(request) < MAX_RAW_REQUEST:
        piece = await stream.read(256, CONFIG["idle_ms"])
        if piece is None:
            counters.error("idle")
        if piece is None or not (piece or request):
            return
        if not piece:
            break
        request += piece
    lists = "EXEC:{}\nDATA:{}\n".format(heap_regions("HEAP_EXEC"), heap_regions("HEAP_DATA"))
    await stream.write(lists.encode())
    word = " HelloWorld@{}".format(time.time_ns()).encode()
    await stream.write_over_and_over(word, RAW_FILLER)
    counters.served += 1
    if len(request) >= MAX_RAW_REQUEST:
        counters.error("too_large")
        await stream.drain_input()


# ---- line ----

class Lines:
    """Where in the stream of lines a connection is. Knows nothing of sockets or time."""

    def __init__(self, alive):
        # Whether the peer follows the protocol: it has sent a keep-alive, or was dialled.
        self.alive = alive
        self.data_received = self.length = 0
        self.echoes, self.blank = False, True

    def feed(self, piece, counters):
        """Takes in a piece of the stream and returns what goes back."""
        back = b""
        at = 0
        while at < len(piece):
            newline = piece.find(b"\n", at)
            end = len(piece) if newline < 0 else newline + 1
            part = piece[at:end]
            if self.length == 0:
                self.echoes, self.blank = part[:1] == b"{", True
            self.length += len(part)
            self.blank = self.blank and not part.strip()
            if self.length > MAX_LINE:
                raise Refusal(413, "too_large")
            if self.echoes:
                back += part
            if newline >= 0:
                self._end(counters)
            at = end
        return back

    def _end(self, counters):
        self.length = 0
        if self.blank:
            self.alive = True
            return
        counters.served += 1
        if not self.echoes:
            self.data_received += 1


async def line(stream, counters, dialled=False):
    lines = Lines(dialled)
    timeout = CONFIG["line_timeout_ms"]
    keep_alive = timeout * 2 // 3
    interval = CONFIG["line_data_interval_ms"]
    heard = said = now()
    next_data = heard + interval
    data_sent = 0
    if dialled:
        await stream.write("{}\n".format(CONFIG["number"]).encode())
    while True:
        # In the middle of a line that goes back, the device's own words wait.
        in_echo = lines.length and lines.echoes
        lost_at = heard + (timeout if lines.alive else CONFIG["idle_ms"])
        wake = lost_at
        if (in_echo or lines.alive) and now() >= lost_at:
            counters.error("timed_out")
            return
        if not in_echo:
            if lines.alive and now() >= next_data:
                data_sent += 1
                await stream.write("[{},{}]\n".format(data_sent, lines.data_received).encode())
                said = now()
                next_data = said + interval
            if now() - said >= keep_alive:
                await stream.write(b"\n")
                said = now()
            wake = min(lost_at, said + keep_alive, next_data) if lines.alive else said + keep_alive
        piece = await stream.read(PIECE, max(wake - now(), 1))
        if piece is None:
            continue
        if not piece:
            if lines.length:
                counters.error("truncated")
            return
        heard = now()
        try:
            back = lines.feed(piece, counters)
        except Refusal as refusal:
            counters.error(refusal.args[1])
            await stream.drain_input()
            return
        if back:
            await stream.write(back)
            said = now()


async def dial(counters):
    """Keeps a line connection to the host, with a quiet time after each loss so that the host notices as well."""
    timeout = CONFIG["line_timeout_ms"]
    while True:
        stream = None
        counters.open += 1
        try:
            connecting = asyncio.open_connection(CONFIG["dial_host"], CONFIG["dial_port"])
            stream = Stream(*await asyncio.wait_for(connecting, max(timeout, 1000) / 1000))
            await line(stream, counters, True)
        except FAILURES as error:
            counters.error(error_name(error))
        if stream is not None:
            await stream.close()
        counters.open -= 1
        await asyncio.sleep(2 * timeout / 1000)


# ---- Wi-Fi and the whole ----

async def keep_wifi():
    """Joins the network and joins it again, each time waiting longer, up to a minute."""
    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)
    WIFI["wlan"] = wlan
    pause = 1
    while True:
        if not wlan.isconnected():
            try:
                wlan.connect(CONFIG["wifi_ssid"], CONFIG["wifi_password"])
            except OSError:
                pass  # It is at it already.
            for _ in range(CONFIG["wifi_attempt_s"]):
                if wlan.isconnected():
                    break
                await asyncio.sleep(1)
            if not wlan.isconnected():
                WIFI["reason"] = WIFI_REASONS.get(wlan.status(), WIFI["reason"])
                await asyncio.sleep(pause)
                pause = min(pause * 2, 60)
                continue
        pause = 1
        while wlan.isconnected():
            await asyncio.sleep(0.5)
        WIFI["disconnects"] += 1
        say("WiFi disconnected, reason: {}".format(wlan.status()))
        WIFI["reason"] = WIFI_REASONS.get(wlan.status(), WIFI["reason"])


async def keep_tidy():
    """Collecting early keeps the heap in larger pieces; asking for the time keeps the clock from wrapping."""
    while True:
        gc.collect()
        now()
        await asyncio.sleep(10)


async def main():
    slots = Slots(CONFIG["connections"])
    tasks = [keep_tidy()]
    for name, handler in (("http", http), ("raw", raw), ("line", line)):
        if CONFIG[name] or (name == "line" and CONFIG["dial_host"]):
            COUNTERS[name] = Counters()
        if CONFIG[name]:
            listener = listening(CONFIG[name], socket.SOCK_STREAM)
            tasks.append(serve(listener, handler, COUNTERS[name], slots))
    if CONFIG["telemetry"]:
        tasks.append(answer_datagrams(listening(CONFIG["telemetry"], socket.SOCK_DGRAM)))
    if network and CONFIG["wifi_ssid"]:
        tasks.append(keep_wifi())
    if CONFIG["dial_host"]:
        tasks.append(dial(COUNTERS["line"]))
    for name in ("http", "telemetry", "raw", "line"):
        if CONFIG[name]:
            print(json.dumps({"service": name, "address": CONFIG["address"], "port": CONFIG[name]}))
    # None of them ends but by a mistake, which then ends all.
    await asyncio.gather(*tasks)


def run(arguments=()):
    """Takes the settings and serves; never returns."""
    settings = where_there_is("espstress_config")
    for key in CONFIG:
        CONFIG[key] = getattr(settings, key.upper(), CONFIG[key])
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or key not in CONFIG:
            print("no such setting: {}; settings are {}".format(argument, ", ".join(CONFIG)))
            raise SystemExit(2)
        CONFIG[key] = int(value) if isinstance(CONFIG[key], int) else value
    asyncio.run(main())


if __name__ == "__main__":
    run(sys.argv[1:])
