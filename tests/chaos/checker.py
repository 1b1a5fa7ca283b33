"""Judges the evidence of a run. It shares no code with the gateway, and talks to nothing.

The classes of findings:

lost        Accepted (`000`), and at the end neither taken by its target, nor a dead letter, nor in any queue; unless an
            operator removed a queue with its messages, and it was accepted less than a minute before.
invented    It arrived, waits or is recorded, and no caller sent it; or its caller was told that it was refused; or
            it has another id than its caller was told; or one request became two callbacks.
duplicated  The target took it, and it came again (same id), or an attempt of one number came twice, and no fault was
            near between the two. Around faults this is permitted (at least once), and counted as a repeat; so are the
            later attempts of the second copy that the fault has made, and what follows an attempt that had timed out
            before its answer was read.
altered     What arrived, or is kept as a dead letter, is not byte for byte what was sent, or is for another app.
reordered   An attempt with a smaller number came after one with a larger, or a number was left out that is not recorded
            as an attempt, or a callback was given up after its target had taken it, and no fault was near; or an
            attempt came before its delay was over, which no fault excuses.
denied      The query answered 404 for a callback that was accepted before.
untrue      The query or the journal says something that is not so: delivered before the target took it, dead without
            a dead letter, cancelled or expired although nobody wanted that, or one end and later another; or the
            caller was told that it is cancelled, and it came later with no fault near.
unrecorded  It has ended, everything has settled, and query or journal still do not know the end, or not the callback.
given up    It is a dead letter although its target takes it.
unreadable  Messages that the gateway wrote and took for unreadable.
stuck       Messages were left in the queues when the time for draining was over.
stopped     A process did not end in order when it was asked to, or ended by itself.
unavailable Nothing was accepted, or nothing was delivered, for longer than the scenario permits, in all or after the
            end of a fault; or something was not accepted, and no fault was near.
"""

import bisect
import itertools
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import callbacks
from evidence import Arrival, Evidence, Request

# A fault is near when it was in force at most so many seconds before the first of two events: an attempt (15 s at
# most) may have begun under the fault, and connections come back some seconds after it.
NEAR = 20.0
# Clocks of the processes that write evidence are one clock; this is for the time between an event and its line.
TOLERANCE = 0.05
# The longest that a callback waits in a queue that a scenario removes: all attempts of its schedule, and a backlog.
DESTROYED_WITHIN = 60.0
# On a machine that is so many times slower than an idle one, the gateway's own deadlines pass without a fault. The
# bounds of time are stretched by no more either, or a starved machine would prove nothing and pass.
STARVED = 3.0
ENDED = ("delivered", "dead", "expired", "cancelled")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    kind: str
    text: str
    number: int | None = None
    id: str | None = None


