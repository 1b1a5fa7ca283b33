"""Checks the deployment files, and that each check detects a file broken on purpose."""

import copy
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import yaml

import broker
import faults

COMPOSE = Path("docker-compose.yml")
DEFINITIONS = Path("deploy/rabbitmq/definitions.json")
UNIT = Path("deploy/systemd/ringback.service")
UNIT_TOML = Path("deploy/systemd/ringback.toml")
BINARY = os.environ.get("RINGBACK_BIN")


def manifests():
    files = sorted(Path("deploy/k8s").rglob("*.yaml"))
    return [m for file in files for m in yaml.safe_load_all(file.read_text()) if m]


def one(all_manifests, kind, name):
    return next(m for m in all_manifests if (m["kind"], m["metadata"]["name"]) == (kind, name))


def toml_of(all_manifests):
    return one(all_manifests, "ConfigMap", "ringback")["data"]["ringback.toml"]


def run_binary(arguments, settings=None):
    """Runs the binary with only these settings in its environment."""
    environment = {"PATH": os.environ["PATH"], **(settings or {})}
    return subprocess.run(
        [BINARY, *arguments], env=environment, capture_output=True, text=True, timeout=30, check=False
    )


def settings_faults(who, settings):
    done = run_binary(["config"], settings)
    return [] if done.returncode == 0 else [f"{who}: the binary refuses its settings: {done.stderr}"]


def toml_faults(text, url):
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(text)
        file.flush()
        given = {"RINGBACK_CONFIG": file.name, "RINGBACK__BROKER__URL": url}
        return settings_faults("ConfigMap ringback", given)


def unit_settings_faults(unit):
    """The environment of the unit, with its settings file at its place in the repository."""
    given = {**faults.unit_environment(unit), "RINGBACK_CONFIG": str(UNIT_TOML)}
    return settings_faults("ringback.service", given)


def binary_faults(compose, all_manifests, unit):
    """Checks by the binary: whether it accepts these settings, and its topology."""
    found = []
    for name, service in compose["services"].items():
        if (service.get("command") or [""])[0] in faults.ROLES:
            found += settings_faults(f"compose {name}", service["environment"])
    url = one(all_manifests, "Secret", "ringback-broker")["stringData"]["url"]
    found += toml_faults(toml_of(all_manifests), url)
    # Accepted settings prove something only if wrong ones are refused.
    if not toml_faults(toml_of(all_manifests) + "\n[ingress_]\nno_such_key = 1\n", url):
        found.append("self-test: the binary took an unknown key without a word")
    found += unit_settings_faults(unit)
    printed = run_binary(["topology"])
    if printed.returncode != 0 or json.loads(printed.stdout) != json.loads(DEFINITIONS.read_text()):
        found.append(f"{DEFINITIONS} is not what `ringback topology` prints: generate it anew")
    return found


