"""Checks the deployment files, and that each check detects a file broken on purpose (breakages.py)."""

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import yaml

import breakages
import broker
import compose_faults
import kubernetes_faults
import unit_faults

COMPOSE = Path("docker-compose.yml")
DOCKERFILES = [Path("deploy/rabbitmq/Dockerfile"), Path("deploy/monitoring/Dockerfile")]
DEFINITIONS = Path("deploy/rabbitmq/definitions.json")
UNIT = Path("deploy/systemd/ringback.service")
UNIT_TOML = Path("deploy/systemd/ringback.toml")
ROLES_TOML = Path("deploy/systemd/ringback-roles.toml")
# Each unit of one role, with the shutdown timeouts that its stop must outlast.
ROLE_UNITS = {"ingress": ("ingress",), "dispatcher": ("dispatcher",), "admin": ()}
BINARY = os.environ.get("RINGBACK_BIN")


def run_binary(arguments, settings=None):
    """Runs the binary with only these settings in its environment."""
    environment = {"PATH": os.environ["PATH"], **(settings or {})}
    return subprocess.run(
        [BINARY, *arguments], env=environment, capture_output=True, text=True, timeout=30, check=False
    )


def settings_faults(who, settings):
    done = run_binary(["config"], settings)
    return [] if done.returncode == 0 else [f"{who}: the binary refuses its settings: {done.stderr}"]


def toml_faults(who, text, settings):
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(text)
        file.flush()
        return settings_faults(who, {**settings, "RINGBACK_CONFIG": file.name})


def role_unit(role):
    return Path(f"deploy/systemd/ringback-{role}.service")


def unit_settings_faults(unit):
    """The environment of the unit, with its settings file at its place in the repository."""
    given = {**unit_faults.unit_environment(unit), "RINGBACK_CONFIG": str(UNIT_TOML)}
    found = settings_faults("ringback.service", given)
    for role in ROLE_UNITS:
        own = unit_faults.unit_environment(unit_faults.unit_of(role_unit(role).read_text()))
        # The files of secrets are not here.
        secrets = {
            "RINGBACK__BROKER__URL": "amqp://user:password@host",
            "RINGBACK__JOURNAL__URL": "postgres://user:password@host/ringback",
        }
        given = {**own, **secrets, "RINGBACK_CONFIG": str(ROLES_TOML)}
        found += settings_faults(role_unit(role).name, given)
    return found


def role_unit_faults():
    """The units of single roles: each by itself, and their ports beside each other."""
    found, ports = [], []
    settings = tomllib.loads(ROLES_TOML.read_text())
    for role, timeouts in ROLE_UNITS.items():
        name, text = role_unit(role).name, role_unit(role).read_text()
        unit = unit_faults.unit_of(text)
        found += unit_faults.unit_sense(unit, settings, name, timeouts) + unit_faults.unit_verified(name, text)
        listen = [value for key, value in unit_faults.unit_environment(unit).items() if key.endswith("__LISTEN")]
        ports += [value.rpartition(":")[2] for value in listen]
    if len(set(ports)) != len(ports):
        found.append(f"the units of single roles share a port: {ports}")
    return found


def binary_faults(compose, overlays, secrets, unit):
    """Checks by the binary: whether it accepts these settings, and its topology."""
    found = []
    for name, service in compose["services"].items():
        if (service.get("command") or [""])[0] in compose_faults.ROLES:
            found += settings_faults(f"compose {name}", service["environment"])
    for overlay, manifests in overlays.items():
        text = kubernetes_faults.settings_text(manifests)
        for one in manifests:
            if one["kind"] == "Deployment":
                given = kubernetes_faults.environment_of(one, manifests, secrets)
                who = f"overlay {overlay}, {one['metadata']['name']}"
                found += toml_faults(who, text, given)
                # Accepted settings prove something only if wrong ones are refused.
                if not toml_faults(who, text + "\n[ingress_]\nno_such_key = 1\n", given):
                    found.append(f"self-test: {who}: the binary took an unknown key without a word")
    found += unit_settings_faults(unit)
    printed = run_binary(["topology"])
    if printed.returncode != 0 or json.loads(printed.stdout) != json.loads(DEFINITIONS.read_text()):
        found.append(f"{DEFINITIONS} is not what `ringback topology` prints: generate it anew")
    return found


