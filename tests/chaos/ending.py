"""The end of a run: everything drains, is asked for, stops in order, and is written into the evidence."""

import asyncio
import base64
import contextlib
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator

import evidence
import lines
import load
import machine
import messages
import wire
from world import World

DRAIN_SECONDS = 150.0
RECORD_SECONDS = 30.0
ASKED_AT_THE_END = 3000
# Of `callbacks.status` in PostgreSQL, by its schema.
STATUSES = ["queued", "retrying", "delivered", "dead", "expired", "cancelled", "unaccounted"]


def end(world: World) -> list[tuple[str, str]]:
    """What was noticed."""
    noticed: list[tuple[str, str]] = []
    noticed += [("stopped", text) for text in world.dead_processes()]
    world.load.stop(60)
    if left := drain(world):
        noticed.append(("stuck", f"at the end there are {left}"))
        diagnose(world)
    if unreadable := depths(world).get("unreadable"):
        noticed.append(("unreadable", f"{unreadable} messages that the gateway itself wrote"))
    wait_for_records(world)
    ask_for_all(world)
    noticed += stop(world)
    collect(world)
    return noticed


def diagnose(world: World) -> None:
    """Writes down who holds what in the broker, for people."""
    if world.cluster is None:
        return
    node = world.cluster.up()[0]
    shown = []
    for arguments in (
        ["list_queues", "name", "messages_ready", "messages_unacknowledged", "leader", "members", "online"],
        ["list_consumers"],
        ["list_channels", "pid", "connection", "number", "consumer_count", "messages_unacknowledged", "state"],
        ["list_connections", "pid", "name", "peer_port", "state", "channels"],
    ):
        with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
            shown.append(f"{' '.join(arguments)}\n{node.ctl(*arguments)}")
    (world.evidence / "broker.txt").write_text("\n".join(shown))


def depths(world: World) -> dict[str, int]:
    """Every queue that is not empty, by its short name, without replies."""
    if world.store is not None:
        found = world.store.depths()
    else:
        found = {name.partition(".")[2]: count for name, count in world.cluster.any_api().depths().items()}
    return {name: count for name, count in found.items() if count and not name.startswith("reply.")}


def waiting(world: World) -> dict[str, int]:
    """Those of them that drain by themselves."""
    return {name: count for name, count in depths(world).items() if name not in ("dead", "unreadable")}


def drain(world: World) -> dict[str, int]:
    """Waits until nothing waits any more; what is left."""
    # What is starved drains late.
    until = time.monotonic() + DRAIN_SECONDS * min(machine.slowdown_of(world.evidence), 3)
    left = {"not": 1}
    empty = 0
    while empty < 3 and time.monotonic() < until:
        with contextlib.suppress(OSError, RuntimeError, sqlite3.Error):
            left = waiting(world)
            # A message on its way from one queue to the next is in none of them for a moment.
            empty = 0 if left else empty + 1
        time.sleep(0.5)
    return left


def wait_for_records(world: World) -> None:
    """Until the journal knows every end, or it will not."""
    until = time.monotonic() + RECORD_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(OSError, RuntimeError, sqlite3.Error):
            if unfinished(world) == 0:
                return
        time.sleep(0.5)


def unfinished(world: World) -> int:
    if world.store is not None:
        return world.store.unfinished()
    return int(world.primary().sql("SELECT count(*) FROM callbacks WHERE status IN (0, 1)"))


def ask_for_all(world: World) -> None:
    """Asks the query for callbacks: every one that is not plainly delivered, and a sample of the others."""
    found = evidence.Evidence()
    evidence.read_ledger(world.evidence / "ledger.jsonl", found)
    evidence.read_arrivals(world.evidence / "arrivals.jsonl", found)
    taken = {it.id for it in found.arrivals if it.taken}
    ids = [it.id for it in found.requests.values() if it.result == "accepted" and it.id]
    chance = random.Random(world.options.seed)
    chance.shuffle(ids)
    ids.sort(key=lambda it: it in taken)
    ports = [role.http for role in world.roles if role.role in ("ingress", "serve")]
    asyncio.run(ask(ids[:ASKED_AT_THE_END], ports, lines.Lines(world.evidence / "final.jsonl")))


async def ask(ids: list[str], ports: list[int], final: lines.Lines) -> None:
    async def some(mine: list[str], port: int) -> None:
        caller = load.Caller([port])
        for request_id in mine:
            status, body = 0, b""
            for _ in range(3):
                with contextlib.suppress(OSError, TimeoutError, EOFError, ValueError):
                    status, body = await caller.ask(wire.request("GET", f"/api/callback/{request_id}", "chaos"), port)
                if status in (200, 404):
                    break
                await asyncio.sleep(0.5)
            final.add(id=request_id, http=status, status=load.parse(body).get("status"))
        caller.close()

    workers = 6
    await asyncio.gather(*(some(ids[i::workers], ports[i % len(ports)]) for i in range(workers)))


def stop(world: World) -> Iterator[tuple[str, str]]:
    """All roles at once, as a shutdown of the site."""
    for role in world.roles:
        if not role.alive():
            yield "stopped", f"{role.name} had ended: {role.process.tail() if role.process else ''}"
    for role in world.roles:
        if role.process is not None:
            role.process.signal(signal.SIGTERM)
    for role in world.roles:
        code = role.end()
        if code != 0:
            yield "stopped", f"{role.name} ended with {code}"


def collect(world: World) -> None:
    """Writes down what is left in the queues and in the journal."""
    queues = lines.Lines(world.evidence / "queues.jsonl")
    for one in held(world):
        queues.add(queue=one.queue, id=one.id, n=one.number, hash=one.hash)
    journal = lines.Lines(world.evidence / "journal.jsonl")
    for row in rows(world):
        attempts, timed_out = sorted(row.attempts), sorted(row.timed_out)
        known = {"attempts": attempts, "timed_out": timed_out, "message": row.message}
        journal.add(id=row.id, status=row.status, n=row.number, **known)


def held(world: World) -> Iterator[evidence.Held]:
    if world.store is not None:
        yield from world.store.held()
        return
    api = world.cluster.any_api()
    for queue, count in api.depths().items():
        short = queue.partition(".")[2]
        # Batches of records, probes, replies, and what nobody can read: no callbacks.
        if count and short not in ("journal", "unreadable") and not short.startswith("reply."):
            for message in api.messages(queue):
                kind = message["properties"].get("type", "")
                if not kind.startswith("probe"):
                    yield messages.held(short, message["properties"].get("message_id", ""), payload(message))


def payload(message: dict) -> bytes:
    if message["payload_encoding"] == "base64":
        return base64.b64decode(message["payload"])
    return message["payload"].encode()


def rows(world: World) -> Iterator[evidence.Row]:
    if world.store is not None:
        yield from world.store.rows()
        return
    text = world.primary().sql(
        f"SELECT request_id, status, string_agg({messages.ATTEMPT}, ','), dead_letter IS NOT NULL, callback_url "
        "FROM callbacks LEFT JOIN attempts USING (request_id) GROUP BY 1, 2, 4, 5",
        seconds=120,
    )
    for line in text.splitlines():
        request_id, status, attempts, message, url = line.split("|", 4)
        yield messages.row(request_id, STATUSES[int(status)], url, attempts, message == "t")
