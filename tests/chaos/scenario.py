"""What a scenario is, how it is run, and the list of them."""

import contextlib
import copy
import dataclasses
import json
import pathlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import checker
import ending
import evidence
import figures
import lines
import machine
from evidence import Rules
from world import Needs, Options, World

# The load runs for so long without a fault, before and after.
WARM_SECONDS = 6.0
CALM_SECONDS = 12.0


class Run:
    """A run of a scenario, as its faults see it."""

    def __init__(self, world: World, chance: random.Random, minutes: float) -> None:
        self.world, self.chance = world, chance
        self.faults = lines.Lines(world.evidence / "faults.jsonl")
        self.until = time.monotonic() + minutes * 60

    def beside(self, chance: random.Random) -> "Run":
        """The same run for another thread, with a chance of its own."""
        other = copy.copy(self)
        other.chance = chance
        return other

    def goes_on(self) -> bool:
        return time.monotonic() < self.until

    def pause(self, shortest: float, longest: float | None = None) -> None:
        """Lets time pass; how much is the seed's choice."""
        time.sleep(shortest if longest is None else self.chance.uniform(shortest, longest))

    @contextlib.contextmanager
    def fault(self, name: str, destroys: bool = False) -> Iterator[dict[str, object]]:
        """Writes down that a fault is in force. It ends with the block, when all that it stopped goes on.
        `destroys`: it removes messages on purpose. What is put into the yielded notes is written down, too."""
        began = time.time()
        notes: dict[str, object] = {}
        try:
            yield notes
        finally:
            ended = round(time.time(), 3)
            self.faults.add(name=name, began=round(began, 3), ended=ended, destroys=destroys, **notes)

    def rounds(self, *faults: Callable[["Run"], None]) -> Iterator[Callable[["Run"], None]]:
        """Faults in an order that the seed chooses: each once, then each once again, while the time lasts."""
        while self.goes_on():
            order = list(faults)
            self.chance.shuffle(order)
            for one in order:
                if self.goes_on():
                    yield one


@dataclass(frozen=True)
class Scenario:
    """A schedule of faults, what it needs, and what it permits."""

    name: str
    what: str
    faults: Callable[[Run], None]
    needs: Needs
    rules: Rules
    # Whether it is one of all scenarios.
    listed: bool = True


ALL: dict[str, Scenario] = {}


def scenario(name: str, what: str, needs: Needs | None = None, rules: Rules | None = None, listed: bool = True):
    """Enters a function into the list of scenarios."""

    def enter(faults: Callable[[Run], None]) -> Callable[[Run], None]:
        ALL[name] = Scenario(name, what, faults, needs or Needs(), rules or Rules(), listed)
        return faults

    return enter


@dataclass
class Result:
    """How a run ended."""

    scenario: str
    seed: str
    findings: list[checker.Finding]
    figures: figures.Figures
    evidence: str
    seconds: float = 0.0


def run(one: Scenario, options: Options, directory: pathlib.Path, kept: pathlib.Path) -> Result:
    """Starts everything, does the faults, and has the evidence checked."""
    began = time.monotonic()
    directory.mkdir(parents=True)
    directory.chmod(0o755)
    kept.mkdir(parents=True)
    world = World(one.needs, options, directory, kept)
    noticed: list[tuple[str, str]] = []
    try:
        world.start()
        world.start_load()
        with machine.Watch(kept / "machine.jsonl"):
            time.sleep(WARM_SECONDS)
            one.faults(Run(world, random.Random(f"{one.name}:{options.seed}"), options.minutes))
            world.heal()
            time.sleep(CALM_SECONDS)
        noticed += ending.end(world)
    finally:
        keep_logs(directory, kept)
        write_about(one, options, kept, noticed)
    result = judge(kept)
    result.seconds = round(time.monotonic() - began, 1)
    return result


def keep_logs(directory: pathlib.Path, kept: pathlib.Path) -> None:
    for log in [*directory.glob("*.log"), *directory.glob("*/server.log")]:
        name = log.name if log.parent == directory else f"{log.parent.name}.log"
        (kept / name).write_bytes(log.read_bytes())


def write_about(one: Scenario, options: Options, kept: pathlib.Path, noticed: list[tuple[str, str]]) -> None:
    about = {
        "scenario": one.name,
        "seed": options.seed,
        "minutes": options.minutes,
        "rate": options.rate,
        "rules": dataclasses.asdict(one.rules),
        "noticed": noticed,
    }
    (kept / "run.json").write_text(json.dumps(about, indent=1))


def judge(kept: pathlib.Path) -> Result:
    """The result by the evidence in a directory."""
    found = evidence.read(kept)
    about = found.about
    return Result(about["scenario"], about["seed"], checker.check(found), figures.of(found), str(kept))
