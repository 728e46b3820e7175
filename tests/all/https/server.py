# HTTPS by Python's ssl: address, port, certificate, key; "1.2" as the fifth word allows no newer TLS,
# "1.0" speaks HTTP/1.0, which ends the connection after each response; "keeps" waits for the client to end it.
import http.server
import ssl
import sys

address, port, certificate, key, *more = sys.argv[1:]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def answer(self):
        length = len(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        body = b"" if self.command == "HEAD" else b"%d bytes\n" % length
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = do_POST = answer

    def handle_expect_100(self):
        said = super().handle_expect_100()
        self.wfile.flush()
        return said

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, *_):
        pass


if more == ["1.0"]:
    Handler.protocol_version = "HTTP/1.0"
if more == ["keeps"]:
    # Whatever the client asks for: it waits for the client's own end.
    parse = Handler.parse_request

    def keeps(self):
        parsed = parse(self)
        self.close_connection = False
        return parsed

    Handler.parse_request = keeps
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
if more == ["1.2"]:
    context.maximum_version = ssl.TLSVersion.TLSv1_2
server = Server((address, int(port)), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
