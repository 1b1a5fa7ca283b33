"""Ringback from Python 3.9 and later, standard library alone: sends callbacks, and receives them with their signature checked.

    RINGBACK_SIGNING_SECRET=whsec_... python3 ringback.py receive 8080
    RINGBACK_APP=demo RINGBACK_KEY=rbk_... python3 ringback.py send http://127.0.0.1:8080/ '{"n":1}' order-1

RINGBACK_URL is the gateway (http://127.0.0.1:5106); RINGBACK_SECRET=whsec_... in place of RINGBACK_KEY signs each request (HMAC).
"""

import base64
import collections
import hashlib
import hmac
import http.client
import json
import os
import random
import re
import ssl
import sys
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# --- The signature, the same in both directions (Standard Webhooks) ---

TOLERANCE = 300  # seconds between the sender's clock and ours


def key_of(secret):
    """Raises ValueError for what is no secret. Called at the start, since a wrong one would refuse every callback."""
    if not secret.startswith("whsec_"):
        raise ValueError("a secret is whsec_ and base64")
    try:
        key = base64.b64decode(secret[len("whsec_"):], validate=True)
    except ValueError:
        key = b""
    if not key:
        raise ValueError("a secret is whsec_ and base64")
    return key


def secrets_of(text):
    """Several, separated by spaces or commas, while a secret is being changed."""
    secrets = re.split("[ ,]+", text.strip(" ,"))
    for secret in secrets:
        key_of(secret)
    return secrets


def sign(secret, message_id, timestamp, payload):
    signed = f"{message_id}.{timestamp}.".encode() + payload
    return "v1," + base64.b64encode(hmac.new(key_of(secret), signed, hashlib.sha256).digest()).decode()


class Refused(Exception):
    """The request does not come from the gateway, or is old."""


def verify(secrets, headers, body, now=None):
    """The webhook-id of a request that one of the secrets has signed. `body` is the bytes as they came, before any parsing."""
    message_id, timestamp = headers.get("webhook-id"), headers.get("webhook-timestamp")
    signatures = headers.get("webhook-signature")
    if not message_id or not timestamp or not signatures:
        raise Refused("unsigned")
    # isdigit() alone takes digits of other scripts as well.
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise Refused("malformed timestamp")
    if abs((time.time() if now is None else now) - int(timestamp)) > TOLERANCE:
        raise Refused("old timestamp")
    matches = False
    for secret in secrets:
        expected = sign(secret, message_id, timestamp, body).encode()
        # Several, separated by spaces, while a secret is being changed: one match is enough.
        for signature in signatures.split(" "):
            # In constant time: == would tell by its duration how much of a forged signature is right.
            matches |= hmac.compare_digest(expected, signature.encode("utf-8", "replace"))
    if not matches:
        raise Refused("wrong signature")
    return message_id


# --- The caller ---


class RingbackError(Exception):
    """The gateway did not answer that it took the callback.

    `unknown`: it may have taken it: ask again with the same idempotency key, or query `request_id` if there is one.
    Otherwise it is definitely not queued, and `msg` says what to correct.
    """

    def __init__(self, code, msg, request_id=None, unknown=False):
        super().__init__(f"{code} {msg}")
        self.code, self.msg, self.request_id, self.unknown = code, msg, request_id, unknown


class Unreached(Exception):
    """There was no connection: nothing was sent."""


FINAL = {"delivered", "dead", "expired", "cancelled"}
# The gateway's own trouble, or too much at a time: the same request can succeed a moment later. Everything else (400, 401, 403,
# 404, 409, 413, 415, 501) would be answered the same again. 502 and 504 come from balancers before the gateway.
REPEATED = {"408", "429", "500", "502", "503", "504"}


