"""Uses the gateway that docker-compose.yml has started, as callers and operators would.

Run by tests/deploy/compose in the directory of the compose file. Every callback that was accepted is
kept in a ledger; at the end each must have come to the end that it should have.
"""

import itertools
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

CALLERS = "http://127.0.0.1:5106/api/callback"
CALLEE = "http://127.0.0.1:5107"
OPERATORS = "http://127.0.0.1:5109/admin/v1"
PROMETHEUS = "http://127.0.0.1:9090/api/v1"
TOKEN = "demo-operator-token"
ROLES = ("ingress", "dispatcher", "admin", "callee")
COMPOSE = ["docker", "compose", *os.environ["COMPOSE_ARGUMENTS"].split()]
BEGAN = time.monotonic()

opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
numbers = itertools.count(1)


def step(text):
    print(f"{time.monotonic() - BEGAN:4.0f} s  {text}", flush=True)


def http(method, url, body=None, headers=None, timeout=20):
    """Status and parsed body; status 0 if there was no answer."""
    headers = dict(headers or {})
    if body is not None:
        headers.setdefault("content-type", "application/json")
    data = body.encode() if isinstance(body, str) else body
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with opener.open(request, timeout=timeout) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as fault:
        text = fault.read()
        try:
            return fault.code, json.loads(text)
        except ValueError:
            return fault.code, {"text": text.decode(errors="replace")}
    except (OSError, ValueError):
        return 0, None


def eventually(what, check, timeout=60):
    """Waits until `check` gives something, and returns it."""
    end = time.monotonic() + timeout
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > end:
            sys.exit(f"compose: not within {timeout} s: {what}")
        time.sleep(0.3)


def expect(what, holds):
    if not holds:
        sys.exit(f"compose: {what}")


def run(*command, check=True):
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    if check and done.returncode != 0:
        sys.exit(f"compose: {' '.join(command)}: {done.stdout}{done.stderr}")
    return done


def compose(*arguments, check=True):
    return run(*COMPOSE, *arguments, check=check)


def ringback(*arguments, check=True):
    """A command of an operator, in the container of `admin`."""
    return compose("exec", "-T", "admin", "ringback", *arguments, check=check)


def containers(service):
    return compose("ps", "-q", service).stdout.split()


def inspect(container):
    return json.loads(run("docker", "inspect", container).stdout)[0]


class Ledger:
    """What was accepted, and how it must end."""

    def __init__(self):
        self.accepted = {}
        self.refused = 0
        self.lock = threading.Lock()

    def send(self, callee=None, url=None, message='{"n": 1}', end="delivered", headers=None, **options):
        """Sends one callback; its id, or none if it was refused."""
        target = {"callee_no": callee} if callee else {"callback_url": url}
        fields = {**target, "app_id": "demo", "message_type": "test", "options": options}
        body = json.dumps(fields)[:-1] + f', "request_message": {message}}}'
        status, answer = http("POST", CALLERS, body, headers)
        with self.lock:
            if status == 200 and answer["code"] == "000":
                self.accepted[answer["request_id"]] = end
                return answer["request_id"]
            # Unknown: it may be delivered or not. Nothing is promised.
            self.refused += 1
            return None

    def check(self, what, timeout=120):
        """Waits until every accepted callback has ended as it should; shows one that has not."""
        left = dict(self.accepted)
        end = time.monotonic() + timeout
        while left:
            request_id = next(iter(left))
            if status_of(request_id) == left[request_id]:
                del left[request_id]
            elif time.monotonic() > end:
                shown = ringback("callback", "show", request_id, check=False)
                sys.exit(f"compose: {what}: not {left[request_id]} within {timeout} s, {len(left)} left: "
                         f"{query(request_id)}\n{shown.stdout}{shown.stderr}")
            else:
                time.sleep(0.3)
        step(f"{what}: all {len(self.accepted)} accepted callbacks ended as they should; {self.refused} refused")


def query(request_id):
    status, answer = http("GET", f"{CALLERS}/{request_id}")
    return answer if status == 200 else None


def status_of(request_id):
    return (query(request_id) or {}).get("status")


def reaches(request_id, status, timeout=60):
    return eventually(
        f"{request_id} is {status}", lambda: status_of(request_id) == status and query(request_id), timeout
    )


