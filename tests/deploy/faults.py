"""Faults of deployment files. Each function returns sentences; none means that all is right."""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import jsonschema
import kubernetes_validate

# The oldest supported Kubernetes (preStop sleep), and the newest schema available.
KUBERNETES = ["1.30", "1.37"]
SCHEMAS = Path(__file__).resolve().parent.parent / "schemas"
UNITS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600}
ROLES = {"ingress": "INGRESS", "dispatcher": "DISPATCHER"}


def seconds(text):
    """The seconds of `1m30s`, as Compose and our settings write it."""
    if not re.fullmatch(r"([0-9]+(ms|s|min|m|h) ?)+", str(text)):
        raise ValueError(f"`{text}` is not a duration")
    return sum(int(n) * UNITS[unit] for n, unit in re.findall(r"([0-9]+)([a-z]+)", text))


def compose_schema(text):
    """Validates against the schema of the Compose specification, which check-jsonschema includes."""
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        file.write(text)
        file.flush()
        command = ["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", file.name]
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else [f"docker-compose.yml: {done.stdout}{done.stderr}"]


def compose_sense(compose):
    """Grace periods, ports and health checks of our roles."""
    found = []
    for name, service in compose["services"].items():
        role = (service.get("command") or [""])[0]
        if role not in ROLES:
            continue
        settings = service["environment"]
        timeout = settings.get(f"RINGBACK__{ROLES[role]}__SHUTDOWN_TIMEOUT")
        listen = settings.get(f"RINGBACK__{ROLES[role]}__LISTEN", "")
        if timeout is None or "stop_grace_period" not in service:
            found.append(f"compose {name}: the shutdown timeout and stop_grace_period must both be written")
        elif seconds(service["stop_grace_period"]) <= seconds(timeout):
            found.append(f"compose {name}: stop_grace_period is not longer than the shutdown timeout {timeout}")
        port = listen.rpartition(":")[2]
        if not port or f":{port}/readyz" not in service["healthcheck"]["test"][-1]:
            found.append(f"compose {name}: the health check does not ask its own /readyz")
    for name, service in compose["services"].items():
        for port in service.get("ports", []):
            if not str(port).startswith("127.0.0.1:"):
                found.append(f"compose {name}: port {port} is open to other machines")
        for volume in service.get("volumes", []):
            source = str(volume).split(":")[0]
            if source.startswith("./") and not Path(source).is_file():
                found.append(f"compose {name}: {source} is not a file (see deploy/README.md)")
    return found


def manifest_schema(manifest):
    """Validates against the schema of Kubernetes, or ours for the kinds of KEDA."""
    name = f"{manifest.get('kind')} {manifest.get('metadata', {}).get('name')}"
    if str(manifest.get("apiVersion")).startswith("keda.sh/"):
        file = SCHEMAS / f"keda-{str(manifest['kind']).lower()}.json"
        if not file.exists():
            return [f"{name}: there is no schema for it in tests/schemas"]
        validator = jsonschema.Draft202012Validator(json.loads(file.read_text()))
        return [f"{name}: {fault.json_path}: {fault.message}" for fault in validator.iter_errors(manifest)]
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except (
            kubernetes_validate.ValidationError,
            kubernetes_validate.SchemaNotFoundError,
            kubernetes_validate.InvalidSchemaError,
        ) as fault:
            return [f"{name} (Kubernetes {version}): {fault}"]
    return []


def manifest_sense(manifests, settings):
    """Grace periods, and whether referenced names exist. `settings` is the parsed TOML."""
    found = []
    named = {(m["kind"], m["metadata"]["name"]): m for m in manifests}
    for (kind, name), manifest in named.items():
        if kind == "Deployment":
            found += deployment_sense(name, manifest, named, settings)
        elif kind in ("Service", "PodDisruptionBudget"):
            selector = manifest["spec"]["selector"]
            labels = selector.get("matchLabels", selector)
            if not any(selects(labels, m) for (k, _), m in named.items() if k == "Deployment"):
                found.append(f"{kind} {name}: selects no pod")
        elif kind == "TriggerAuthentication":
            for ref in manifest["spec"]["secretTargetRef"]:
                found += secret_sense(f"{kind} {name}", ref, named)
        elif kind == "ScaledObject":
            if ("Deployment", manifest["spec"]["scaleTargetRef"]["name"]) not in named:
                found.append(f"{kind} {name}: scales no Deployment of ours")
            for trigger in manifest["spec"]["triggers"]:
                if ("TriggerAuthentication", trigger["authenticationRef"]["name"]) not in named:
                    found.append(f"{kind} {name}: a trigger names no TriggerAuthentication of ours")
    return found