class Ringback:
    """A caller. Give it `key` where the gateway's auth.mode is bearer, `secret` where it is hmac, neither where it is open."""

    def __init__(self, url, app_id, key=None, secret=None, timeout=10, attempts=5):
        self.url = url
        if not re.fullmatch(r"(?i)https?://(\[[0-9a-f:.]+\]|[^/:\s]+)(:[0-9]{1,5})?(/\S*)?", url):
            raise ValueError(f"RINGBACK_URL: the gateway is http://HOST:PORT, not {url!r}")
        self.base = urllib.parse.urlsplit(url)
        if key and not re.fullmatch("[!-~]+", key):
            raise ValueError("RINGBACK_KEY: a key is rbk_ and more, without spaces")
        self.app_id, self.key, self.secret = app_id, key, secret
        self.timeout, self.attempts = timeout, attempts
        if secret:
            try:
                key_of(secret)
            except ValueError as error:
                raise ValueError(f"RINGBACK_SECRET: {error}, as ringback key APP --hmac prints it") from None

    def send(self, target, message_type, message, idempotency_key, wait=0):
        """Sends one callback, and repeats it while the gateway cannot take it.

        `target` is a URL or the number of a registered callee; `message` a JSON object as bytes, which reach the target as they are.
        `idempotency_key` names the event (an order's number and state), so that a repeat makes no second callback, not even by
        another process of yours. Within 24 hours, and always with the same bytes: so store the bytes, or build them without a clock.
        `wait`: hold the answer for so many seconds until the first attempt has ended. Returns the answer, as a dict.
        """
        name = "callback_url" if "://" in target else "callee_no"
        fields = json.dumps({name: target, "app_id": self.app_id, "message_type": message_type})
        body = fields[:-1].encode() + b',"request_message":' + message + b"}"
        return self._repeat("POST", "/api/callback", body, {"idempotency-key": idempotency_key}, wait)

    def query(self, request_id, wait=0):
        """What became of a callback. A 404 says that the gateway knows no such callback of this app."""
        return self._repeat("GET", f"/api/callback/{urllib.parse.quote(request_id, safe='')}", None, {}, wait)

    def until_final(self, request_id, timeout=60):
        """Asks until the callback is delivered or given up, or the time is over: look at `status` of what it returns."""
        end = time.monotonic() + timeout
        while True:
            asked = time.monotonic()
            found = self.query(request_id, wait=max(1, min(20, int(end - asked))))
            if found["status"] in FINAL or time.monotonic() >= end:
                return found
            # A gateway that is stopping, or allows no wait, answers at once.
            time.sleep(max(0, 1 - (time.monotonic() - asked)))

    def _repeat(self, method, path, body, headers, wait):
        unknown, request_id = False, None
        for attempt in range(1, self.attempts + 1):
            retry_after = "0"
            try:
                status, retry_after, answer = self._once(method, path, body, headers, wait)
                # The code in the body counts: the operator may have all answers sent with HTTP 200 (ingress.http_status).
                code, msg = str(answer.get("code", status)), answer.get("msg", "")
                if code in ("000", "202", "500500"):
                    return answer
                request_id = answer.get("request_id", request_id)
                # With a request_id the callback may be delivered all the same.
                unknown = unknown or request_id is not None or code in ("502", "504")
            except Unreached:
                code, msg = "network", f"{self.url} does not answer (RINGBACK_URL names the gateway)"
            except (OSError, http.client.HTTPException) as error:
                # Not even this says that the request did not arrive: a time-out is no refusal.
                code, msg, unknown = "network", f"{self.url}: {error!r}", True
            if attempt == self.attempts or (code != "network" and code not in REPEATED):
                raise RingbackError(code, msg, request_id, unknown and method == "POST")
            pause = min(8, 0.25 * 2**attempt) * random.uniform(0.5, 1)
            time.sleep(max(pause, min(30, int(retry_after) if retry_after.isdigit() else 0)))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _once(self, method, path, body, headers, wait):
        path = self.base.path.rstrip("/") + path
        headers = {"content-type": "application/json", **headers} if body is not None else dict(headers)
        if wait:
            headers["prefer"] = f"wait={wait}"
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        if self.secret:
            # A new id and time for each attempt: a signed request is accepted once. The idempotency key stays.
            message_id, timestamp = str(uuid.uuid4()), int(time.time())
            payload = body if body is not None else f"{method} {path}".encode()
            headers["x-callback-app-id"] = urllib.parse.quote(self.app_id, safe=VISIBLE)
            headers["webhook-id"], headers["webhook-timestamp"] = message_id, str(timestamp)
            headers["webhook-signature"] = sign(self.secret, message_id, timestamp, payload)
        secure = self.base.scheme == "https"
        connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = connect(self.base.hostname, self.base.port, timeout=self.timeout + wait)
        try:
            try:
                connection.connect()
            except ssl.SSLError:
                raise  # it does answer
            except OSError as error:
                raise Unreached from error
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            text = response.read()
            try:
                answer = json.loads(text)
            except ValueError:
                answer = {}  # a balancer's page: its status decides
            return response.status, response.getheader("retry-after", "0"), answer if isinstance(answer, dict) else {}
        finally:
            connection.close()


VISIBLE = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) != "%")

# --- The receiver ---

MAX_BODY = 1 << 20