def breakages(compose_text, compose, all_manifests, settings, definitions, unit, unit_settings):
    """Files broken on purpose, and whether the right check detects each of them."""

    def on_compose(change):
        broken = copy.deepcopy(compose)
        change(broken["services"])
        return broken

    def on_manifests(kind, name, change):
        broken = copy.deepcopy(all_manifests)
        change(one(broken, kind, name))
        return broken

    def pod(manifest):
        return manifest["spec"]["template"]["spec"]

    def schema(kind, name, change):
        return faults.manifest_schema(one(on_manifests(kind, name, change), kind, name))

    def sense(kind, name, change):
        return faults.manifest_sense(on_manifests(kind, name, change), settings)

    def unit_with(**keys):
        return faults.unit_sense({**unit, **{key: [value] for key, value in keys.items()}}, unit_settings)

    ingress, dispatcher = "ringback-ingress", "ringback-dispatcher"
    yield "a misspelt key in compose", faults.compose_schema(
        compose_text.replace("stop_grace_period", "stop_grace_perod"))
    yield "a compose stop shorter than the shutdown timeout", faults.compose_sense(
        on_compose(lambda s: s["dispatcher"].update(stop_grace_period="1m15s")))
    yield "a compose shutdown timeout that is not written", faults.compose_sense(
        on_compose(lambda s: s["ingress"]["environment"].pop("RINGBACK__INGRESS__SHUTDOWN_TIMEOUT")))
    yield "a compose port open to everybody", faults.compose_sense(
        on_compose(lambda s: s["ingress"].update(ports=["5106:5106"])))
    yield "a health check on another role's port", faults.compose_sense(
        on_compose(lambda s: s["ingress"]["healthcheck"].update(test=["x", "http://127.0.0.1:5108/readyz"])))
    yield "a mount of a file that is not there", faults.compose_sense(
        on_compose(lambda s: s["rabbitmq"].update(volumes=["./deploy/none.json:/none"])))
    yield "a misspelt key in a Deployment", schema(
        "Deployment", ingress, lambda m: pod(m).update(terminationGraceSeconds=1))
    yield "a wrong type in a Deployment", schema(
        "Deployment", ingress, lambda m: m["spec"].update(replicas="two"))
    yield "an unquoted number in a trigger", schema(
        "ScaledObject", dispatcher, lambda m: m["spec"]["triggers"][0]["metadata"].update(value=512))
    yield "a misspelt key in a trigger", schema(
        "ScaledObject", dispatcher, lambda m: m["spec"]["triggers"][1]["metadata"].update(exclude="true"))
    yield "a TriggerAuthentication without a key", schema(
        "TriggerAuthentication", "ringback-broker", lambda m: m["spec"]["secretTargetRef"][0].pop("key"))
    yield "a kind that nobody knows", faults.manifest_schema(
        {"apiVersion": "apps/v1", "kind": "Deploymint", "metadata": {"name": "x"}})
    yield "a pod stop shorter than the shutdown timeout", sense(
        "Deployment", dispatcher, lambda m: pod(m).update(terminationGracePeriodSeconds=75))
    yield "a pod stop that forgets the preStop sleep", sense(
        "Deployment", ingress, lambda m: pod(m).update(terminationGracePeriodSeconds=35))
    yield "a pod that may be root", sense(
        "Deployment", dispatcher, lambda m: pod(m).pop("securityContext"))
    yield "a readiness probe on /healthz", sense(
        "Deployment", ingress,
        lambda m: pod(m)["containers"][0]["readinessProbe"]["httpGet"].update(path="/healthz"))
    yield "a secret key that does not exist", sense(
        "Secret", "ringback-broker", lambda m: m["stringData"].pop("url"))
    yield "a Service that selects nothing", sense(
        "Service", ingress, lambda m: m["spec"].update(selector={"app": "x"}))
    yield "a scaler without its Deployment", sense(
        "ScaledObject", dispatcher, lambda m: m["spec"]["scaleTargetRef"].update(name="x"))
    yield "a scaler on a queue that does not exist", faults.scaler_sense(
        all_manifests, {"queues": definitions["queues"][:0]})
    yield "an image that runs as root", faults.image_sense(
        "FROM rust:1.0-x\nRUN cargo build --locked\n", {"workspace": {"package": {"rust-version": "1.0"}}})
    yield "a unit's stop shorter than a shutdown timeout", unit_with(TimeoutStopSec="75")
    yield "a unit's shutdown timeout that is not written", faults.unit_sense(unit, {"ingress": {"shutdown_timeout": "30s"}})
    yield "a unit's stop that kills", unit_with(KillSignal="SIGKILL")
    yield "a unit that runs as root", unit_with(DynamicUser="no")
    yield "a unit's queue outside of its directory", unit_with(StateDirectory="elsewhere")


def main():
    found = []
    compose_text = COMPOSE.read_text()
    compose = yaml.safe_load(compose_text)
    all_manifests = manifests()
    settings = tomllib.loads(toml_of(all_manifests))
    workspace = tomllib.loads(Path("Cargo.toml").read_text())
    unit = faults.unit_of(UNIT.read_text())
    unit_settings = tomllib.loads(UNIT_TOML.read_text())

    found += faults.compose_schema(compose_text)
    found += faults.compose_sense(compose)
    for manifest in all_manifests:
        found += faults.manifest_schema(manifest)
    found += faults.manifest_sense(all_manifests, settings)
    found += faults.image_sense(Path("deploy/Dockerfile").read_text(), workspace)
    found += faults.unit_sense(unit, unit_settings)
    print(f"docker-compose.yml, {len(all_manifests)} manifests and {UNIT.name} read")

    # Without this file compose cannot start; that is reported above.
    definitions = {"queues": []}
    if DEFINITIONS.is_file():
        definitions = json.loads(DEFINITIONS.read_text())
        found += faults.scaler_sense(all_manifests, definitions)
        found += broker.boot_faults(compose)
        print(f"a private RabbitMQ was started on the definitions ({len(definitions['queues'])} queues)")
        if BINARY:
            found += binary_faults(compose, all_manifests, unit)
            print("the binary was asked about the settings of every role and its topology")
        else:
            print("not checked: settings and topology against the binary (RINGBACK_BIN is not set)")

    broken = list(breakages(
        compose_text, compose, all_manifests, settings, definitions, unit, unit_settings))
    found += [f"self-test: nobody noticed {what}" for what, noticed in broken if not noticed]
    print(f"{len(broken)} files broken on purpose")

    for fault in found:
        print(f"check-deploy: {fault}", file=sys.stderr)
    return 1 if found else 0


sys.exit(main())
