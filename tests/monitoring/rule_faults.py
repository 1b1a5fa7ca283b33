"""Faults of the alerts and of their tests. Each function returns sentences; none means that all is right."""

import re
import subprocess
import tempfile
from pathlib import Path

import yaml

import documents
import promql

RULES = Path("deploy/monitoring/prometheus/rules/ringback.yml")
CONFIG = Path("deploy/monitoring/prometheus/prometheus.yml")
OPERATOR_RULE = Path("deploy/kubernetes/components/monitoring/prometheus-rule.yaml")
TESTS = Path("tests/monitoring/rules")
# The base is for the operator to replace: docs/guides/monitoring.md.
RUNBOOK_BASE = "https://ringback.example/docs/runbook.md#"

OPERATOR_HEAD = """\
# The alerts of deploy/monitoring/prometheus/rules/ringback.yml, generated: tests/check-monitoring --write
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: ringback
  labels:
    app.kubernetes.io/name: ringback
spec:
"""


def operator_rule(text):
    """The rules file as a PrometheusRule."""
    body = text[text.index("groups:\n") :]
    return OPERATOR_HEAD + "".join(f"  {line}" if line.strip() else line for line in body.splitlines(keepends=True))


def alerts_of(rules):
    return [rule for group in rules["groups"] for rule in group["rules"]]


def anchor_of(alert):
    return alert["annotations"].get("runbook_url", "").removeprefix(RUNBOOK_BASE)


def sense(rules, documented, runbook, runbook_zh):
    """Each alert says what it must, and names what exists."""
    found = []
    english, chinese = documents.anchors(runbook), documents.anchors(runbook_zh)
    names = [alert.get("alert", "?") for alert in alerts_of(rules)]
    found += [f"{name}: is there twice" for name in sorted({name for name in names if names.count(name) > 1})]
    for alert in alerts_of(rules):
        name, said = alert.get("alert", "?"), alert.get("annotations", {})
        if not re.fullmatch(r"Ringback([A-Z][a-z]*)+", name):
            found.append(f"{name}: is not in camel case after Ringback")
        if alert.get("labels", {}).get("severity") not in ("critical", "warning"):
            found.append(f"{name}: its severity is neither critical nor warning")
        if not said.get("summary", "").endswith("."):
            found.append(f"{name}: its summary is no sentence")
        if "First: " not in said.get("description", ""):
            found.append(f"{name}: does not say what to do first")
        anchor = anchor_of(alert)
        if not said.get("runbook_url", "").startswith(RUNBOOK_BASE) or anchor not in english:
            found.append(f"{name}: the runbook has no section {anchor}")
        elif documents.SECTIONS.get(anchor) not in chinese:
            found.append(f"{name}: the Chinese runbook has no section for {anchor} (documents.py)")
        found += promql.faults(name, alert["expr"], documented)
        found += missing_first_event(name, alert["expr"])
    return found


def missing_first_event(name, expression):
    """`increase` does not see a series begin: what has just begun must be counted beside it."""
    found = []
    for selector, window in re.findall(r"\bincrease\((.*?)\[(\w+)\]\)", expression):
        begun = f"({selector} unless {selector} offset {window}\n"
        young = f"time() - process_start_time_seconds < {int(window.removesuffix('m')) * 60}"
        failed = f"and on (job, instance) (up offset {window} == 1 or {young}))"
        if begun not in expression or failed not in expression:
            found.append(f"{name}: misses the first event of {selector}")
    if re.search(r"\b(rate|irate|delta|changes)\(", expression):
        found.append(f"{name}: rate, delta and changes miss the first event of a series")
    return found


def table_sense(rules, metrics_page):
    """The table of alerts in the reference is the rules file."""
    ours = [(a["alert"], a["labels"]["severity"], a.get("for", ""), anchor_of(a)) for a in alerts_of(rules)]
    table = documents.alerts(metrics_page)
    found = [f"{documents.METRICS}: the alert {one} is missing or differs" for one in ours if one not in table]
    return found + [f"{documents.METRICS}: there is no alert {one}" for one in table if one not in ours]