def kubernetes(definitions):
    """The faults of all overlays and components, and the overlays."""
    if not os.environ.get("KUSTOMIZE"):
        print("SKIPPED: Kubernetes: kustomize is not installed (kustomize, kubectl or mmdebstrap)")
        return [], {}, []
    secrets = kubernetes_faults.examples()
    overlays = {name: kubernetes_faults.rendered(kubernetes_faults.TOP / "overlays" / name) for name in ("test", "production")}
    found = []
    for manifest in secrets:
        found += kubernetes_faults.manifest_schema(manifest)
    for name, namespace in (("test", "ringback-test"), ("production", "ringback")):
        found += kubernetes_faults.overlay_sense(overlays[name], namespace)
    found += kubernetes_faults.test_address_sense(overlays["test"])
    found += kubernetes_faults.production_address_sense(overlays["production"])
    components = {f"component {name}": kubernetes_faults.with_component(name) for name in ("hpa", "keda", "monitoring")}
    for name, manifests in {**overlays, **components}.items():
        settings = tomllib.loads(kubernetes_faults.settings_text(manifests))
        here = kubernetes_faults.manifest_sense(manifests, secrets, settings)
        for manifest in manifests:
            here += kubernetes_faults.manifest_schema(manifest)
        here += kubernetes_faults.scaler_sense(manifests, definitions)
        found += [f"{name}: {fault}" for fault in here]
        print(f"{name}: {len(manifests)} manifests rendered and read")
    return found, overlays, secrets


def main():
    found = []
    compose_text = COMPOSE.read_text()
    compose = yaml.safe_load(compose_text)
    workspace = tomllib.loads(Path("Cargo.toml").read_text())
    unit = unit_faults.unit_of(UNIT.read_text())
    unit_settings = tomllib.loads(UNIT_TOML.read_text())
    definitions = json.loads(DEFINITIONS.read_text()) if DEFINITIONS.is_file() else {"queues": []}

    found += compose_faults.compose_schema(compose_text)
    found += compose_faults.compose_sense(compose)
    found += compose_faults.image_sense(Path("deploy/Dockerfile").read_text(), workspace)
    for file in DOCKERFILES:
        found += compose_faults.copied_sense(file)
    found += unit_faults.unit_sense(unit, unit_settings)
    found += unit_faults.unit_verified(UNIT.name, UNIT.read_text())
    found += role_unit_faults()
    print(f"docker-compose.yml and {UNIT.name} read")
    faults, overlays, secrets = kubernetes(definitions)
    found += faults

    # Without this file compose cannot start; that is reported above.
    if DEFINITIONS.is_file():
        found += broker.boot_faults(DOCKERFILES[0])
        print(f"a private RabbitMQ was started on the definitions ({len(definitions['queues'])} queues)")
        if BINARY:
            found += binary_faults(compose, overlays, secrets, unit)
            print("the binary was asked about the settings of every role and its topology")
        else:
            print("not checked: settings and topology against the binary (RINGBACK_BIN is not set)")

    broken = list(breakages.of_compose(compose_text, compose)) + list(breakages.of_unit(unit, UNIT.read_text(), unit_settings))
    if overlays:
        broken += breakages.of_kubernetes(overlays["production"], overlays["test"], secrets, definitions)
        broken += breakages.of_monitoring(kubernetes_faults.with_component("monitoring"))
    found += [f"self-test: nobody noticed {what}" for what, noticed in broken if not noticed]
    print(f"{len(broken)} files broken on purpose")

    for fault in found:
        print(f"check-deploy: {fault}", file=sys.stderr)
    return 1 if found else 0


sys.exit(main())