def received(request_id):
    return http("GET", f"{CALLEE}/received?id={request_id}")[1]


def callers(ledger):
    """Delivery, failure, query, idempotency and cancelling."""
    message = '{ "n":1.50,  "text":"房源" }'
    request_id = ledger.send("EO001", message=message)
    answer = reaches(request_id, "delivered")
    expect(f"one attempt, not {answer['attempts']}", len(answer["attempts"]) == 1)
    (call,) = received(request_id)
    expect(f"the message byte for byte, not {call}", call["body"] == message and call["path"] == "/ok")

    request_id = ledger.send("EO002")
    answer = reaches(request_id, "delivered")
    expect(f"two failures before a success, not {answer['attempts']}", len(answer["attempts"]) == 3)

    refused = ledger.send(url="http://rabbitmq:15672/", end="dead")
    answer = reaches(refused, "dead")
    expect(f"a private address is not called, not {answer}", answer["reason"] == "address_refused")

    key = {"idempotency-key": "order-1"}
    first = ledger.send("EO001", headers=key)
    expect("a repeated key gets the first id", ledger.send("EO001", headers=key) == first)
    body = '{"callee_no":"EO001","app_id":"demo","message_type":"other","request_message":{}}'
    expect("another body is a conflict", http("POST", CALLERS, body, key)[0] == 409)
    reaches(first, "delivered")
    expect("one delivery for one key", len(received(first)) == 1)

    request_id = ledger.send("EO001", end="cancelled", delay_seconds=600)
    status, answer = http("DELETE", f"{CALLERS}/{request_id}")
    expect(f"cancelled at once, not {status} {answer}", status == 200 and answer["status"] == "cancelled")

    body = '{"callee_no":"EO001","app_id":"demo","message_type":"x","request_message":{}}'
    status, answer = http("POST", CALLERS, body, {"prefer": "wait=10"})
    expect(f"an awaited result, not {status} {answer}", status == 200 and answer["code"] == "000")
    reaches(answer["request_id"], "delivered", 5)
    unknown = "01900000-0000-7000-8000-000000000000"
    eventually("404 for an unknown id", lambda: http("GET", f"{CALLERS}/{unknown}")[0] == 404)
    step("callers: deliver, retry, query, Idempotency-Key, cancel, wait")


def operators(ledger):
    """Dead letters, replay, pauses and doctor, by the commands and by the API."""
    rejected = ledger.send("EO003", end="dead")
    exhausted = ledger.send(url="http://callee:5107/flaky/1", max_attempts=1)
    eventually("two dead letters", lambda: status_of(rejected) == status_of(exhausted) == "dead")
    listed = [json.loads(line) for line in ringback("dead-letters", "list", "--json").stdout.splitlines()]
    expect(f"both are listed, not {listed}", {rejected, exhausted} <= {one["request_id"] for one in listed})
    shown = ringback("dead-letters", "show", rejected, "--payload").stdout
    expect(f"reason and message are shown, not {shown}", "rejected" in shown and '"n"' in shown)
    ringback("dead-letters", "replay", exhausted, "--reason", "test", "--yes")
    answer = reaches(exhausted, "delivered")
    expect("the replay has the same webhook-id", len(received(exhausted)) == 2 and len(answer["attempts"]) == 2)

    expect("no token, no answer", http("GET", f"{OPERATORS}/instances")[0] == 401)
    bearer = {"authorization": f"Bearer {TOKEN}"}

    def roles():
        items = http("GET", f"{OPERATORS}/instances", headers=bearer)[1]["items"]
        found = sorted(one["role"] for one in items)
        return found == ["admin", "dispatcher", "dispatcher", "ingress"]

    eventually("every process is seen over the control plane", roles)

    ringback("pause", "EO001", "--reason", "test")
    held = ledger.send("EO001")
    eventually("it is deferred because of the pause",
               lambda: "pause" in ringback("callback", "show", held, check=False).stdout)
    expect("nothing is called while paused", received(held) == [])
    ringback("resume", "EO001", "--reason", "test")
    reaches(held, "delivered")

    for command in (["callback", "list"], ["targets"], ["apps"], ["audit"], ["unreadable", "list"], ["pauses"],
                    ["topology", "--check"], ["config"]):
        ringback(*command)

    def well():
        done = ringback("doctor", check=False)
        well.said = done.stdout + done.stderr
        return done.returncode == 0

    eventually("doctor finds no failure", well)
    step("operators: dead letters, replay, pause, instances, doctor")


