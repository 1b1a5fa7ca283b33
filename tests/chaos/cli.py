"""The command line of the chaos suite."""

import argparse
import os
import pathlib
import random
import subprocess
import sys
import time
import unittest

import needs
import report
import scenario
import scenarios  # noqa: F401  enters all scenarios
from scenario import ALL, Result, Scenario
from world import Options

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
# What the gate runs, each for so many minutes.
SHORT = {"embedded-kill": 0.3, "roles-killed": 0.4}
# Their highest rate, in callbacks a second, whatever --rate says: a busy machine would need longer to drain more.
SHORT_RATE = 40.0


def main(directory: pathlib.Path) -> int:
    chosen = arguments()
    if chosen.list:
        for one in ALL.values():
            print(f"{one.name:24} {one.what}")
        return 0
    if chosen.check:
        result = scenario.judge(pathlib.Path(chosen.check))
        return show([result], chosen)
    if not chosen.binary.exists():
        sys.exit(f"{chosen.binary} is not built (cargo build)")
    if lacks := needs.lacking():
        return skip(lacks, chosen)
    if chosen.short and not checks_pass():
        return 1
    results = []
    for one, minutes in selection(chosen):
        results.append(run(one, minutes, chosen, directory))
    return show(results, chosen)


def skip(lacks: str, chosen: argparse.Namespace) -> int:
    """The gate goes on where this machine lacks what a gateway needs; who asks for a scenario wants to know."""
    print(f"SKIPPED: chaos: {lacks}")
    return 0 if chosen.short else 1


def arguments() -> argparse.Namespace:
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser = argparse.ArgumentParser(description="Chaos scenarios for the gateway.")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    parser.add_argument("--scenario", action="append", default=[], help="one to run; may be given several times")
    parser.add_argument("--all", action="store_true", help="all scenarios, one after the other")
    parser.add_argument("--short", action="store_true", help="the checks of the checker, and a short selection")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long faults are made (default 1)")
    parser.add_argument("--seed", help="of contents, times and choices (default: by chance)")
    parser.add_argument("--rate", type=float, default=100.0, help="callbacks a second (default 100)")
    parser.add_argument("--rabbitmq", choices=["3", "4"], default="3", help="this machine's, or 4 (tests/rabbitmq4)")
    default = os.environ.get("RINGBACK_BIN", target / "debug/ringback")
    parser.add_argument("--binary", type=pathlib.Path, default=default)
    parser.add_argument("--evidence", type=pathlib.Path, default=target / "chaos", help="where evidence is kept")
    parser.add_argument("--check", metavar="DIRECTORY", help="only check the evidence in this directory")
    parser.add_argument("--expect", metavar="KINDS", help="pass only if these kinds (a,b) are found")
    parser.add_argument("--json", action="store_true", help="print JSON behind the table")
    return parser.parse_args()


def selection(chosen: argparse.Namespace) -> list[tuple[Scenario, float]]:
    if chosen.short:
        return [(ALL[name], minutes) for name, minutes in SHORT.items()]
    names = [one.name for one in ALL.values() if one.listed] if chosen.all else chosen.scenario
    if not names or any(name not in ALL for name in names):
        sys.exit(f"choose with --scenario among: {', '.join(ALL)}")
    return [(ALL[name], chosen.minutes) for name in names]


def run(one: Scenario, minutes: float, chosen: argparse.Namespace, directory: pathlib.Path) -> Result:
    seed = chosen.seed or f"{random.SystemRandom().randrange(16**6):06x}"
    root = rabbitmq4_root() if chosen.rabbitmq == "4" and one.needs.broker == "rabbitmq" else None
    rate = min(chosen.rate, SHORT_RATE) if chosen.short else chosen.rate
    options = Options(chosen.binary.resolve(), seed, rate, minutes, root)
    kept = chosen.evidence / f"{one.name}-{seed}-{time.strftime('%H%M%S')}"
    print(f"=== {one.name}, seed {seed}, {minutes:g} min: {one.what}", flush=True)
    result = scenario.run(one, options, directory / one.name, kept)
    print(report.table([result]), flush=True)
    return result


def rabbitmq4_root() -> str:
    """The directory of a Debian with RabbitMQ 4."""
    prepared = subprocess.run([ROOT / "tests/rabbitmq4", "--prepare"], capture_output=True, text=True, check=True)
    path = prepared.stdout.strip().splitlines()[-1]
    if not path.startswith("/"):
        sys.exit(path)
    return path


def checks_pass() -> bool:
    """Whether the checker finds every fault that is forged for it, and the proxy makes those it is told to."""
    found = unittest.defaultTestLoader.discover(str(HERE / "checks"), top_level_dir=str(HERE / "checks"))
    return unittest.TextTestRunner(verbosity=1).run(found).wasSuccessful()


def show(results: list[Result], chosen: argparse.Namespace) -> int:
    if len(results) != 1 or chosen.check:
        print("\n" + report.table(results))
    if chosen.json:
        print(report.as_json(results))
    failed = [it.scenario for it in results if it.findings]
    if chosen.expect:
        return expected(results, set(chosen.expect.split(",")))
    print(f"FAILED: {', '.join(failed)}" if failed else f"PASSED: {len(results)} scenarios")
    return 1 if failed else 0


def expected(results: list[Result], kinds: set[str]) -> int:
    """For a build with a fault on purpose, and for sabotage: passes only if the checker finds these kinds."""
    missed = kinds - {it.kind for result in results for it in result.findings}
    print(f"NOT FOUND: {', '.join(sorted(missed))}" if missed else f"FOUND: {', '.join(sorted(kinds))}")
    return 1 if missed else 0
