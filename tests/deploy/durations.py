"""Durations as Compose, systemd and our settings write them."""

import re

UNITS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600}


def seconds(text):
    """The seconds of `1m30s`."""
    if not re.fullmatch(r"([0-9]+(ms|s|min|m|h) ?)+", str(text)):
        raise ValueError(f"`{text}` is not a duration")
    return sum(int(n) * UNITS[unit] for n, unit in re.findall(r"([0-9]+)([a-z]+)", text))
