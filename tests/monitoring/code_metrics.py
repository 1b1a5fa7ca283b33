"""The metrics that the code registers, by the names that its page has."""

import re
from pathlib import Path

# What registers a metric; its first string is the name.
REGISTRATION = re.compile(
    r"\b(add|add_seconds|counter|by_queue|gauge|encode_descriptor|register|register_seconds)\(\s*"
    r'(?:(?:registry|&mut encoder),\s*)?"([a-z][a-z0-9_]*)"'
)
ASSIGNED = re.compile(r"(?:let (?:mut )?)?(\w+)(?:: | = )(?:Arc::new\()?(?:Labeled::|TopCounters::)?$")


def call_text(text, start):
    """The text of a call, from its name to the closing parenthesis."""
    depth = 0
    for at in range(start, len(text)):
        if text[at] == "(":
            depth += 1
        elif text[at] == ")":
            depth -= 1
            if depth == 0:
                return text[start : at + 1]
    return text[start:]


def kind_of(text, match):
    """Counter, Gauge or Histogram, by the call or else by the field that holds it."""
    call = call_text(text, match.start())
    if match[1] in ("counter", "gauge"):
        return match[1].capitalize()
    kinds = re.findall(r"\b(?:MetricType::|Time|Traced)?(Counter|Gauge|Histogram)(?:::|\b)", call)
    if kinds:
        return kinds[0]
    field = ASSIGNED.search(text[: match.start()])
    declared = field and re.search(rf"^\s*{field[1]}: .*?\b(?:Time|Traced|Top)?(Counter|Gauge|Histogram)s?\b", text, re.MULTILINE)
    return declared[1] if declared else None


def in_text(text):
    """The metrics that one file registers: name -> kind."""
    text = text.split("#[cfg(test)]")[0]
    found = {}
    for match in REGISTRATION.finditer(text):
        kind = kind_of(text, match)
        if kind is None:
            raise SystemExit(f"check-monitoring: the kind of the metric {match[2]} is not understood (code_metrics.py)")
        # What has the same name in every program has no prefix.
        name = match[2] if match[2].startswith("process_") else "ringback_" + match[2]
        if match[1] in ("add_seconds", "register_seconds"):
            name += "_seconds"
        found[name + ("_total" if kind == "Counter" else "")] = kind
    return found


def in_code():
    found = {}
    for file in sorted(Path("crates").glob("*/src/**/*.rs")):
        text = file.read_text()
        if "prometheus_client" in text and file.name != "tests.rs":
            found |= in_text(text)
    return found


def series(metrics):
    """The names of series: those of a histogram have suffixes."""
    found = set()
    for name, kind in metrics.items():
        found |= {name + end for end in ("_bucket", "_count", "_sum")} if kind == "Histogram" else {name}
    return found