class Load:
    """A steady stream of callbacks during a fault."""

    def __init__(self, ledger):
        self.ledger, self.stopping = ledger, threading.Event()
        self.threads = [threading.Thread(target=self.work) for _ in range(4)]

    def work(self):
        wait = 0.05
        while not self.stopping.wait(wait):
            number = next(numbers)
            refused = self.ledger.refused
            # Not so many failures that the circuit breaker of the target opens.
            if number % 10 == 0:
                self.ledger.send(url="http://callee:5107/flaky/1")
            elif number % 10 == 5:
                self.ledger.send("EO001", delay_seconds=3)
            else:
                self.ledger.send(url="http://callee:5107/slow/200")
            # As a caller would, who is refused.
            wait = 0.5 if self.ledger.refused > refused else 0.05

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.grows("load begins")

    def grows(self, what):
        goal = len(self.ledger.accepted) + 40
        eventually(f"{what}: 40 more are accepted", lambda: len(self.ledger.accepted) >= goal)

    def __exit__(self, kind, *_):
        if kind is None:
            self.grows("load goes on after the fault")
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def faults(ledger):
    """Dispatchers are killed, RabbitMQ restarts, PostgreSQL restarts, everything goes down and up."""
    with Load(ledger):
        victim = inspect(containers("dispatcher")[0])
        os.kill(victim["State"]["Pid"], 9)
        eventually("the killed dispatcher is started again and healthy", lambda: (
            (now := inspect(victim["Id"]))["RestartCount"] == 1 and now["State"].get("Health", {}).get("Status") == "healthy"))
    ledger.check("a dispatcher was killed")

    with Load(ledger):
        compose("kill", "--signal", "KILL", "dispatcher")
        compose("up", "--detach", "--wait", "--no-build")
    ledger.check("both dispatchers were killed, and started by hand")

    with Load(ledger):
        compose("restart", "rabbitmq")
    ledger.check("RabbitMQ was restarted")

    with Load(ledger):
        compose("restart", "postgres")
    ledger.check("PostgreSQL was restarted")

    waiting = [ledger.send("EO001", delay_seconds=20) for _ in range(20)]
    failing = [ledger.send(url="http://callee:5107/flaky/1") for _ in range(8)]
    expect("they are accepted", None not in waiting + failing)
    began = time.monotonic()
    compose("down")
    down = time.monotonic() - began
    began = time.monotonic()
    compose("up", "--detach", "--wait", "--no-build")
    step(f"docker compose down: {down:.0f} s; up --wait: {time.monotonic() - began:.0f} s")
    ledger.check("down and up again")
    for request_id in waiting:
        expect(f"{request_id} is received after the restart", len(received(request_id)) == 1)


def confinement():
    """What the containers may do, and what is in the image."""
    for service in compose("ps", "--services").stdout.split():
        for container in containers(service):
            facts = inspect(container)
            host = facts["HostConfig"]
            expect(f"{service}: its root file system is read-only", host["ReadonlyRootfs"])
            expect(f"{service}: it has no capability", host["CapDrop"] == ["ALL"] and not host["CapAdd"])
            expect(f"{service}: no new privileges", "no-new-privileges:true" in host["SecurityOpt"])
            expect(f"{service}: it names a user", facts["Config"]["User"] not in ("", "0", "root"))
            ids = run("docker", "top", container, "-eo", "uid,pid").stdout.split()[2::2]
            expect(f"{service}: no process is root's, not {ids}", ids and "0" not in ids)
            for bindings in host["PortBindings"].values():
                expect(f"{service}: its port is open to this machine only",
                       all(one["HostIp"] == "127.0.0.1" for one in bindings))
    image = inspect("ringback:local")
    size = image["Size"] / 1e6
    limit = os.environ.get("RINGBACK_IMAGE_LIMIT_MB")
    expect(f"the image has {size:.1f} MB, more than {limit}", not limit or size < float(limit))
    labels = image["Config"]["Labels"]
    for name in ("version", "revision", "source", "licenses"):
        expect(f"the image has a label for its {name}", f"org.opencontainers.image.{name}" in labels)
    step(f"confinement: no root, read-only, no capability; image {size:.1f} MB")


