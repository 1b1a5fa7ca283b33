"""Figures of a run: how many callbacks, what became of them, and how soon the gateway was back after each fault."""

from collections import Counter
from dataclasses import dataclass, field

import checker
from evidence import Evidence


# For what was never delivered again; JSON has no infinity.
NEVER = 9999.0


@dataclass
class Figures:
    """Counts and times (seconds)."""

    sent: int = 0
    accepted: int = 0
    refused: int = 0
    unknown: int = 0
    arrivals: int = 0
    delivered: int = 0
    dead: int = 0
    repeats: int = 0
    unrecorded: int = 0
    given_up: int = 0
    # Not accepted, with no fault near.
    refused_apart: int = 0
    queries: int = 0
    queries_unanswered: int = 0
    faults: int = 0
    accept_gap: float = 0.0
    deliver_gap: float = 0.0
    # By the name of a fault, the longest time from its end until it was accepted and delivered again.
    back: dict[str, float] = field(default_factory=dict)
    # The same until a callback that was sent after it was delivered: what waited before it comes first.
    recovery: dict[str, float] = field(default_factory=dict)
    # The machine: its processors, the mean and the highest load, the share of time in which something waited for one.
    cores: int = 0
    load: float = 0.0
    load_most: float = 0.0
    waiting: float = 0.0
    # How many times longer work took than on an idle machine, in the mean.
    slowdown: float = 1.0


def of(evidence: Evidence) -> Figures:
    facts = checker.Facts(evidence)
    results = Counter(it.result for it in evidence.requests.values())
    return Figures(
        sent=len(evidence.requests),
        accepted=results["accepted"],
        refused=results["refused"],
        unknown=results["unknown"],
        arrivals=len(evidence.arrivals),
        delivered=len(facts.taken),
        dead=len(facts.dead),
        repeats=sum(1 for _ in checker.repeats(facts)),
        unrecorded=sum(1 for _ in checker.unrecorded(facts)),
        given_up=sum(1 for _ in checker.given_up(facts)),
        refused_apart=len(checker.refused_apart(facts)),
        queries=len(evidence.answers),
        queries_unanswered=sum(1 for it in evidence.answers if it.http >= 500),
        faults=len(evidence.faults),
        accept_gap=round(checker.accept_gap(facts), 1),
        deliver_gap=round(checker.deliver_gap(facts), 1),
        back={name: round(min(seconds, NEVER), 2) for name, seconds in checker.back(facts).items()},
        recovery=recovery(facts),
        cores=max((it.cores for it in evidence.machine), default=0),
        load=round(mean([it.load for it in evidence.machine]), 1),
        load_most=max((it.load for it in evidence.machine), default=0.0),
        waiting=round(mean([it.waiting for it in evidence.machine if it.waiting is not None]), 2),
        slowdown=round(checker.slowdown(facts), 1),
    )


def mean(found: list[float]) -> float:
    return sum(found) / len(found) if found else 0.0


def recovery(facts: checker.Facts) -> dict[str, float]:
    """Where nothing was sent after a fault, it is left out."""
    times = sorted((it.sent_at, facts.taken[it.id]) for it in facts.accepted.values() if it.id in facts.taken)
    found: dict[str, float] = {}
    for fault in facts.evidence.faults:
        after = [taken - fault.ended for sent, taken in times if sent >= fault.ended]
        if after:
            found[fault.name] = round(max(found.get(fault.name, 0.0), min(after)), 2)
    return found
