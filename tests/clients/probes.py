"""What is asked of each client. Every probe gives what it found wrong, in words."""

import base64
import hashlib
import http.client
import itertools
import json
import os
import time
import urllib.parse
from datetime import datetime, timezone
from pathlib import Path

from standardwebhooks.webhooks import Webhook

import double
import processes

HERE = Path(__file__).resolve().parent
STANDARD_JS = os.environ.get("STANDARD_JS")
# Spaces, an order, a number's spelling and letters that a client which writes the message anew would change.
MESSAGE = '{"n": 1.0,  "b":"乐居", "a":"\\u4e50 / <&>"}'
APP = "shop-乐%"
_numbers = itertools.count()


def secret():
    return "whsec_" + base64.b64encode(os.urandom(32)).decode()


def hashed(key):
    """A key as the gateway's settings have it."""
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def standard_js(directory, **asked):
    done = processes.run(["node", HERE / "standard.mjs"], {"STANDARD_JS": STANDARD_JS}, directory, json.dumps(asked))
    if done.returncode:
        raise RuntimeError(f"standard.mjs: {done.stderr}")
    return json.loads(done.stdout)


def post(url, body, headers):
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=15)
    try:
        connection.request("POST", "/", body, {"content-type": "application/json", **headers})
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def listening(command, signing, directory):
    arguments = [] if "FilterServer" in " ".join(command) else ["receive", "0"]
    return processes.running([*command, *arguments], {"RINGBACK_SIGNING_SECRET": signing}, directory)


def signed(key, message_id, body, seconds_ago=0):
    """The headers by the standard's library for Python."""
    timestamp = int(time.time()) - seconds_ago
    signature = Webhook(key).sign(message_id, datetime.fromtimestamp(timestamp, tz=timezone.utc), body)
    return {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": signature}


def receiver(command, directory):
    """What the receiver makes of good, forged, old and repeated requests, by the standard's libraries."""
    key, found = secret(), []
    with listening(command, f"{secret()} {key}", directory) as process:
        url = process.wait_for(r"^listening on (\S+)")[1]

        def expect(what, status, headers, body=MESSAGE):
            given = post(url, body.encode(), headers)
            if given != status:
                found.append(f"{what}: {given} instead of {status}")

        def handled_once(message_id):
            whole = process.count(f"handled {message_id} {MESSAGE}", 1)
            if whole != 1 or process.count(f"handled {message_id}") != 1:
                found.append(f"{message_id} is not handled once, byte for byte: {process.lines[-5:]}")

        first = signed(key, "first", MESSAGE)
        expect("a signature of the standard's Python library", 200, first)
        expect("a duplicate", 200, {**signed(key, "first", MESSAGE)})
        expect("a tampered body", 401, signed(key, "tampered", MESSAGE), MESSAGE + " ")
        expect("another id", 401, {**signed(key, "one", MESSAGE), "webhook-id": "other"})
        expect("the signature of a stranger", 401, signed(secret(), "stranger", MESSAGE))
        expect("an old timestamp", 401, signed(key, "old", MESSAGE, 600))
        expect("a timestamp ahead", 401, signed(key, "ahead", MESSAGE, -600))
        expect("a timestamp in words", 401, {**signed(key, "words", MESSAGE), "webhook-timestamp": "now"})
        expect("no signature", 401, {"webhook-id": "unsigned", "webhook-timestamp": str(int(time.time()))})
        expect("an empty signature", 401, {**signed(key, "empty", MESSAGE), "webhook-signature": "v1,"})
        both = signed(key, "both", MESSAGE)
        both["webhook-signature"] = f"v1,{'A' * 43}= {both['webhook-signature']}"
        expect("the second of two signatures", 200, both)
        large = json.dumps({"n": "x" * (1 << 20)})
        try:
            expect("a body that is too large", 413, signed(key, "large", large), large)
        except (ConnectionError, http.client.HTTPException):
            pass  # answered and closed while it was still being written
        if STANDARD_JS:
            at = int(time.time())
            signature = standard_js(directory, secret=key, sign=[{"id": "npm", "timestamp": at, "body": MESSAGE}])["signed"][0]
            headers = {"webhook-id": "npm", "webhook-timestamp": str(at), "webhook-signature": signature}
            expect("a signature of the standard's library for JavaScript", 200, headers)
            handled_once("npm")
        handled_once("first")
        handled_once("both")
        if (count := process.count("handled")) != (3 if STANDARD_JS else 2):
            found.append(f"{count} callbacks are handled: {process.lines}")
    return found


def secrets(command, directory):
    """A receiver does not start with what is no secret: it would refuse every callback, one after the other."""
    found = []
    with listening(command, "whsec_...", directory) as process:
        if process.ended(30) in (None, 0):
            found.append(f"it starts: {process.lines[-5:]}")
    return found


def failure(command, directory):
    """A callback whose handling fails is not taken for a duplicate when it comes again."""
    key, message = secret(), '{"fail-once":1}'
    with listening(command, key, directory) as process:
        url = process.wait_for(r"^listening on (\S+)")[1]
        statuses = [post(url, message.encode(), signed(key, "again", message)) for _ in range(3)]
        found = [] if statuses == [500, 200, 200] else [f"a failure, its repeat and a duplicate: {statuses}"]
        if process.count("handled again", 1) != 1:
            found.append(f"it is not handled once: {process.lines[-5:]}")
    return found


def send(command, directory, settings, target, message=MESSAGE, key=None):
    return processes.run([*command, "send", target, message, *([key] if key else [])], {"RINGBACK_APP": APP, **settings}, directory)


def caller(command, directory):
    """What the caller sends to a gateway that fails, and how its signatures are judged by the standard's libraries."""
    key, found = secret(), []
    library = Webhook(key)
    answers = [
        double.DROP,
        double.answer("500", 503, request_id=double.REQUEST_ID, retry_after="0"),
        double.answer("500", 200),  # ingress.http_status = "always_200"
        double.answer("000", 200, request_id=double.REQUEST_ID),
    ]
    with double.double(answers) as (url, requests):
        done = send(command, directory, {"RINGBACK_URL": url, "RINGBACK_SECRET": key}, "http://127.0.0.1:1/", key="order-1")
        if done.stdout.splitlines() != [f"accepted {double.REQUEST_ID} 000", "final delivered"] or done.returncode:
            found.append(f"after three failures: {done.returncode} {done.stdout!r} {done.stderr!r}")
        posts = [(headers, body) for method, _, headers, body in requests if method == "POST"]
        if len(posts) != 4:
            found.append(f"{len(posts)} attempts instead of 4")
        if {headers.get("idempotency-key") for headers, _ in posts} != {"order-1"}:
            found.append("the attempts have other idempotency keys")
        if len({headers.get("webhook-id") for headers, _ in posts}) != len(posts):
            found.append("two attempts have the same webhook-id: the second is a 401")
        if len({body for _, body in posts}) != 1 or MESSAGE.encode() not in posts[0][1]:
            found.append(f"the message's bytes are changed: {posts[0][1]!r}")
        if {headers.get("prefer") for headers, _ in posts} != {"wait=5"}:
            found.append("no Prefer: wait=5")
        for headers, body in posts:
            try:
                sent = library.verify(body, headers)
                if (sent["app_id"], headers["x-callback-app-id"]) != (APP, "shop-%E4%B9%90%25"):
                    found.append(f"the app is {headers['x-callback-app-id']}, {sent['app_id']}")
            except Exception as error:  # whatever the library raises, the signature is wrong
                found.append(f"the standard's library for Python refuses its signature: {error!r}")
        if STANDARD_JS:
            cases = [{"headers": headers, "body": body.decode()} for headers, body in posts]
            verified = standard_js(directory, secret=key, verify=cases)["verified"]
            if verified != [True] * len(posts):
                found.append(f"the standard's library for JavaScript refuses its signature: {verified}")
        queries = [request for request in requests if request[0] == "GET"]
        if len(queries) != 2 or any(path != f"/api/callback/{double.REQUEST_ID}" for _, path, *_ in queries):
            found.append(f"it does not ask twice until the status is final: {queries}")
        for method, path, headers, _ in queries:
            at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), tz=timezone.utc)
            if library.sign(headers["webhook-id"], at, f"{method} {path}") != headers["webhook-signature"]:
                found.append("a query is not signed over its method and path")

    refusals = [
        ("a refusal", [double.answer("400", 400)], "refused: 400"),
        ("a refusal after an unknown end", [double.answer("500", 503, request_id=double.REQUEST_ID), double.answer("400", 400)],
         "unknown: 400"),
    ]
    for what, answers, said in refusals:
        with double.double(answers) as (url, requests):
            done = send(command, directory, {"RINGBACK_URL": url, "RINGBACK_KEY": "rbk_1"}, "http://127.0.0.1:1/")
            if len(requests) != len(answers) or done.returncode == 0 or not done.stderr.startswith(said):
                found.append(f"{what}: {len(requests)} requests, {done.returncode} {done.stderr[:200]!r}")
            if any(headers.get("authorization") != "Bearer rbk_1" for _, _, headers, _ in requests):
                found.append("its key is not in the header")
    return found