def operator_sense(rules, operator_text):
    """The PrometheusRule has the same groups."""
    groups = yaml.safe_load(operator_text)["spec"]["groups"]
    return [] if groups == rules["groups"] else [f"{OPERATOR_RULE} is not the rules file: tests/check-monitoring --write"]


def cases():
    """Every test of promtool, with its file."""
    return [(file, case) for file in sorted(TESTS.glob("*.yml")) for case in yaml.safe_load(file.read_text())["tests"]]


def expectations(case):
    """Pairs of alert and whether it fires, for each expectation about a single alert."""
    found = set()
    for one in case.get("promql_expr_test", []):
        named = re.search(r'alertname="(\w+)"', one["expr"])
        if named:
            found.add((named[1], bool(one["exp_samples"])))
    return found


def coverage(rules, all_cases, documented):
    """Each alert has a test in which it fires and one in which it does not, on series as our page has them."""
    found, seen, begun = [], set(), set()
    for file, case in all_cases:
        expected = expectations(case)
        seen |= expected
        if any(str(series["values"]).startswith("_") for series in case["input_series"]):
            begun |= {alert for alert, fires in expected if fires}
        for series in case["input_series"]:
            name, _, labels = series["series"].partition("{")
            own = set(re.findall(r"(\w+)=", re.sub(r'"[^"]*"', "", labels)))
            known = promql.OF_PROMETHEUS.get(name, documented.get(name))
            if known is None:
                found.append(f"{file}: {case['name']}: the code has no metric {name}")
            elif name == "up":
                if not {"job", "instance"} <= own <= known:
                    found.append(f"{file}: {case['name']}: up has not the labels of a scrape")
            elif own != known | promql.OF_SCRAPE:
                found.append(f"{file}: {case['name']}: {name} has not the labels of our page")
    for alert in alerts_of(rules):
        name = alert["alert"]
        for fires, words in ((True, "fires"), (False, "is silent")):
            if (name, fires) not in seen:
                found.append(f"{name}: there is no test in which it {words}")
        if "increase(" in alert["expr"] and name not in begun:
            found.append(f"{name}: there is no test in which it fires on a series that has just begun")
    known = {alert["alert"] for alert in alerts_of(rules)}
    return found + [f"{TESTS}: there is no alert {name}" for name in sorted({name for name, _ in seen} - known)]


def promtool(tool, *arguments):
    """What promtool says against it; nothing if it accepts."""
    done = subprocess.run([tool, *map(str, arguments)], capture_output=True, text=True, timeout=600, check=False)
    return [] if done.returncode == 0 else [f"promtool {arguments[0]} {arguments[1]}: {done.stdout}{done.stderr}"]


def promtool_faults(tool):
    return (
        promtool(tool, "check", "rules", RULES)
        + promtool(tool, "check", "config", CONFIG)
        + promtool(tool, "test", "rules", *sorted(TESTS.glob("*.yml")))
    )


def expression_faults(tool, expressions):
    """Expressions that do not parse. `expressions`: pairs of who has it, and its text."""
    rules = [{"record": f"check:{number}", "expr": text} for number, (_, text) in enumerate(expressions)]
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "expressions.yml"
        file.write_text(yaml.safe_dump({"groups": [{"name": "check", "rules": rules}]}))
        if not promtool(tool, "check", "rules", file):
            return []
        found = []
        for who, text in expressions:
            one = {"groups": [{"name": "check", "rules": [{"record": "check:one", "expr": text}]}]}
            file.write_text(yaml.safe_dump(one))
            found += [f"{who}: {said}" for said in promtool(tool, "check", "rules", file)]
    return found


def tests_of_alert(tool, alert, all_cases):
    """What the tests of one alert say of this rule, alone."""
    own = [case for _, case in all_cases if alert["alert"] in {name for name, _ in expectations(case)}]
    with tempfile.TemporaryDirectory() as directory:
        rules, tests = Path(directory) / "rules.yml", Path(directory) / "tests.yml"
        rules.write_text(yaml.safe_dump({"groups": [{"name": "one", "rules": [alert]}]}))
        tests.write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": own}))
        return promtool(tool, "test", "rules", tests)
