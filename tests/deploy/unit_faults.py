"""Faults of the systemd units. Each function returns sentences; none means that all is right."""

import re
import shutil
import subprocess
import tempfile

from durations import seconds


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


def unit_sense(unit, settings, name="ringback.service", roles=("ingress", "dispatcher")):
    """Start, stop, user and data directory of a unit. `settings` is its parsed TOML."""
    found = []
    stop = unit.get("TimeoutStopSec", [None])[-1]
    timeouts = [settings.get(role, {}).get("shutdown_timeout") for role in roles]
    if stop is None or None in timeouts:
        found.append(f"{name}: TimeoutStopSec and the shutdown timeouts of {roles} must be written")
    # A plain number means seconds. The operators' listener has 10 s.
    elif seconds(stop + "s" if stop.isdigit() else stop) <= max(map(seconds, [*timeouts, "10s"])):
        found.append(f"{name}: TimeoutStopSec is not longer than the shutdown timeouts {timeouts}")
    if unit.get("KillSignal", ["SIGTERM"])[-1] not in ("SIGTERM", "SIGINT"):
        found.append(f"{name}: its KillSignal is no graceful stop")
    if unit.get("DynamicUser") != ["yes"] and unit.get("User", ["root"])[-1] in ("root", "0"):
        found.append(f"{name}: runs as root")
    if unit.get("Type") != ["notify"] or "WatchdogSec" not in unit:
        found.append(f"{name}: its readiness and watchdog are not used")
    directory = unit_environment(unit).get("RINGBACK__BROKER__DATA_DIR")
    state = unit.get("StateDirectory", [None])[-1]
    if directory != (state and f"/var/lib/{state}"):
        found.append(f"{name}: the data directory is not its StateDirectory")
    return found


def unit_verified(name, text):
    """What `systemd-analyze verify` says of a unit, where it is installed."""
    if not shutil.which("systemd-analyze"):
        return []
    with tempfile.TemporaryDirectory() as directory:
        # The binary is not installed here.
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE)
        file = f"{directory}/{name}"
        with open(file, "w", encoding="utf-8") as unit:
            unit.write(text)
        done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if name in line]
    return [f"systemd-analyze: {line}" for line in said]
