"""Faults of the compose file and of the Dockerfiles. Each function returns sentences; none means that all
is right."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from durations import seconds

ROLES = {"ingress": "INGRESS", "dispatcher": "DISPATCHER", "admin": "DISPATCHER"}


def compose_schema(text):
    """Validates against the schema of the Compose specification, which check-jsonschema includes."""
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        file.write(text)
        file.flush()
        command = ["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", file.name]
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else [f"docker-compose.yml: {done.stdout}{done.stderr}"]


def compose_sense(compose):
    """Grace periods, ports, health checks, confinement and images."""
    found = []
    services = compose["services"]
    for name, service in services.items():
        role = (service.get("command") or [""])[0]
        if role in ROLES:
            found += role_sense(name, role, service)
    built = {service["image"] for service in services.values() if "build" in service}
    for name, service in services.items():
        for port in service.get("ports", []):
            if not str(port).startswith("127.0.0.1:"):
                found.append(f"compose {name}: port {port} is open to other machines")
        for volume in service.get("volumes", []):
            if str(volume).startswith((".", "/", "~")):
                found.append(f"compose {name}: {volume} is a file of this machine, whose mode may shut the container out")
            elif str(volume).split(":")[0] not in compose["volumes"]:
                found.append(f"compose {name}: there is no volume {volume}")
        if not service.get("read_only") or service.get("cap_drop") != ["ALL"]:
            found.append(f"compose {name}: its root file system is not read-only, or it has capabilities")
        if "no-new-privileges:true" not in service.get("security_opt", []):
            found.append(f"compose {name}: it may gain privileges")
        if service["image"].endswith(":local"):
            if service["image"] not in built:
                found.append(f"compose {name}: nothing builds {service['image']}")
            elif "build" not in service and service.get("pull_policy") != "never":
                found.append(f"compose {name}: would ask a registry for {service['image']}")
    return found


def role_sense(name, role, service):
    """One of our roles: its stop and its health check."""
    found = []
    settings = service["environment"]
    timeout = settings.get(f"RINGBACK__{ROLES[role]}__SHUTDOWN_TIMEOUT")
    listen = settings.get(f"RINGBACK__{ROLES[role]}__LISTEN", "")
    # `admin` has no attempt in flight, and ends at once.
    if role != "admin":
        if timeout is None or "stop_grace_period" not in service:
            found.append(f"compose {name}: the shutdown timeout and stop_grace_period must both be written")
        elif seconds(service["stop_grace_period"]) <= seconds(timeout):
            found.append(f"compose {name}: stop_grace_period is not longer than the shutdown timeout {timeout}")
    port = listen.rpartition(":")[2]
    if not port or f":{port}/readyz" not in service["healthcheck"]["test"][-1]:
        found.append(f"compose {name}: the health check does not ask its own /readyz")
    return found


def image_sense(dockerfile, workspace):
    """The image is built with the Rust version of the workspace and does not run as root."""
    found = []
    rust = workspace["workspace"]["package"]["rust-version"]
    if f"FROM rust:{rust}-" not in dockerfile:
        found.append(f"deploy/Dockerfile: is not built with Rust {rust}")
    user = re.findall(r"^USER (\S+)", dockerfile, re.MULTILINE)
    if not user or user[-1].split(":")[0] in ("0", "root"):
        found.append("deploy/Dockerfile: runs as root")
    if "--locked" not in dockerfile:
        found.append("deploy/Dockerfile: does not keep to Cargo.lock")
    if re.search(r"^# *syntax *=", dockerfile, re.MULTILINE):
        found.append("deploy/Dockerfile: asks a registry for its own syntax")
    return found


def copied(dockerfile):
    """What a Dockerfile copies from its context: path in the image -> file there."""
    lines = re.findall(r"^COPY (?:--\S+ )*(\S+) (\S+)$", dockerfile, re.MULTILINE)
    return {place: source for source, place in lines}


def copied_sense(path):
    """Everything that a small Dockerfile copies is there, and is readable whatever the checkout's modes."""
    text = path.read_text()
    found = [
        f"{path}: {source} does not exist"
        for source in copied(text).values()
        if not (path.parent / source).exists()
    ]
    for line in re.findall(r"^COPY .*$", text, re.MULTILINE):
        if "--chmod=" not in line:
            found.append(f"{path}: `{line}` keeps the modes of the checkout")
    return found
