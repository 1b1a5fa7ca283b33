"""Compares the instruction counts of a run with counts.json, or writes it.

    compare.py RUN.json COMPILER [--write]
"""

import json
import sys
from pathlib import Path

COUNTS = Path(__file__).with_name("counts.json")
# Of the committed count, up or down: what became cheaper is committed too, or it may be lost again.
TOLERANCE = 0.05


def counted(run):
    """The instructions of each benchmark: {"parse_a_request small": 19330}."""
    counts = {}
    for line in Path(run).read_text().splitlines():
        bench = json.loads(line)
        [profile] = bench["profiles"]
        instructions = profile["data"]["total"]["metrics"]["Ir"]["values"]["new"]
        name = " ".join(filter(None, [bench["function_name"], bench.get("id")]))
        counts[name] = instructions
    return counts


def main(run, compiler, write=None):
    counts = counted(run)
    if not counts:
        sys.exit("the run has no benchmark")
    if write == "--write":
        found = {"made_with": compiler, "instructions": counts}
        COUNTS.write_text(json.dumps(found, indent=2) + "\n")
        return
    committed = json.loads(COUNTS.read_text())["instructions"]
    wrong = sorted(committed.keys() ^ counts.keys())
    for name, before in committed.items():
        if name not in counts:
            continue
        ratio = counts[name] / before
        print(f"{name:28} {before:>9} {counts[name]:>9} {ratio:8.3f}")
        if abs(ratio - 1) > TOLERANCE:
            wrong.append(name)
    if wrong:
        sys.exit(
            f"other than counts.json says, by more than {TOLERANCE:.0%} or at all: {', '.join(wrong)}."
            " If that is meant: tests/instruction-counts --write"
        )


main(*sys.argv[1:])