class Facts:
    """The evidence, by callback."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.requests = evidence.requests
        self.arrivals: dict[str, list[Arrival]] = defaultdict(list)
        for arrival in sorted(evidence.arrivals, key=lambda it: it.at):
            self.arrivals[arrival.id].append(arrival)
        self.accepted = {it.id: it for it in evidence.requests.values() if it.result == "accepted" and it.id}
        self.dead = {it.id for it in evidence.held if it.queue == "dead"}
        self.waiting = {it.id for it in evidence.held if it.queue != "dead"}
        self.taken: dict[str, float] = {}
        for request_id, arrivals in self.arrivals.items():
            times = [it.answered_at for it in arrivals if it.taken and it.answered_at is not None]
            if times:
                self.taken[request_id] = min(times)

    def fault_near(self, first: float, last: float) -> bool:
        """Whether a fault was in force between two moments, or shortly before the first."""
        return any(it.began <= last and it.ended + NEAR >= first for it in self.evidence.faults)

    def destroyed(self, request: Request) -> bool:
        """Whether it may have been in a queue that was removed with its messages. What comes later is not excused."""
        at = request.answered_at or request.sent_at
        removals = [it for it in self.evidence.faults if it.destroys]
        return any(it.began - DESTROYED_WITHIN <= at and request.sent_at <= it.ended + TOLERANCE for it in removals)

    def dead_by_the_journal(self, request_id: str) -> bool:
        """Whether the journal has the dead letter, and the message with it, after all queues were removed."""
        row = self.evidence.rows.get(request_id)
        removed = any(it.whole for it in self.evidence.faults)
        return removed and row is not None and row.status == "dead" and row.message

    def record_destroyed(self, request: Request) -> bool:
        """Whether the record of its end may have been in a queue that was removed."""
        removals = [it for it in self.evidence.faults if it.whole]
        ended = self.taken.get(request.id or "", request.sent_at)
        return any(it.began - DESTROYED_WITHIN <= ended <= it.ended + TOLERANCE for it in removals)

    def cancelled(self, request: Request) -> bool:
        """Whether its caller was told so; or asked, heard no answer, and the journal says so."""
        row = self.evidence.rows.get(request.id or "")
        recorded = row is not None and row.status == "cancelled"
        return request.cancelled_at is not None or (request.cancel_asked and recorded)

    def timed_out(self, arrival: Arrival) -> bool:
        """Whether each attempt before it that was taken had timed out by then: the answer came too late."""
        row = self.evidence.rows.get(arrival.id)
        taken = {it.attempt for it in self.arrivals[arrival.id] if it.taken and it.at < arrival.at}
        return row is not None and bool(taken) and arrival.attempt not in taken and taken <= row.timed_out

    def attempts_of(self, request_id: str) -> frozenset[int]:
        row = self.evidence.rows.get(request_id)
        return row.attempts if row is not None else frozenset()

    def by_id(self, request_id: str) -> Request | None:
        if found := self.accepted.get(request_id):
            return found
        numbers = {it.number for it in self.arrivals.get(request_id, [])}
        return self.requests.get(next(iter(numbers))) if len(numbers) == 1 else None  # type: ignore[arg-type]


def check(evidence: Evidence) -> list[Finding]:
    """All findings; none: the run is clean."""
    facts = Facts(evidence)
    found: list[Finding] = []
    for rule in RULES:
        found += rule(facts)
    found += beyond(unrecorded(facts), evidence.rules.unrecorded) or unrecorded_apart(facts)
    found += beyond(given_up(facts), evidence.rules.given_up)
    found += [Finding(kind, text) for kind, text in evidence.noticed]
    return found


def beyond(found: Iterator[Finding], permitted: int) -> list[Finding]:
    """All of them, if they are more than permitted."""
    all_found = list(found)
    return all_found if len(all_found) > permitted else []


def lost(facts: Facts) -> Iterator[Finding]:
    for request_id, request in facts.accepted.items():
        if request_id in facts.taken or request_id in facts.dead or request_id in facts.waiting:
            continue
        if facts.cancelled(request) or facts.dead_by_the_journal(request_id):
            continue
        if not facts.destroyed(request):
            tries = len(facts.arrivals.get(request_id, []))
            yield Finding(
                "lost", f"accepted as {request_id}, arrived {tries} times, never taken", request.number, request_id
            )


def invented(facts: Facts) -> Iterator[Finding]:
    """By what arrived, what is held, and what is recorded: each place says which callback it is of."""
    seen: dict[int, set[str]] = defaultdict(set)
    places = [(it.number, it.id, "arrived") for it in facts.evidence.arrivals]
    places += [(it.number, it.id, f"is in {it.queue}") for it in facts.evidence.held]
    places += [(it.number, it.id, "is in the journal") for it in facts.evidence.rows.values()]
    for request in facts.requests.values():
        if len(request.told) > 1:
            seen[request.number] |= request.told
    for number, request_id, where in dict.fromkeys(places):
        request = None if number is None else facts.requests.get(number)
        if request is None:
            yield Finding("invented", f"{request_id} {where}, and nobody sent it", number, request_id)
            continue
        seen[request.number].add(request_id)
        if request.result == "refused":
            yield Finding("invented", f"{request_id} {where}, and it was refused", number, request_id)
        elif request.id is not None and request.id != request_id:
            yield Finding("invented", f"{request_id} {where}, its caller knows {request.id}", number, request_id)
    for number, ids in seen.items():
        ids |= facts.requests[number].told
        if len(ids) > 1:
            yield Finding("invented", f"one request became {len(ids)} callbacks: {sorted(ids)}", number)


def repeats(facts: Facts) -> Iterator[tuple[Arrival, float, str]]:
    """Arrivals that were not needed: the arrival, when the one before it was, and what it repeats."""
    for request_id, arrivals in facts.arrivals.items():
        first_of: dict[int, float] = {}
        for one in arrivals:
            taken = facts.taken.get(request_id)
            if taken is not None and taken < one.at:
                yield one, taken, "it was taken before"
            elif one.attempt in first_of:
                yield one, first_of[one.attempt], f"attempt {one.attempt} came before"
            first_of.setdefault(one.attempt, one.at)


def duplicated(facts: Facts) -> Iterator[Finding]:
    """A fault that comes between a follow-up and its settlement makes a second copy of the message, and each copy makes
    its attempts, however much later. What exceeds that needs a fault of its own."""
    copies: dict[str, int] = defaultdict(lambda: 1)
    for one, before, text in repeats(facts):
        earlier = [it for it in facts.arrivals[one.id] if it.attempt == one.attempt and it.at <= one.at]
        if copies[one.id] > 1 and len(earlier) <= copies[one.id]:
            continue
        if facts.timed_out(one):
            continue
        request = facts.by_id(one.id)
        if request is not None and request.sendings > 1:
            # With an idempotency key a repeat may take the place of a first one whose end was unknown: then the fault
            # was near when it was sent, and both wait for as long as the backlog is.
            before = min(before, request.sent_at)
        if facts.evidence.rules.repeats and facts.fault_near(before, one.at):
            copies[one.id] += 1
        else:
            yield Finding(
                "duplicated", f"{one.id} attempt {one.attempt}: {text}, {one.at - before:.1f} s", one.number, one.id
            )


def altered(facts: Facts) -> Iterator[Finding]:
    for one in facts.evidence.arrivals:
        request = None if one.number is None else facts.requests.get(one.number)
        if request is None:
            continue
        if one.hash != request.hash:
            yield Finding("altered", f"{one.id} arrived with other bytes", one.number, one.id)
        elif one.app != app_of(request.number):
            yield Finding("altered", f"{one.id} arrived for the app {one.app!r}", one.number, one.id)
    for held in facts.evidence.held:
        request = None if held.number is None else facts.requests.get(held.number)
        if request is not None and held.hash != request.hash:
            yield Finding("altered", f"{held.id} is in {held.queue} with other bytes", held.number, held.id)


def app_of(number: int) -> str:
    return f"app{number % 3}"


def reordered(facts: Facts) -> Iterator[Finding]:
    for request_id, arrivals in facts.arrivals.items():
        yield from reordered_attempts(facts, request_id, arrivals)
        if (
            request_id in facts.dead
            and (taken := facts.taken.get(request_id))
            and not facts.fault_near(taken, taken + NEAR)
        ):
            yield Finding("reordered", f"{request_id} was taken, and is a dead letter", arrivals[0].number, request_id)


def reordered_attempts(facts: Facts, request_id: str, arrivals: list[Arrival]) -> Iterator[Finding]:
    rules = facts.evidence.rules
    request = facts.by_id(request_id)
    begin = request.sent_at if request else arrivals[0].at
    first_of: dict[int, Arrival] = {}
    for one in arrivals:
        number = one.attempt
        largest = max(first_of, default=0)
        excused = rules.repeats and facts.fault_near(begin, one.at)
        if number < largest and not excused:
            yield Finding("reordered", f"{request_id}: attempt {number} came after {largest}", one.number, request_id)
        # An attempt that was made and did not reach the target is recorded.
        left_out = set(range(largest + 1, number)) - (facts.attempts_of(request_id) - {number})
        if left_out and not excused:
            yield Finding("reordered", f"{request_id}: attempt {number} came after {largest}", one.number, request_id)
        if number not in first_of and not rules.clock_set:
            yield from early(facts, one, first_of.get(number - 1), request)
        first_of.setdefault(number, one)


def early(facts: Facts, one: Arrival, before: Arrival | None, request: Request | None) -> Iterator[Finding]:
    """An attempt that did not wait for its delay."""
    schedule = facts.evidence.rules.schedule
    if before is not None and before.attempt <= len(schedule):
        since, delay = before.answered_at or before.at, schedule[before.attempt - 1]
    elif one.attempt == 1 and request is not None and request.plan in callbacks.OPTIONS:
        since, delay = request.sent_at, float(callbacks.OPTIONS[request.plan].get("delay_seconds", 0))
    else:
        return
    if one.at - since < delay - TOLERANCE:
        text = f"{one.id}: attempt {one.attempt} came after {one.at - since:.2f} s, due after {delay:.0f} s"
        yield Finding("reordered", text, one.number, one.id)


def denied(facts: Facts) -> Iterator[Finding]:
    for answer in facts.evidence.answers:
        if answer.http == 404 and (request := facts.accepted.get(answer.id)):
            after = answer.at - (request.answered_at or answer.at)
            yield Finding("denied", f"404 for {answer.id}, {after:.2f} s after its 000", request.number, answer.id)


def untrue(facts: Facts) -> Iterator[Finding]:
    for answer in facts.evidence.answers:
        text = None if answer.http != 200 else contradiction(facts, answer.id, answer.status, answer.at, answer.final)
        if text:
            yield Finding("untrue", f"the query says of {answer.id}: {answer.status}; {text}", None, answer.id)
    for row in facts.evidence.rows.values():
        if text := contradiction(facts, row.id, row.status, float("inf"), final=True):
            yield Finding("untrue", f"the journal says of {row.id}: {row.status}; {text}", row.number, row.id)


def contradiction(facts: Facts, request_id: str, status: str | None, at: float, final: bool) -> str | None:
    """Why this status cannot have been true at this time."""
    match status:
        case "delivered":
            taken = facts.taken.get(request_id)
            return "its target has not taken it" if taken is None or taken > at else None
        case "dead":
            # The record comes first: until its message has left the queue, it will be given up once more.
            kept = request_id in facts.dead or request_id in facts.waiting or facts.dead_by_the_journal(request_id)
            return None if kept or not final else "it is no dead letter"
        case "cancelled":
            request = facts.by_id(request_id)
            return None if request is not None and request.cancel_asked else "nobody wanted that"
        case "expired":
            return "nobody wanted that"
        case "queued" | "retrying" | "delivering" | "unaccounted":
            return None
    return "there is no such status"


def uncancelled(facts: Facts) -> Iterator[Finding]:
    """Arrivals of what was cancelled, by what its caller was told. While the journal is away a second's worth of
    cancellations may be unknown to a dispatcher: near a fault that is permitted."""
    for request_id, request in facts.accepted.items():
        at = request.cancelled_at
        late = [it for it in facts.arrivals.get(request_id, []) if at is not None and it.at > at]
        if late and not facts.fault_near(request.sent_at, late[0].at):
            text = f"{request_id} was cancelled, and came {late[0].at - request.cancelled_at:.1f} s later"
            yield Finding("untrue", text, request.number, request_id)


def changed_ends(facts: Facts) -> Iterator[Finding]:
    """An end that was told, and another status in an answer to a question that was asked later. Two questions that
    were on their way at once may be answered in any order."""
    told: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for answer in sorted(facts.evidence.answers, key=lambda it: it.at):
        if answer.http != 200 or answer.status is None:
            continue
        asked = answer.at if answer.asked_at is None else answer.asked_at
        before = next((status for at, status in reversed(told[answer.id]) if at <= asked), None)
        if before is not None and answer.status != before:
            yield Finding("untrue", f"{answer.id} was {before}, and is {answer.status} later", None, answer.id)
        if answer.status in ENDED:
            told[answer.id].append((answer.at, answer.status))


def unrecorded(facts: Facts) -> Iterator[Finding]:
    """Of callbacks that have ended. Those that wait are for `stuck` to say."""
    final = {it.id: it for it in facts.evidence.answers if it.final}
    for request_id, request in facts.accepted.items():
        ended = request_id in facts.taken or request_id in facts.dead or request.cancelled_at is not None
        if request_id in facts.waiting or not ended or facts.record_destroyed(request):
            continue
        row, answer = facts.evidence.rows.get(request_id), final.get(request_id)
        status = row.status if row else "no row"
        if status not in ENDED:
            yield Finding("unrecorded", f"the journal has of {request_id}: {status}", request.number, request_id)
        elif answer is not None and not (answer.http == 200 and answer.status in ENDED) and answer.http != 404:
            text = f"the query says of {request_id}: {answer.http} {answer.status}"
            yield Finding("unrecorded", text, request.number, request_id)


def unrecorded_apart(facts: Facts) -> list[Finding]:
    """Those that no fault excuses, however many are permitted: a record is lost with a process that is killed."""
    found = []
    for one in unrecorded(facts):
        times = [it.answered_at or it.at for it in facts.arrivals.get(one.id or "", [])]
        ended = max(times, default=facts.accepted[one.id or ""].sent_at)
        if not facts.fault_near(ended, ended + NEAR):
            found.append(Finding(one.kind, f"{one.text}; no fault was near its end", one.number, one.id))
    return found


def given_up(facts: Facts) -> Iterator[Finding]:
    for request_id in facts.dead:
        request = facts.by_id(request_id) or next((it for it in facts.requests.values() if it.id == request_id), None)
        if request is not None and request.plan not in callbacks.NEVER_TAKEN:
            yield Finding("given up", f"{request_id} ({request.plan}) is a dead letter", request.number, request_id)


def unavailable(facts: Facts) -> Iterator[Finding]:
    rules, slower = facts.evidence.rules, min(slowdown(facts), STARVED)
    for what, gap, permitted in (
        ("accepted", accept_gap(facts), rules.accept_gap * slower),
        ("delivered", deliver_gap(facts), rules.deliver_gap * slower),
    ):
        if gap > permitted:
            yield Finding("unavailable", f"nothing was {what} for {gap:.1f} s, permitted are {permitted:.0f} s")
    apart = refused_apart(facts)
    if len(apart) > rules.refused_apart and slowdown(facts) < STARVED:
        first = f"the first is number {apart[0].number}"
        yield Finding("unavailable", f"{len(apart)} were not accepted, and no fault was near; {first}")
    for name, seconds in back(facts).items():
        if seconds > rules.back * slower:
            text = f"accepted and delivered again {seconds:.1f} s after the end of: {name}"
            yield Finding("unavailable", f"{text}, permitted are {rules.back * slower:.0f} s")


def slowdown(facts: Facts) -> float:
    """How many times longer work took than on an idle machine, in the mean of the run."""
    found = [it.slowdown for it in facts.evidence.machine]
    return sum(found) / len(found) if found else 1.0


def refused_apart(facts: Facts) -> list[Request]:
    """What was not accepted and no fault excuses. With a key it is sent again, and the last time says nothing."""
    once = [it for it in facts.requests.values() if it.result != "accepted" and it.sendings == 1]
    return [it for it in once if not facts.fault_near(it.sent_at, it.answered_at or it.sent_at + NEAR)]


def back(facts: Facts) -> dict[str, float]:
    """By the name of a fault, the longest time from its end until something that was sent after it was accepted, and
    something was delivered. Where another fault began before that, it is measured from the end of that one."""
    accepted = sorted((it.sent_at, it.answered_at or math.inf) for it in facts.accepted.values())
    taken = sorted((it.at, it.answered_at or math.inf) for it in facts.evidence.arrivals if it.taken)
    last = max((it.sent_at for it in facts.requests.values()), default=0.0)
    begins = sorted(it.began for it in facts.evidence.faults)
    found: dict[str, float] = {}
    for fault in facts.evidence.faults:
        if fault.ended >= last:
            continue
        again = max(earliest(accepted, fault.ended), earliest(taken, fault.ended))
        if not any(fault.ended < began < again for began in begins):
            found[fault.name] = max(found.get(fault.name, 0.0), again - fault.ended)
    return found


def earliest(moments: list[tuple[float, float]], since: float) -> float:
    """The earliest end of what began since then, by begins and ends in the order of the begins."""
    # Of the next hundred: what began later ends later, but for the time that one takes.
    place = bisect.bisect_left(moments, (since, 0.0))
    return min((end for _, end in moments[place : place + 100]), default=math.inf)


def unseen(facts: Facts) -> Iterator[Finding]:
    """Evidence of nothing proves nothing."""
    if not facts.accepted or not facts.arrivals:
        yield Finding("unavailable", f"{len(facts.accepted)} were accepted, {len(facts.arrivals)} arrived: not tried")


def accept_gap(facts: Facts) -> float:
    return longest_gap(facts, [it.answered_at for it in facts.accepted.values() if it.answered_at is not None])


def deliver_gap(facts: Facts) -> float:
    return longest_gap(facts, list(facts.taken.values()))


def longest_gap(facts: Facts, times: list[float]) -> float:
    """Within the time of the load."""
    sent = [it.sent_at for it in facts.requests.values()]
    if not sent:
        return 0.0
    begin, end = min(sent), max(sent)
    moments = [begin, *sorted(time for time in times if begin <= time <= end), end]
    return max(later - earlier for earlier, later in itertools.pairwise(moments))


RULES = (
    lost,
    invented,
    duplicated,
    altered,
    reordered,
    denied,
    untrue,
    uncancelled,
    changed_ends,
    unavailable,
    unseen,
)