class Seen:
    """Which callbacks have been handled. At least once is the promise, so repeats do come, with the same webhook-id.

    In memory: good for one process until its restart. In earnest, insert the id into a table with a unique index, in the
    transaction that does the work.
    """

    def __init__(self, capacity=100_000):
        self.lock, self.ids, self.capacity = threading.Lock(), collections.OrderedDict(), capacity

    def begin(self, message_id):
        """None for a new one, which is then in progress; else whether it is done."""
        with self.lock:
            if message_id in self.ids:
                return self.ids[message_id]
            self.ids[message_id] = False
            if len(self.ids) > self.capacity:
                self.ids.popitem(last=False)
            return None

    def end(self, message_id, done):
        with self.lock:
            if not done:
                # Forgotten, or the gateway's next attempt would be dropped as a repeat.
                self.ids.pop(message_id, None)
            elif message_id in self.ids:
                self.ids[message_id] = True


def handle(message_id, message_type, message):
    """Your code. What it raises is answered with 500, and the gateway tries again later."""
    print("handled", message_id, message.decode(), flush=True)


class Receiver(BaseHTTPRequestHandler):
    timeout = 10  # for a sender that stops in the middle
    protocol_version = "HTTP/1.1"
    secrets, seen = [], Seen()

    def do_POST(self):
        length = self.headers.get("content-length", "")
        if not length.isdigit():
            return self.answer(411)
        if int(length) > MAX_BODY:
            return self.answer(413)  # given up at once: the same bytes would be refused again
        body = self.rfile.read(int(length))
        try:
            message_id = verify(self.secrets, self.headers, body)
        except Refused as refused:
            print("refused", refused, flush=True)
            return self.answer(401)  # tried three times at most
        done = self.seen.begin(message_id)
        if done is not None:
            print("duplicate", message_id, flush=True)
            # Done: a success. In progress in another thread: tried again later.
            return self.answer(200 if done else 409)
        ended = False
        try:
            handle(message_id, urllib.parse.unquote(self.headers.get("x-callback-message-type", "")), body)
            ended = True
        except Exception as error:  # whatever it is, the gateway must hear of it
            print("failed", message_id, repr(error), flush=True)
        finally:
            self.seen.end(message_id, ended)
        return self.answer(200 if ended else 500)

    def answer(self, status):
        # An unread body would be taken for the next request.
        self.close_connection = self.close_connection or status in (411, 413)
        self.send_response(status)
        self.send_header("content-length", "0")
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()

    def log_message(self, *_):
        pass


def ending(report):
    """A status for people: with why it was given up, and how the last attempt ended."""
    why = [report["reason"]] if report.get("reason") else []
    if attempts := report.get("attempts"):
        last, outcome = attempts[-1], attempts[-1]["outcome"]
        why.append(f"attempt {last['number']}: {last.get('http_status', outcome) if outcome.startswith('answered_') else outcome}")
    return f"{report['status']} ({'; '.join(why)})" if why and report["status"] != "delivered" else report["status"]


def main(arguments):
    if arguments[:1] == ["receive"] and len(arguments) == 2:
        try:
            Receiver.secrets = secrets_of(os.environ.get("RINGBACK_SIGNING_SECRET", ""))
        except ValueError as error:
            sys.exit(f"RINGBACK_SIGNING_SECRET: {error}, as in signing_secrets of the gateway's settings")
        try:
            # Others than this machine reach it at "0.0.0.0".
            server = ThreadingHTTPServer(("127.0.0.1", int(arguments[1])), Receiver)
        except (OSError, OverflowError, ValueError) as error:
            sys.exit(f"cannot listen on port {arguments[1]}: {error}; give another")
        print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 130
    if arguments[:1] == ["send"] and len(arguments) in (3, 4):
        try:
            ringback = Ringback(
                os.environ.get("RINGBACK_URL") or "http://127.0.0.1:5106",
                os.environ.get("RINGBACK_APP") or "demo",
                key=os.environ.get("RINGBACK_KEY"),
                secret=os.environ.get("RINGBACK_SECRET"),
            )
        except ValueError as error:
            sys.exit(str(error))
        key = arguments[3] if len(arguments) == 4 else str(uuid.uuid4())
        try:
            answer = ringback.send(arguments[1], "test", arguments[2].encode(), key, wait=5)
            print("accepted", answer["request_id"], answer["code"], flush=True)
            found = ringback.until_final(answer["request_id"])
        except RingbackError as error:
            print("unknown:" if error.unknown else "refused:", error, file=sys.stderr)
            return 1
        print("final", ending(found))
        return 0 if found["status"] == "delivered" else 1
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
