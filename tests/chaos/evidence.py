"""What a run leaves behind, read from the files of its directory into facts for the checker.

ledger.jsonl    what callers sent, what they were answered, what they asked
arrivals.jsonl  what reached the target, and how it answered
faults.jsonl    what was done to the gateway, from when to when
machine.jsonl   how busy the machine was
queues.jsonl    every message that is left in the broker at the end
journal.jsonl   every row of the journal at the end
final.jsonl     what the query API says of callbacks at the end
run.json        the scenario, its rules, and what the runner noticed
"""

import json
import pathlib
from dataclasses import dataclass, field

import callbacks
import lines


@dataclass
class Request:
    """A callback as its caller knows it."""

    number: int
    plan: str
    hash: str
    sent_at: float
    result: str = "unknown"  # accepted, refused, unknown
    id: str | None = None
    answered_at: float | None = None
    # With an idempotency key it may be sent several times: how many of them have no answer, and the answers' results.
    unanswered: int = 0
    sendings: int = 0
    results: set[str] = field(default_factory=set)
    # Every id that its caller was told.
    told: set[str] = field(default_factory=set)
    # Its caller asked for its end, and when that was confirmed.
    cancel_asked: bool = False
    cancelled_at: float | None = None

    def answered(self, result: str, request_id: str | None, at: float) -> None:
        """One accepted answer decides; without one, it is refused only if all were."""
        self.unanswered -= 1
        self.results.add(result)
        if request_id is not None:
            self.told.add(request_id)
        if self.result == "accepted":
            return
        if result == "accepted":
            self.result = result
        else:
            self.result = "refused" if self.results == {"refused"} and not self.unanswered else "unknown"
        self.id, self.answered_at = request_id or self.id, at


@dataclass
class Arrival:
    """A call at the target."""

    at: float
    id: str
    number: int | None
    hash: str
    attempt: int
    app: str = ""
    status: int | None = None
    answered_at: float | None = None

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True)
class Fault:
    """Something that was done to the gateway."""

    name: str
    began: float
    ended: float
    # It removed messages on purpose: what was accepted before its end may be lost.
    destroys: bool = False
    # It removed every queue, those of dead letters and of records included.
    whole: bool = False


@dataclass(frozen=True)
class Moment:
    """How busy the machine was."""

    cores: int
    # Processes that ran or wanted to, the mean of the last minute.
    load: float
    # The share of the time in which something waited for a processor, where the kernel measures it.
    waiting: float | None
    # How many times longer work took than on an idle machine.
    slowdown: float = 1.0


@dataclass(frozen=True)
class Held:
    """A message in a queue at the end."""

    queue: str
    id: str
    number: int | None
    hash: str | None


@dataclass(frozen=True)
class Row:
    """A callback in the journal at the end."""

    id: str
    status: str
    number: int | None
    # The numbers of its attempts.
    attempts: frozenset[int] = frozenset()
    # It holds the message, so that a dead letter can be replayed from it.
    message: bool = False
    # Those attempts that ended by their timeout, by the record, and took so long.
    timed_out: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Answer:
    """What the query API said of a callback."""

    at: float  # when the answer was there
    id: str
    http: int
    status: str | None
    final: bool = False  # asked after everything had ended
    asked_at: float | None = None  # when the question was sent, if that is known


@dataclass
class Rules:
    """What the scenario permits. Safety is never negotiable; these are its edges."""

    # Repeats and numbers out of order are permitted around faults (at least once). False: never.
    repeats: bool = True
    # Callbacks that have ended near a fault and whose end the journal may not know: a record has 5 s to become durable
    # before its message is settled. When a process is starved of its processor for longer, and then killed, records
    # are lost.
    unrecorded: int = 0
    # Callbacks that may be given up although their target would take them.
    given_up: int = 0
    # Delays may be cut short, because the clock was set.
    clock_set: bool = False
    # Longest time without an accepted callback, and without one that is delivered, in seconds.
    # They are for a machine with processors to spare; the checker stretches them by how much slower this one was.
    accept_gap: float = 30.0
    deliver_gap: float = 60.0
    # Longest time from the end of a fault until callbacks are accepted and delivered again, in seconds.
    back: float = 30.0
    # Callbacks that may be refused, or get no answer, with no fault near.
    refused_apart: int = 0
    # Waits between attempts, in seconds.
    schedule: tuple[float, ...] = (1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 5.0, 5.0)


@dataclass
class Evidence:
    """All facts of a run."""

    requests: dict[int, Request] = field(default_factory=dict)
    arrivals: list[Arrival] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    machine: list[Moment] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    rows: dict[str, Row] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    rules: Rules = field(default_factory=Rules)
    # What the runner itself noticed: not drained, a process that did not stop. Each is a finding.
    noticed: list[tuple[str, str]] = field(default_factory=list)
    about: dict = field(default_factory=dict)


def read(directory: pathlib.Path) -> Evidence:
    found = Evidence()
    read_ledger(directory / "ledger.jsonl", found)
    read_arrivals(directory / "arrivals.jsonl", found)
    for line in lines.read(directory / "faults.jsonl"):
        removed = line.get("destroys", False), line.get("whole", False)
        found.faults.append(Fault(line["name"], line["began"], line["ended"], *removed))
    for line in lines.read(directory / "machine.jsonl"):
        found.machine.append(Moment(line["cores"], line["load"], line["waiting"], line.get("slowdown", 1.0)))
    for line in lines.read(directory / "queues.jsonl"):
        found.held.append(Held(line["queue"], line["id"], line["n"], line["hash"]))
    for line in lines.read(directory / "journal.jsonl"):
        attempts, timed_out = frozenset(line.get("attempts", [])), frozenset(line.get("timed_out", []))
        row = Row(line["id"], line["status"], line["n"], attempts, line.get("message", False), timed_out)
        found.rows[row.id] = row
    for line in lines.read(directory / "final.jsonl"):
        found.answers.append(Answer(line["t"], line["id"], line["http"], line["status"], final=True))
    about = json.loads((directory / "run.json").read_text())
    found.rules = Rules(**{**about["rules"], "schedule": tuple(about["rules"]["schedule"])})
    found.noticed = [(kind, text) for kind, text in about["noticed"]]
    found.about = about
    return found


def read_ledger(path: pathlib.Path, found: Evidence) -> None:
    for line in lines.read(path):
        match line["event"]:
            case "sent":
                new = Request(line["n"], line["plan"], line["hash"], line["t"])
                request = found.requests.setdefault(line["n"], new)
                request.unanswered += 1
                request.sendings += 1
            case "answered":
                found.requests[line["n"]].answered(line["result"], line.get("id"), line["t"])
            case "cancel":
                found.requests[line["n"]].cancel_asked = True
            case "cancel answered":
                found.requests[line["n"]].cancelled_at = line["t"] if line["confirmed"] else None
            case "asked":
                answer = Answer(line["t"], line["id"], line["http"], line["status"], asked_at=line.get("asked"))
                found.answers.append(answer)


def read_arrivals(path: pathlib.Path, found: Evidence) -> None:
    marks: dict[int, Arrival] = {}
    for line in lines.read(path):
        if line["event"] == "arrived":
            number = callbacks.number_in(line["path"])
            one = Arrival(line["t"], line["id"], number, line["hash"], line["attempt"], line["app"])
            marks[line["mark"]] = one
            found.arrivals.append(one)
        else:
            marks[line["mark"]].status, marks[line["mark"]].answered_at = line["status"], line["t"]
