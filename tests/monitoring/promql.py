"""What an expression of PromQL names: metrics, and the labels that it matches."""

import re

# Series that Prometheus makes itself.
OF_PROMETHEUS = {"up": {"job", "instance", "role"}, "ALERTS": {"alertname", "alertstate"}}
# Labels that a scrape adds to each of our series.
OF_SCRAPE = {"job", "instance", "role"}
WORDS = {"and", "or", "unless", "on", "ignoring", "by", "without", "offset", "bool", "group_left", "group_right"}


def metrics(expression):
    """Every name in an expression that is a metric's."""
    text = re.sub(r'"[^"]*"', '""', expression)
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", text)
    text = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", "", text)
    text = re.sub(r"\boffset\s+\S+", "", text)
    names = re.findall(r"(?<![\w.$])([A-Za-z_:][\w:]*)(?!\w)(?!\s*\()", text)
    return {name for name in names if name not in WORDS}


def matched_labels(expression):
    """Pairs of metric and label, for each matcher in an expression."""
    found = set()
    for name, matchers in re.findall(r"([A-Za-z_:][\w:]*)\{([^}]*)\}", expression):
        found |= {(name, label) for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', "", matchers))}
    return found


def faults(who, expression, documented):
    """`documented`: series -> its labels."""
    found = [
        f"{who}: the code has no metric {name}"
        for name in sorted(metrics(expression) - documented.keys() - OF_PROMETHEUS.keys())
    ]
    for name, label in sorted(matched_labels(expression)):
        known = OF_PROMETHEUS.get(name) or documented.get(name, {label}) | OF_SCRAPE
        if label not in known:
            found.append(f"{who}: {name} has no label {label}")
    return found
