"""Every durable step of ingress, dispatcher, recorder and stores is where a process ends, at least 20 times each.

Not listed among all scenarios: they need a build with the fail points, see tests/chaos/failpoints.
"""

import random
import threading

import crashes
import lines
from crashes import Plan, Point
from evidence import Rules
from scenario import Run, scenario
from world import Needs

# So many crashes at each point in each minute that is asked for.
TIMES = 20
INGRESS = (
    Point("ingress.claim", "an idempotency key, before its claim", 6),
    Point("ingress.claimed", "claimed, before the publish", 6),
    Point("ingress.publish", "before the publish"),
    Point("ingress.confirmed", "confirmed, before the claim is settled and the acceptance recorded"),
    Point("ingress.claim-settled", "the claim is settled, before the record and the answer", 6),
    Point("ingress.recorded", "the acceptance is handed to the recorder, before the answer"),
)
DISPATCHER = (
    Point("dispatcher.received", "a message is received, before its attempt"),
    Point("dispatcher.attempted", "the target has answered, before the record"),
    Point("dispatcher.recorded", "the record is durable, or its wait is over; before the settlement"),
    Point("dispatcher.settled", "settled, before the reply"),
)
STORE = (
    Point("store.begin", "before a transaction of the embedded store"),
    Point("store.written", "the transaction is written, before its commit"),
    Point("store.committed", "synced, before anybody is answered"),
    Point("store.answered", "after the answers"),
    Point("store.checked", "while it starts: the files are checked", 1),
    Point("store.opened", "while it starts: the store is read", 1),
)
SYNC = Point("sync", "what was written is not synced yet; checkpoints included", 60)
JOURNAL = (
    Point("journal.written", "records are written to SQLite, before the commit", 20),
    Point("journal.committed", "committed, before the recorder is answered", 20),
    Point("journal.answered", "after that", 20),
)
PUBLISH = (
    Point("rabbitmq.publish", "before a message is written to RabbitMQ"),
    Point("rabbitmq.written", "written, before its confirm"),
)
SETTLE = (
    Point("rabbitmq.follow-up", "before the follow-up message", 8),
    Point("rabbitmq.follow-up-confirmed", "it is confirmed, before the original is acked", 8),
    Point("rabbitmq.ack", "before an ack is written"),
    Point("rabbitmq.acked", "after an ack"),
)
# Hundreds of crashes: each may meet records that a busy processor kept waiting for more than a second.
CRASHED = Rules(unrecorded=20, accept_gap=60, deliver_gap=120)
LATE = "late-records=30%return"
SPOOL = (
    Point("spool.append", "a record is late, before it is spooled", 4, LATE),
    Point("spool.appended", "it is in the file, before anybody knows", 4, LATE),
    Point("spool.confirm", "it is confirmed elsewhere, before it leaves the spool", 4, LATE),
    Point("spool.confirmed", "it has left the spool", 4, LATE),
)
WRITER = (
    Point("writer.received", "batches of records are received, before they are stored", 3),
    Point("postgres.written", "they are written to PostgreSQL, before the commit", 3),
    Point("postgres.committed", "committed, before the writer knows", 3),
    Point("writer.stored", "stored, before their messages are settled", 3),
    Point("writer.settled", "after the settlements", 3),
)
BY_ROLE = {"ingress": INGRESS + PUBLISH, "dispatcher": DISPATCHER + PUBLISH + SETTLE + SPOOL, "admin": WRITER}


def times(run: Run) -> int:
    return max(1, round(TIMES * run.world.options.minutes))


def note(run: Run, plans: dict[str, Plan]) -> None:
    """Writes down how often a role ended at each point."""
    kept = lines.Lines(run.world.evidence / "crashes.jsonl")
    for role, plan in plans.items():
        for name in sorted(plan.crashes | plan.misses):
            count = plan.crashes[name]
            kept.add(role=role, point=name, crashes=count, missed=plan.misses[name])
            print(f"  {role:10} {name:30} {count} crashes", flush=True)


@scenario(
    "crash-points-embedded",
    "`serve` ends at each durable step, again and again",
    Needs(broker="embedded"),
    CRASHED,
    listed=False,
)
def embedded(run: Run) -> None:
    crashes.require_fail_points(run.world.options.binary)
    plan = Plan.of(INGRESS + DISPATCHER + STORE + JOURNAL, times(run), run.chance)
    crashes.crash(run, run.world.roles[0], plan)
    note(run, {"serve": plan})


@scenario(
    "crash-points-power",
    "`serve` ends at each step of the store and at syncs; every other time what was not synced is torn",
    Needs(broker="embedded", preload="disk"),
    # Records are not synced one by one.
    Rules(unrecorded=1000),
    listed=False,
)
def power(run: Run) -> None:
    crashes.require_fail_points(run.world.options.binary)
    plan = Plan.of((*STORE, SYNC), times(run), run.chance)
    crashes.crash(run, run.world.roles[0], plan, power=True)
    note(run, {"serve": plan})


@scenario(
    "crash-points",
    "ingresses, dispatchers and writers end at each durable step, on a cluster, all at the same time",
    rules=CRASHED,
    listed=False,
)
def cluster(run: Run) -> None:
    crashes.require_fail_points(run.world.options.binary)
    plans = {role: Plan.of(points, times(run), run.chance) for role, points in BY_ROLE.items()}
    failures: list[BaseException] = []
    threads = []
    for role in run.world.roles:
        beside = run.beside(random.Random(run.chance.random()))
        threads.append(threading.Thread(target=guarded, args=[beside, role, plans[role.role], failures]))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    note(run, plans)
    if failures:
        raise failures[0]


def guarded(run: Run, role, plan: Plan, failures: list[BaseException]) -> None:
    try:
        crashes.crash(run, role, plan)
    except BaseException as failure:
        plan.left.clear()
        failures.append(failure)
