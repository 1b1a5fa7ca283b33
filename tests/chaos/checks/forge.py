"""Forges the evidence of a run: a clean one, to which a test adds one wrong thing."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import callbacks
import checker
from evidence import Answer, Arrival, Evidence, Fault, Held, Request, Row

SEED = "forged"
BEGIN = 1_000_000.0


class Forged:
    """A clean run of one callback a second: they are taken, fail once, wait, or are given up, as planned."""

    def __init__(self, count: int = 60) -> None:
        self.evidence = Evidence()
        for number in range(count):
            self.add(number)

    def add(self, number: int) -> None:
        callback = callbacks.make(SEED, number)
        sent = BEGIN + number
        request = Request(number, callback.plan, callback.hash, sent, "accepted", id_of(number), sent + 0.01)
        self.evidence.requests[number] = request
        taken = self.attempts(request)
        status = "delivered" if taken else "dead"
        if not taken:
            self.evidence.held.append(Held("dead", request.id, number, request.hash))
        self.evidence.rows[request.id] = Row(request.id, status, number)
        self.evidence.answers.append(Answer(BEGIN + 1000, request.id, 200, status, final=True))

    def attempts(self, request: Request) -> bool:
        """Whether the target took it at last."""
        fails, _ = callbacks.FAILS[request.plan]
        most = {"reject": 1, "exhaust": 2}.get(request.plan, fails + 1)
        at = request.sent_at + callbacks.OPTIONS.get(request.plan, {}).get("delay_seconds", 0) + 0.05
        for attempt in range(1, most + 1):
            status = 200 if attempt > fails else 503
            one = Arrival(
                at, request.id, request.number, request.hash, attempt, checker.app_of(request.number), status, at
            )
            self.evidence.arrivals.append(one)
            at += self.evidence.rules.schedule[attempt - 1] + 0.2
        return most > fails

    # ---- What a test changes

    def request(self, plan: str = "ok", after: int = 5) -> Request:
        """One with this plan."""
        return next(it for it in self.evidence.requests.values() if it.plan == plan and it.number >= after)

    def arrivals_of(self, request: Request) -> list[Arrival]:
        return [it for it in self.evidence.arrivals if it.number == request.number]

    def drop_arrivals(self, request: Request) -> None:
        self.evidence.arrivals = [it for it in self.evidence.arrivals if it.number != request.number]

    def repeat(self, arrival: Arrival, seconds: float, attempt: int | None = None) -> Arrival:
        """The same arrival once more, so much later."""
        at = arrival.at + seconds
        number = attempt or arrival.attempt
        again = Arrival(at, arrival.id, arrival.number, arrival.hash, number, arrival.app, arrival.status, at)
        self.evidence.arrivals.append(again)
        return again

    def fault(self, began: float, ended: float) -> None:
        self.evidence.faults.append(Fault("forged", began, ended))

    def refuse(self, request: Request) -> None:
        """It was refused, and nothing came of it."""
        request.result, request.id, request.sendings = "refused", None, 1
        mine = id_of(request.number)
        self.drop_arrivals(request)
        self.evidence.rows.pop(mine)
        self.evidence.held = [it for it in self.evidence.held if it.id != mine]
        self.evidence.answers = [it for it in self.evidence.answers if it.id != mine]

    def remove_everything(self, at: float) -> None:
        self.evidence.faults.append(Fault("forged", at, at + 1, destroys=True, whole=True))

    def kinds(self) -> set[str]:
        return {it.kind for it in checker.check(self.evidence)}


def id_of(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012d}"
