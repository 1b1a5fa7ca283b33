"""Crashes of a role at its fail points: it starts with one of them armed, ends there, and starts with the next one.

Needs a build with the fail points (tests/chaos/failpoints makes it). The points are in crates/, by `crash_point!`.
"""

import pathlib
import random
import signal
import time
from collections import Counter, deque
from dataclasses import dataclass, field

import gateway
from scenario import Run

# A point that is not passed within this time counts as missed, and is tried again later.
PATIENCE = 25.0
# So often a point may be missed; then it is left out, and the runner says so. The run is judged all the same.
MISSES = 10
# After so many crashes a role works undisturbed for a while. A message that is delivered 100 times and never settled is
# given up, because it may be what ends the process: the attempts that take longer than the time between two crashes.
UNDISTURBED_AFTER = 25
UNDISTURBED_SECONDS = 15.0
COMPILED_IN = b"FAILPOINTS"


@dataclass(frozen=True)
class Point:
    """A step at which a process ends."""

    name: str
    what: str
    # It is passed at most so often before the crash: how often is chosen by chance.
    passes: int = 40
    # What else must be switched on, so that the point is passed at all.
    beside: str = ""

    def settings(self, chance: random.Random) -> dict[str, str]:
        """The environment of a process that ends at this point."""
        passes = chance.randrange(self.passes)
        if self.name == "sync":
            return {"FAILPOINTS": "", "CHAOS_CRASH_AT_SYNC": str(passes + 1)}
        armed = f"{self.name}={passes}*off->return" if passes else f"{self.name}=return"
        return {"FAILPOINTS": ";".join(filter(None, (self.beside, armed))), "CHAOS_CRASH_AT_SYNC": ""}


DISARMED = {"FAILPOINTS": "", "CHAOS_CRASH_AT_SYNC": ""}


@dataclass
class Plan:
    """The crashes that are left to do, and what was done."""

    left: deque[Point]
    crashes: Counter[str] = field(default_factory=Counter)
    misses: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, points: tuple[Point, ...], times: int, chance: random.Random) -> "Plan":
        left = list(points) * times
        chance.shuffle(left)
        return cls(deque(left))


def require_fail_points(binary: pathlib.Path) -> None:
    if COMPILED_IN not in binary.read_bytes():
        raise SystemExit(f"{binary} has no fail points; build it with tests/chaos/failpoints")


def crash(run: Run, role: gateway.Role, plan: Plan, power: bool = False) -> None:
    """All crashes of the plan, one after the other, in one role. Others may work on the same plan."""
    done = 0
    while True:
        try:
            point = plan.left.popleft()
        except IndexError:
            break
        done += 1
        if done % UNDISTURBED_AFTER == 0:
            rest(run, role)
        role.settings.update(point.settings(run.chance))
        start(run, role, power and run.chance.random() < 0.5)
        if ended(role):
            plan.crashes[point.name] += 1
        else:
            plan.misses[point.name] += 1
            if plan.misses[point.name] <= MISSES:
                plan.left.append(point)
    rest(run, role, seconds=0)


def rest(run: Run, role: gateway.Role, seconds: float = UNDISTURBED_SECONDS) -> None:
    """Starts it without a point, and lets it work."""
    role.settings.update(DISARMED)
    start(run, role, power=False)
    role.wait_until_ready()
    run.pause(seconds)


def start(run: Run, role: gateway.Role, power: bool) -> None:
    """Starts it again; with `power`, what it has not synced is torn first."""
    with run.fault(f"{role.role} ended at a point") as notes:
        role.kill()
        if power:
            notes["torn_writes"] = run.world.disk.lose_power(run.chance)
        role.start()
        until = time.monotonic() + 60
        # It may end before it is ready.
        while role.alive() and not is_ready(role):
            if time.monotonic() > until:
                raise RuntimeError(f"{role.name} does not start: {role.process.tail()}")
            time.sleep(0.05)


def is_ready(role: gateway.Role) -> bool:
    try:
        return role.ready()
    except OSError:
        return False


def ended(role: gateway.Role) -> bool:
    """Whether it ends by itself, at its point."""
    until = time.monotonic() + PATIENCE
    while role.alive() and time.monotonic() < until:
        time.sleep(0.03)
    if role.alive():
        return False
    code = role.process.child.returncode
    if code != -signal.SIGABRT:
        raise RuntimeError(f"{role.name} ended with {code}: {role.process.tail()}")
    return True
