"""Checks that a RabbitMQ that boots with our definitions has our users and queues.

Starts a private node in a temporary directory with the configuration and the definitions of compose's
image, on ports of its own, and stops it again.
"""

import base64
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from compose_faults import copied

# The script behind Debian's wrapper, which would change to another user; else any on the PATH.
SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
if not Path(SERVER).exists():
    SERVER = shutil.which("rabbitmq-server")
TIMEOUT = 90  # Seconds. A node needs about 6 when the machine is idle.
CONTAINER_DIRECTORY = "/etc/rabbitmq/definitions.d"
# Their users have the names of the roles, and those as passwords.
ROLES = ("ingress", "dispatcher", "admin")


def files_of(dockerfile):
    """The files that the broker's image adds: path in the image -> file here."""
    here = copied(dockerfile.read_text())
    return {place: dockerfile.parent / source for place, source in here.items()}


def free_ports(number):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def ask(port, user, path):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/{path}")
    word = base64.b64encode(f"{user}:{user}".encode()).decode()
    request.add_header("authorization", f"Basic {word}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        return json.load(answer)


def wait_for_amqp(port, node, log):
    """The AMQP port opens after the import, so that a connected client finds everything."""
    end = time.monotonic() + TIMEOUT
    while True:
        if node.poll() is not None or time.monotonic() > end:
            tail = "\n".join(line[:200] for line in log.read_text().splitlines()[-15:])
            return [f"a RabbitMQ with these definitions does not start:\n{tail}"]
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return []
        except OSError:
            time.sleep(0.2)


def stop(process):
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def boot_faults(dockerfile):
    """Boots the node and compares it with the files of its image."""
    if not SERVER:
        return ["RabbitMQ is needed for this check: install rabbitmq-server"]
    files = files_of(dockerfile)
    conf = next(file for place, file in files.items() if place.startswith("/etc/rabbitmq/conf.d/"))
    parts = {p: f for p, f in files.items() if p.startswith(CONTAINER_DIRECTORY + "/")}
    wanted = {}
    for file in parts.values():
        for kind, items in json.loads(file.read_text()).items():
            if isinstance(items, list):
                wanted.setdefault(kind, []).extend(items)

    home = Path(tempfile.mkdtemp(prefix="ringback-check-deploy-"))
    amqp, management, distribution, epmd_port = free_ports(4)
    started = []
    try:
        (home / "definitions.d").mkdir()
        for place, file in parts.items():
            shutil.copy(file, home / "definitions.d" / Path(place).name)
        text = conf.read_text()
        if CONTAINER_DIRECTORY not in text:
            return [f"{conf}: does not import {CONTAINER_DIRECTORY}, where the image has the files"]
        (home / "rabbitmq.conf").write_text(
            text.replace(CONTAINER_DIRECTORY, str(home / "definitions.d"))
            + f"\nlisteners.tcp.1 = 127.0.0.1:{amqp}"
            + f"\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {management}\n"
        )
        (home / "plugins").write_text("[rabbitmq_management].\n")
        environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "ERL_CRASH_DUMP": "/dev/null",
            "HOME": str(home),  # The Erlang cookie is written here.
            "ERL_EPMD_PORT": str(epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"check-deploy-{os.getpid()}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "none.config"),
            "RABBITMQ_CONF_ENV_FILE": str(home / "none.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(home / "data"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(home / "generated"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_LOGS": "-",
        }
        log = open(home / "out", "w")
        common = {
            "cwd": home,
            "env": environment,
            "stdout": log,
            "stderr": log,
            "start_new_session": True,  # So that it can be stopped with all its children.
        }
        # Started here in the foreground: the one that Erlang would start outlives the node.
        started.append(subprocess.Popen(["epmd", "-port", str(epmd_port)], **common))
        started.append(subprocess.Popen([SERVER], **common))
        late = wait_for_amqp(amqp, started[1], home / "out")
        if late:
            return late
        found = compare(management, wanted)
        for role in ROLES:
            if not let_in(amqp, role):
                found.append(f"after import the broker does not let `{role}` in over AMQP")
        if let_in(amqp, "guest"):
            found.append("the broker lets `guest` in")
        return found
    finally:
        for process in reversed(started):
            stop(process)
        shutil.rmtree(home, ignore_errors=True)


def compare(management, wanted):
    """The contents of the node, read as the users of compose."""
    try:
        queues = ask(management, "operator", "queues?columns=name,type")
        ask(management, "operator", "whoami")
    except urllib.error.HTTPError as fault:
        return [f"after import the broker does not let `operator` in: {fault}"]
    found = []
    for kind in ("queues", "exchanges", "users"):
        here = {item["name"] for item in ask(management, "operator", kind)}
        missing = {item["name"] for item in wanted.get(kind, [])} - here
        if missing or not wanted.get(kind):
            found.append(f"after import the broker lacks {len(missing)} {kind}: {sorted(missing)[:3]}")
    bound = {route(binding) for binding in ask(management, "operator", "bindings")}
    missing = {route(binding) for binding in wanted.get("bindings", [])} - bound
    if missing:
        found.append(f"after import the broker lacks {len(missing)} bindings: {sorted(missing)[:3]}")
    classic = [queue["name"] for queue in queues if queue["type"] != "quorum"]
    if classic:
        found.append(f"after import these queues are not quorum queues: {classic[:3]}")
    for permission in ask(management, "operator", "permissions"):
        # The queue of its own that each process has for replies and questions.
        if permission["user"] in ROLES and permission["configure"] != "^ringback\\.reply\\.":
            found.append(f"`{permission['user']}` may create or delete lasting objects, or has no rights at all")
    return found


def route(binding):
    return binding["source"], binding["destination"], binding["routing_key"]


def let_in(port, user):
    """Whether the broker accepts this user and password over AMQP, as the roles send them."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        stream = connection.makefile("rwb")
        stream.write(b"AMQP\x00\x00\x09\x01")
        stream.flush()
        read_method(stream)  # connection.start
        word = f"\0{user}\0{user}".encode()
        arguments = struct.pack(">I", 0) + b"\x05PLAIN" + struct.pack(">I", len(word)) + word + b"\x05en_US"
        payload = struct.pack(">HH", 10, 11) + arguments
        stream.write(struct.pack(">BHI", 1, 0, len(payload)) + payload + b"\xce")
        stream.flush()
        return read_method(stream) == (10, 30)  # connection.tune: past authentication


def read_method(stream):
    """The class and method of the next frame; none once the broker has closed the connection."""
    try:
        head = stream.read(7)
        if len(head) < 7:
            return None
        payload = stream.read(struct.unpack(">BHI", head)[2] + 1)
        return struct.unpack(">HH", payload[:4])
    except ConnectionError:  # The broker closes the connection of a refused user.
        return None