def gateway(command, directory, gateways, caller_command):
    """From the client through a real gateway to the client's own receiver, with each way to prove who it is."""
    found = []
    for mode, (url, settings, signing) in gateways.items():
        settings = {"RINGBACK_URL": url, **settings}
        key = f"event-{next(_numbers)}"
        with listening(command, signing, directory) as process:
            target = process.wait_for(r"^listening on (\S+)")[1]
            first = send(caller_command, directory, settings, target, key=key)
            lines = first.stdout.splitlines()
            if first.returncode or len(lines) != 2 or lines[1] != "final delivered" or not lines[0].endswith(" 000"):
                found.append(f"{mode}: not delivered: {first.stdout!r} {first.stderr!r} {process.lines[-5:]}")
                continue
            request_id = lines[0].split()[1]
            process.count("handled", 1)
            handled = [line for line in process.lines if line.startswith("handled")]
            if handled != [f"handled {request_id} {MESSAGE}"]:
                found.append(f"{mode}: the target got {handled}")
            # Once is enough: a request that is signed anew is where a repeat could fail.
            if mode != "hmac":
                continue
            again = send(caller_command, directory, settings, target, key=key)
            if again.stdout != first.stdout:
                found.append(f"a repeat with the same key: {again.stdout!r} {again.stderr!r} after {first.stdout!r}")
            if process.count("handled") != 1:
                found.append(f"the repeat is delivered as well: {process.lines[-5:]}")
            other = send(caller_command, directory, settings, target, '{"n":2}', key)
            if other.returncode == 0 or not other.stderr.startswith("refused: 409"):
                found.append(f"{mode}: another message under the key: {other.stdout!r} {other.stderr!r}")
    return found