def selects(labels, deployment):
    return labels.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def secret_sense(who, ref, named):
    secret = named.get(("Secret", ref["name"]), {})
    if ref["key"] in secret.get("stringData", {}):
        return []
    return [f"{who}: the Secret {ref['name']} has no {ref['key']} (deploy/k8s/examples)"]


def deployment_sense(name, manifest, named, settings):
    found = []
    pod = manifest["spec"]["template"]["spec"]
    container = pod["containers"][0]
    role = (container.get("args") or [""])[0]
    sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    own = settings.get(role, {})
    if "shutdown_timeout" not in own or "terminationGracePeriodSeconds" not in pod:
        found.append(f"{name}: shutdown_timeout and terminationGracePeriodSeconds must both be written")
    elif pod["terminationGracePeriodSeconds"] <= seconds(own["shutdown_timeout"]) + sleep:
        found.append(
            f"{name}: terminationGracePeriodSeconds is not longer than "
            f"the preStop sleep {sleep} s and the shutdown timeout {own['shutdown_timeout']}"
        )
    metrics = settings.get("metrics", {})
    listened = [int(section.get("listen", ":0").rpartition(":")[2]) for section in (own, metrics)]
    if [p["containerPort"] for p in container["ports"]] != listened:
        found.append(
            f"{name}: the container's ports are not those that {role}.listen and metrics.listen name"
        )
    if not metrics.get("listen", "").startswith("0.0.0.0:"):
        found.append(f"{name}: metrics.listen is not reachable from outside the pod")
    for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        if container.get(probe, {}).get("httpGet", {}).get("path") != path:
            found.append(f"{name}: {probe} does not ask {path}")
    security = pod.get("securityContext", {})
    if not security.get("runAsNonRoot") or not security.get("runAsUser"):
        found.append(f"{name}: may run as root")
    for env in container.get("env", []):
        if "secretKeyRef" in env.get("valueFrom", {}):
            found += secret_sense(name, env["valueFrom"]["secretKeyRef"], named)
    for volume in pod.get("volumes", []):
        if "configMap" in volume and ("ConfigMap", volume["configMap"]["name"]) not in named:
            found.append(f"{name}: mounts a ConfigMap that is not here")
    return found


def scaler_sense(manifests, definitions):
    """KEDA ignores a missing queue silently: every queue that it watches must exist."""
    queues = {queue["name"] for queue in definitions["queues"]}
    return [
        f"ScaledObject: there is no queue {trigger['metadata']['queueName']}"
        for manifest in manifests
        if manifest["kind"] == "ScaledObject"
        for trigger in manifest["spec"]["triggers"]
        if trigger["metadata"]["queueName"] not in queues
    ]


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
    return found


def unit_of(text):
    """The keys of a systemd unit, each with all its values: a key may be given several times."""
    unit = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith(("#", ";")):
            unit.setdefault(key.strip(), []).append(value.strip())
    return unit


def unit_environment(unit):
    return dict(value.split("=", 1) for value in unit.get("Environment", []))


def unit_sense(unit, settings):
    """Stop time, user and data directory of the one process. `settings` is its parsed TOML."""
    found = []
    stop = unit.get("TimeoutStopSec", [None])[-1]
    timeouts = [settings.get(role, {}).get("shutdown_timeout") for role in ("ingress", "dispatcher")]
    if stop is None or None in timeouts:
        found.append("ringback.service: TimeoutStopSec and both shutdown timeouts in ringback.toml must be written")
    # A plain number means seconds.
    elif seconds(stop + "s" if stop.isdigit() else stop) <= max(map(seconds, timeouts)):
        found.append(f"ringback.service: TimeoutStopSec is not longer than the shutdown timeouts {timeouts}")
    if unit.get("KillSignal", ["SIGTERM"])[-1] not in ("SIGTERM", "SIGINT"):
        found.append("ringback.service: its KillSignal is no graceful stop")
    if unit.get("DynamicUser") != ["yes"] and unit.get("User", ["root"])[-1] in ("root", "0"):
        found.append("ringback.service: runs as root")
    directory = unit_environment(unit).get("RINGBACK__BROKER__DATA_DIR")
    if directory != f"/var/lib/{unit.get('StateDirectory', [''])[-1]}":
        found.append("ringback.service: the data directory is not its StateDirectory")
    return found
