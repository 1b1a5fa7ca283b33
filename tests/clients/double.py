"""A gateway that answers what it is told, and keeps what it was asked."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REQUEST_ID = "01a22d20-bc8a-751c-bf2f-4e1d52189d03"
DROP = "drop"


def answer(code, http=None, request_id=None, **headers):
    body = {"code": code, "msg": "服务调用异常"}
    if request_id:
        body = {"request_id": request_id, **body}
    return http or 200, body, headers


@contextlib.contextmanager
def double(answers):
    """Answers POST with one after the other, GET with `retrying` and then `delivered`. Gives its URL and the requests."""
    requests, lock, left = [], threading.Lock(), list(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def take(self, body):
            with lock:
                headers = {name.lower(): value for name, value in self.headers.items()}
                requests.append((self.command, self.path, headers, body))
                return sum(method == "GET" for method, *_ in requests)

        def do_POST(self):
            self.take(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                # More requests than answers is a fault of the client, which the count tells.
                now = left.pop(0) if left else answer("400", 400)
            if now is DROP:
                self.close_connection = True
                return
            self.respond(*now)

        def do_GET(self):
            status, code = ("retrying", "202") if self.take(b"") == 1 else ("delivered", "000")
            self.respond(200, {"request_id": REQUEST_ID, "code": code, "msg": "", "status": status, "attempts": []}, {})

        def respond(self, status, body, headers):
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