def bill_of_materials():
    """The image's list of crates is that of Cargo's own resolution, read another way."""
    box = run("docker", "create", "ringback:local", "callee").stdout.strip()
    text = run("bash", "-c", f"docker cp {box}:/usr/share/doc/ringback/sbom.cdx.json - | tar -xO").stdout
    licences = run("bash", "-c", f"docker cp {box}:/usr/share/doc/ringback/licences.txt - | tar -xO").stdout
    run("docker", "rm", box)
    listed = {(one["name"], one["version"]) for one in json.loads(text)["components"]}
    host = next(line.split()[1] for line in run("rustc", "-vV").stdout.splitlines() if line.startswith("host"))
    facts = json.loads(run("cargo", "metadata", "--locked", "--offline", "--format-version=1",
                           "--filter-platform", host).stdout)
    packages = {one["id"]: one for one in facts["packages"]}
    nodes = {one["id"]: one for one in facts["resolve"]["nodes"]}
    todo = [one for one in packages if packages[one]["name"] == "ringback"]
    reached = set(todo)
    while todo:
        for dependency in nodes[todo.pop()]["deps"]:
            normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            kinds = {kind for target in packages[dependency["pkg"]]["targets"] for kind in target["kind"]}
            if normal and "proc-macro" not in kinds and dependency["pkg"] not in reached:
                reached.add(dependency["pkg"])
                todo.append(dependency["pkg"])
    known = {(packages[one]["name"], packages[one]["version"]) for one in reached}
    expect(f"crates that Cargo does not know: {listed - known}", listed <= known)
    missing = [name for name, version in listed if f"{name} {version}\n" not in licences
               and f"{name} " not in licences]
    expect(f"crates without a licence: {missing}", not missing)
    for name in ("actix-web", "lapin", "rustls", "sqlx", "libsqlite3-sys", "ring"):
        expect(f"{name} is listed", name in {one for one, _ in listed})
    step(f"bill of materials: {len(listed)} crates")


def serve_on_a_volume():
    """The one process on a new named volume, with a read-only root file system."""
    box = run("docker", "run", "--detach", "--read-only", "--volume", "serve-test:/var/lib/ringback",
              "--env", "RINGBACK__BROKER__DATA_DIR=/var/lib/ringback", "--env", "RINGBACK__AUTH__MODE=open",
              "ringback:local", "serve").stdout.strip()
    eventually("`serve` on a named volume is ready", lambda: run(
        "docker", "exec", box, "ringback", "health", "http://127.0.0.1:5110/readyz", check=False).returncode == 0)
    expect("its directory is private", "can be read by other users" not in run("docker", "logs", box).stdout)
    run("docker", "rm", "-f", box)
    run("docker", "volume", "rm", "serve-test")
    step("serve on a named volume")


def monitoring():
    """Prometheus scrapes every process."""
    compose("--profile", "monitoring", "up", "--detach", "--build", "--wait", "prometheus")

    def targets():
        answer = http("GET", f"{PROMETHEUS}/targets?state=active")[1]
        active = (answer or {"data": {"activeTargets": []}})["data"]["activeTargets"]
        up = sorted(one["labels"].get("role", one["labels"]["job"]) for one in active if one["health"] == "up")
        return up == ["admin", "dispatcher", "dispatcher", "ingress", "rabbitmq"]

    eventually("Prometheus scrapes five targets", targets)
    step("monitoring: Prometheus scrapes ingress, two dispatchers, admin and RabbitMQ")

    def alerts():
        answer = http("GET", f"{PROMETHEUS}/rules?type=alert")[1]
        groups = (answer or {"data": {"groups": []}})["data"]["groups"]
        health = [rule["health"] for group in groups for rule in group["rules"]]
        return "ok" in health and set(health) == {"ok"}

    eventually("Prometheus evaluates every alert", alerts)
    step("monitoring: Prometheus evaluates the alerts")


def main():
    ledger = Ledger()
    confinement()
    bill_of_materials()
    callers(ledger)
    operators(ledger)
    serve_on_a_volume()
    monitoring()
    faults(ledger)


main()
