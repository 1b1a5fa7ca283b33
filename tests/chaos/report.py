"""Shows results as a table and as JSON."""

import dataclasses
import json
from collections import Counter

from scenario import Result

COLUMNS = (
    ("scenario", lambda it: it.scenario),
    ("seed", lambda it: it.seed),
    ("sent", lambda it: it.figures.sent),
    ("accepted", lambda it: it.figures.accepted),
    ("refused", lambda it: it.figures.refused),
    ("unknown", lambda it: it.figures.unknown),
    ("delivered", lambda it: it.figures.delivered),
    ("dead", lambda it: it.figures.dead),
    ("repeats", lambda it: it.figures.repeats),
    ("unrecorded", lambda it: it.figures.unrecorded),
    ("faults", lambda it: it.figures.faults),
    ("no accept", lambda it: f"{it.figures.accept_gap:.1f} s"),
    ("no delivery", lambda it: f"{it.figures.deliver_gap:.1f} s"),
    ("back", lambda it: f"{max(it.figures.back.values(), default=0.0):.1f} s"),
    ("slowed", lambda it: f"{it.figures.slowdown:.1f} x"),
    ("result", lambda it: "FAILED" if it.findings else "passed"),
)
SHOWN_OF_A_KIND = 3


def table(results: list[Result]) -> str:
    rows = [[name for name, _ in COLUMNS], *([str(value(it)) for _, value in COLUMNS] for it in results)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    shown = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    for result in results:
        shown += details(result)
    return "\n".join(shown)


def details(result: Result) -> list[str]:
    shown = [f"\n{result.scenario}: {result.seconds:.0f} s, evidence in {result.evidence}"]
    it = result.figures
    load = f"load {it.load} (at most {it.load_most})"
    shown.append(f"  {it.cores} cores, {load}, {it.slowdown} times slower than idle")
    for name, seconds in sorted(it.recovery.items()):
        back = f"{it.back[name]:.1f} s" if name in it.back else "not measured"
        shown.append(f"  back after {back}, and what was sent then delivered after {seconds:.1f} s: {name}")
    kinds = Counter(it.kind for it in result.findings)
    for kind, count in kinds.items():
        shown.append(f"  {kind.upper()}: {count}")
        shown += [f"    {it.text[:600]}" for it in result.findings if it.kind == kind][:SHOWN_OF_A_KIND]
    return shown


def as_json(results: list[Result]) -> str:
    found = []
    for result in results:
        kinds = Counter(it.kind for it in result.findings)
        fields = dataclasses.asdict(result)
        fields["findings"] = [dataclasses.asdict(it) for it in result.findings[:200]]
        found.append({**fields, "passed": not result.findings, "kinds": kinds})
    return json.dumps(found, indent=1, ensure_ascii=False)
