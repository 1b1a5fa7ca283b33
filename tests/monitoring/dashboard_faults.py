"""Faults of Grafana's dashboards. Each function returns sentences; none means that all is right."""

import json
import re
from pathlib import Path

import promql

DASHBOARDS = Path("deploy/monitoring/grafana/provisioning/dashboards")
NAMES = {"overview", "targets", "apps", "broker-and-journal"}
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# What Grafana puts in the place of its variables.
BUILT_IN = {"$__rate_interval": "5m", "$__interval": "1m", "$__range": "1h"}


def read(texts):
    """The dashboards that are JSON, and what is wrong with the others."""
    boards, found = {}, []
    for name, text in texts.items():
        try:
            boards[name] = json.loads(text)
        except json.JSONDecodeError as fault:
            found.append(f"{name}: is not JSON: {fault}")
    return boards, found


def texts():
    return {file.stem: file.read_text() for file in sorted(DASHBOARDS.glob("*.json"))}


def panels(board):
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def variables(board):
    return {one["name"]: one for one in board["templating"]["list"]}


def expressions(boards):
    """Every expression as Prometheus gets it, with who has it."""
    found = []
    for name, board in boards.items():
        for panel in panels(board):
            for target in panel["targets"]:
                text = target["expr"]
                for variable, value in BUILT_IN.items():
                    text = text.replace(variable, value)
                for variable in variables(board):
                    text = re.sub(rf"\${variable}\b|\$\{{{variable}\}}", ".*", text)
                found.append((f"{name}: {panel['title']}", text))
    return found


def sense(boards, documented):
    found = []
    if set(boards) != NAMES:
        found.append(f"the dashboards are {sorted(boards)}, not {sorted(NAMES)}")
    uids = [board.get("uid") for board in boards.values()]
    if len(set(uids)) != len(uids) or None in uids:
        found.append(f"the uids of the dashboards are not unique: {uids}")
    for name, board in boards.items():
        if board.get("schemaVersion", 0) < 39 or not board.get("title"):
            found.append(f"{name}: has no title, or a schema older than 39")
        if variables(board).get("datasource", {}).get("type") != "datasource":
            found.append(f"{name}: has no variable for the data source")
        ids = [panel["id"] for panel in board["panels"]]
        titles = [panel.get("title") for panel in board["panels"]]
        for what, values in (("id", ids), ("title", titles)):
            found += [f"{name}: two panels have the {what} {one}" for one in sorted({v for v in values if values.count(v) > 1})]
        found += overlaps(name, board)
        for panel in panels(board):
            found += panel_sense(f"{name}: {panel.get('title')}", panel, variables(board))
        for variable in variables(board).values():
            if variable["type"] == "query":
                found += variable_sense(f"{name}: variable {variable['name']}", variable, documented)
    for who, text in expressions(boards):
        found += promql.faults(who, text, documented)
    return found


def variable_sense(who, variable, documented):
    asked = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
    if asked is None:
        return [f"{who}: does not ask for the values of a label"]
    if asked[1] not in documented:
        return [f"{who}: the code has no metric {asked[1]}"]
    known = documented[asked[1]] | promql.OF_SCRAPE
    return [] if asked[2] in known else [f"{who}: {asked[1]} has no label {asked[2]}"]


def panel_sense(who, panel, known):
    found = []
    if not panel.get("title") or not panel.get("description"):
        found.append(f"{who}: has no title or no description")
    if panel.get("type") not in ("timeseries", "stat", "table"):
        found.append(f"{who}: is a panel of the kind {panel.get('type')}")
    if not panel.get("fieldConfig", {}).get("defaults", {}).get("unit"):
        found.append(f"{who}: has no unit")
    if not panel.get("targets"):
        found.append(f"{who}: has no expression")
    if any(one.get("datasource") != DATASOURCE for one in (panel, *panel.get("targets", []))):
        found.append(f"{who}: does not take its data from the variable datasource")
    for target in panel.get("targets", []):
        for variable in re.findall(r"\$\{?(\w+)", target["expr"]):
            if variable not in known and f"${variable}" not in BUILT_IN:
                found.append(f"{who}: there is no variable {variable}")
    return found


def overlaps(name, board):
    """Panels that lie on each other, or stand out of the 24 columns."""
    found, taken = [], {}
    for panel in board["panels"]:
        at = panel["gridPos"]
        if at["x"] + at["w"] > 24:
            found.append(f"{name}: {panel['title']} is wider than the page")
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                other = taken.setdefault((x, y), panel["title"])
                if other != panel["title"] and f"{name}: {panel['title']} lies on {other}" not in found:
                    found.append(f"{name}: {panel['title']} lies on {other}")
    return found
