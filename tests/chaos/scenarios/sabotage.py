"""Sabotage: while `serve` is down, its files are changed behind its back, so that each class of fault happens for real.

No fault is written down, so nothing is excused: the checker must find every class (`--expect` with SABOTAGED).
"""

import json
import sqlite3
import uuid

from evidence import Rules
from scenario import Run, scenario
from world import Needs

SABOTAGED = ("lost", "invented", "duplicated", "altered", "reordered", "denied", "untrue")
COLUMNS = "queue, due, delay, deliveries, id, kind, headers, body"


@scenario(
    "sabotage",
    "each class of fault is made on purpose: passes only with --expect",
    Needs(broker="embedded"),
    Rules(accept_gap=60, deliver_gap=60),
    listed=False,
)
def sabotage(run: Run) -> None:
    world = run.world
    run.pause(4)
    # Not killed: after a kill the query answers 503 for what it does not find, and denies nothing.
    world.roles[0].stop()
    with sqlite3.connect(world.store.directory / "queue.db") as queue:
        change_queue(queue)
    with sqlite3.connect(world.store.directory / "journal.db") as journal:
        change_journal(journal)
    world.roles[0].start()
    world.roles[0].wait_until_ready()
    run.pause(4)


def change_queue(queue: sqlite3.Connection) -> None:
    """Every change is made to another message that waits for its second attempt."""
    sql = f"SELECT number, {COLUMNS} FROM messages WHERE queue = 'retry' ORDER BY number"
    waiting = [row for row in queue.execute(sql) if second_attempt_will_be_taken(row[-1])]
    if len(waiting) < 5:
        raise RuntimeError(f"only {len(waiting)} callbacks wait for their second attempt")
    lost, altered, reordered, invented, duplicated = waiting[:5]
    queue.execute("DELETE FROM messages WHERE number = ?", [lost[0]])
    set_body(queue, altered, altered[-1].replace(b'"filling":', b'"fillinG":'))
    set_body(queue, reordered, reordered[-1].replace(b'"attempt":2', b'"attempt":4'))
    stranger = str(uuid.uuid4())
    insert(queue, invented, stranger, invented[-1].replace(invented[5].encode(), stranger.encode()))
    insert(queue, duplicated, duplicated[5], duplicated[-1])


def second_attempt_will_be_taken(body: bytes) -> bool:
    known = json.loads(body)
    return known["attempt"] == 2 and "/fail1/" in known["callback_url"]


def set_body(queue: sqlite3.Connection, row: tuple, body: bytes) -> None:
    if body == row[-1]:
        raise RuntimeError("nothing was changed")
    queue.execute("UPDATE messages SET body = ? WHERE number = ?", [body, row[0]])


def insert(queue: sqlite3.Connection, row: tuple, request_id: str, body: bytes) -> None:
    name, due, delay, deliveries, _, kind, headers = row[1:8]
    values = [name, due, delay, deliveries, request_id, kind, headers, body]
    queue.execute(f"INSERT INTO messages ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)


def change_journal(journal: sqlite3.Connection) -> None:
    """A dead one is called delivered, and the record of a delivered one is gone."""
    changed = journal.execute(
        "UPDATE callbacks SET status = 'delivered' WHERE request_id = "
        "(SELECT request_id FROM callbacks WHERE status = 'dead' LIMIT 1)"
    )
    removed = journal.execute(
        "DELETE FROM callbacks WHERE request_id = (SELECT request_id FROM callbacks WHERE status = 'delivered' LIMIT 1)"
    )
    if (changed.rowcount, removed.rowcount) != (1, 1):
        raise RuntimeError("the journal has no dead and no delivered callback yet")
