"""What the clients' command lines say to common slips: no gateway, a setting that is none, a port that is taken, another secret."""

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "clients"))

import double
import languages
import probes
import processes

ID = double.REQUEST_ID
ATTEMPTS = [
    {"number": 1, "started_at": "2025-09-22T00:13:20.004Z", "duration_ms": 1, "outcome": "connection_refused", "detail": '{"number":9}'},
    {"number": 2, "started_at": "2025-09-22T00:13:25.004Z", "duration_ms": 1, "outcome": "answered_4xx", "http_status": 401},
]


class Dead(BaseHTTPRequestHandler):
    """A gateway whose target has another secret."""

    def respond(self, answer):
        self.rfile.read(int(self.headers.get("content-length", "0")))
        text = json.dumps({"request_id": ID, "msg": "", **answer}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_POST(self):
        self.respond({"code": "202"})

    def do_GET(self):
        self.respond({"code": "500500", "status": "dead", "reason": "exhausted", "attempts": ATTEMPTS})

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def dead():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Dead)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def free_url():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{one.getsockname()[1]}"


def checked(language, top):
    found = []
    directory = top / language.file
    directory.mkdir()
    (directory / language.file).write_bytes((languages.CLIENTS / language.file).read_bytes())
    command = language.build(directory)

    def expect(what, arguments, settings, output="", error=""):
        try:
            done = processes.run([*command, *arguments], settings, directory, seconds=45)
        except subprocess.TimeoutExpired:
            found.append(f"{language.name}: {what}: it starts, or does not end")
            return
        fits = done.stderr.startswith(error) and done.stderr.count("\n") == bool(error)
        if not done.returncode or done.stdout != output or not fits:
            found.append(f"{language.name}: {what}: {done.returncode} {done.stdout!r} {done.stderr[:300]!r}")

    send = ["send", "http://127.0.0.1:1/", "{}", "order-1"]
    for signing in ("", "whsec_", "whsec_...", "whsec_AAAA,other"):
        expect("what signs is no secret", ["receive", "0"], {"RINGBACK_SIGNING_SECRET": signing}, error="RINGBACK_SIGNING_SECRET: ")
    expect("nothing signs", ["receive", "0"], {}, error="RINGBACK_SIGNING_SECRET: ")
    expect("no secret", send, {"RINGBACK_SECRET": "whsec_..."}, error="RINGBACK_SECRET: ")
    expect("no URL", send, {"RINGBACK_URL": "127.0.0.1:5106"}, error="RINGBACK_URL: ")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        # With a comma in place of the space that the other tests have.
        both = {"RINGBACK_SIGNING_SECRET": f"{probes.secret()},{probes.secret()}"}
        expect("a port that is taken", ["receive", port], both, error=f"cannot listen on port {port}: ")
    url = free_url()
    said = f"refused: network {url} does not answer (RINGBACK_URL names the gateway)\n"
    expect("no gateway", send, {"RINGBACK_URL": url}, error=said)
    # A connection that was there and broke is another matter: the request may have arrived.
    with double.double([double.DROP] * 5) as (url, _):
        done = processes.run([*command, *send], {"RINGBACK_URL": url}, directory)
        if not done.returncode or not done.stderr.startswith("unknown: network ") or url not in done.stderr:
            found.append(f"{language.name}: a broken connection: {done.returncode} {done.stderr[:300]!r}")
    with dead() as url:
        expect("another secret", send, {"RINGBACK_URL": url}, f"accepted {ID} 202\nfinal dead (exhausted; attempt 2: 401)\n")
    return found


def main():
    able = [one for one in languages.LANGUAGES if not one.skipped and "caller" in one.probes]
    with tempfile.TemporaryDirectory(prefix="ringback-slips-") as name, ThreadPoolExecutor() as pool:
        found = sum(pool.map(lambda one: checked(one, Path(name)), able), [])
    print(f"slips: {', '.join(one.name for one in able)}")
    for fault in found:
        print(f"callers: slips: {fault}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
