"""The callers: a process that sends callbacks at a rate, asks for some of them, and writes both into a ledger.

A line `sent` is written before a byte of the request leaves, `answered` after the answer or its loss. A request with
an idempotency key is sent again, to any ingress, until it is accepted: it must become one callback all the same.
The result:

accepted  the answer is `000` and has an id
refused   nothing was sent (no connection), or the answer is an error without an id: it must never arrive
unknown   anything else: it may arrive once, or not at all
"""

import argparse
import asyncio
import contextlib
import json
import pathlib
import random
import signal
import time
from collections import deque

import callbacks
import lines
import wire

TIMEOUT = 20.0
WORKERS = 48
# How often a request with an idempotency key is sent at most.
TRIES = 30
# How many of them are on their way at most.
BESIDE = 300
# When it is asked for a callback with the plan `later`, in seconds after its acceptance and within its delay: until it is
# attempted, only the record of its acceptance can be known. Earlier, the query answers 503 for what it does not find.
ASKED_AFTER = (13.5, 16.0, 18.5)
# Of how many at a time at most.
ASKING = 200


class NotConnectedError(OSError):
    """Nothing of the request was written."""


class Caller:
    """One connection at a time to one of the ingresses."""

    def __init__(self, ports: list[int]) -> None:
        self.ports = ports
        self.port = 0
        self.stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes, port: int) -> tuple[int, bytes]:
        """Status and body of the answer."""
        if self.stream is None or port != self.port:
            self.close()
            try:
                self.stream = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 3)
            except (OSError, TimeoutError) as error:
                raise NotConnectedError(str(error)) from error
            self.port = port
        reader, writer = self.stream
        try:
            async with asyncio.timeout(TIMEOUT):
                writer.write(request)
                await writer.drain()
                first, headers, body = await wire.read_message(reader)
        except BaseException:
            self.close()
            raise
        if headers.get("connection", "").lower() == "close":
            self.close()
        return int(first.split(" ")[1]), body

    def close(self) -> None:
        if self.stream is not None:
            self.stream[1].close()
            self.stream = None


class Load:
    """All callers of a run."""

    def __init__(self, ports: list[int], sink: str, seed: str, rate: float, ledger: lines.Lines) -> None:
        self.ports, self.sink, self.seed, self.rate, self.ledger = ports, sink, seed, rate, ledger
        self.next = 0
        self.began = time.monotonic()
        self.accepted: deque[str] = deque(maxlen=20_000)
        self.over = False
        self.beside: set[asyncio.Task[None]] = set()
        self.asking: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stop)
        workers = [self.send_all() for _ in range(WORKERS)]
        await asyncio.gather(*workers, self.query_all(), self.query_all())
        await asyncio.gather(*self.beside, *self.asking)

    def stop(self) -> None:
        self.over = True

    async def send_all(self) -> None:
        caller = Caller(self.ports)
        while not self.over:
            number = self.next
            self.next += 1
            wait = self.began + number / self.rate - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            elif wait < -1:
                # No burst after a stop of all: the rate is kept from now on.
                self.began -= wait
            if not self.over:
                await self.begin(caller, callbacks.make(self.seed, number))
        caller.close()

    async def begin(self, caller: Caller, callback: callbacks.Callback) -> None:
        """What waits for the journal does so beside the others, so that they show whether they wait for it, too."""
        if callback.key is None:
            await self.send_until_accepted(caller, callback)
        elif len(self.beside) < BESIDE:
            task = asyncio.create_task(self.send_beside(callback))
            self.beside.add(task)
            task.add_done_callback(self.beside.discard)

    async def send_beside(self, callback: callbacks.Callback) -> None:
        caller = Caller(self.ports)
        await self.send_until_accepted(caller, callback)
        caller.close()

    async def send_until_accepted(self, caller: Caller, callback: callbacks.Callback) -> None:
        """Once; with a key as often as it takes, within bounds."""
        chance = random.Random(f"{self.seed}:port:{callback.number}")
        for _ in range(TRIES if callback.key else 1):
            if self.over and callback.key:
                return
            if request_id := await self.send(caller, callback, chance.choice(self.ports)):
                if callback.plan == "later" and len(self.asking) < ASKING:
                    task = asyncio.create_task(self.ask_within_delay(callback, request_id))
                    self.asking.add(task)
                    task.add_done_callback(self.asking.discard)
                if callback.plan == "cancel":
                    await self.cancel(caller, callback, request_id, chance.choice(self.ports))
                return
            await asyncio.sleep(0.05 if callback.key is None else chance.uniform(0.1, 1))

    async def send(self, caller: Caller, callback: callbacks.Callback, port: int) -> str | None:
        """The id, if it was accepted."""
        headers = {"idempotency-key": callback.key} if callback.key else {}
        body = callback.body(self.sink, f"app{callback.number % 3}")
        request = wire.request("POST", "/api/callback", "ringback", body, headers)
        number = callback.number
        self.ledger.add(event="sent", n=number, plan=callback.plan, hash=callback.hash, port=port)
        try:
            status, body = await caller.ask(request, port)
        except NotConnectedError:
            self.ledger.add(event="answered", n=number, result="refused")
            return None
        except (OSError, TimeoutError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            self.ledger.add(event="answered", n=number, result="unknown", error=type(error).__name__)
            return None
        known = parse(body)
        result, request_id = result_of(status, known), known.get("request_id")
        if result == "accepted":
            self.accepted.append(str(request_id))
        self.ledger.add(event="answered", n=number, result=result, http=status, id=request_id)
        return str(request_id) if result == "accepted" else None

    async def cancel(self, caller: Caller, callback: callbacks.Callback, request_id: str, port: int) -> None:
        """Written down before, as the answer may be lost."""
        self.ledger.add(event="cancel", n=callback.number)
        request = wire.request("DELETE", f"/api/callback/{request_id}", "ringback")
        with contextlib.suppress(OSError, TimeoutError, EOFError, ValueError):
            status, body = await caller.ask(request, port)
            confirmed = status == 200 and parse(body).get("status") == "cancelled"
            self.ledger.add(event="cancel answered", n=callback.number, http=status, confirmed=confirmed)
            if status == 404:
                self.ledger.add(event="asked", id=request_id, asked=time.time(), http=status, status=None)

    async def query_all(self) -> None:
        """Asks for random callbacks of the newest ones that were accepted."""
        caller = Caller(self.ports)
        chance = random.Random(f"{self.seed}:queries")
        while not self.over:
            await asyncio.sleep(0.1)
            if self.accepted:
                # Half of them are the newest: those that the journal may not know yet.
                newest = len(self.accepted) - 1 - int(chance.expovariate(0.1))
                index = max(newest, 0) if chance.random() < 0.5 else chance.randrange(len(self.accepted))
                with contextlib.suppress(OSError, TimeoutError, EOFError, ValueError):
                    await self.query(caller, self.accepted[index], chance.choice(self.ports))
        caller.close()

    async def ask_within_delay(self, callback: callbacks.Callback, request_id: str) -> None:
        """Beside the others, and each time any of the ingresses."""
        accepted = time.monotonic()
        chance = random.Random(f"{self.seed}:later:{callback.number}")
        for seconds in ASKED_AFTER:
            await asyncio.sleep(max(accepted + seconds - time.monotonic(), 0))
            caller = Caller(self.ports)
            with contextlib.suppress(OSError, TimeoutError, EOFError, ValueError):
                await self.query(caller, request_id, chance.choice(self.ports))
            caller.close()

    async def query(self, caller: Caller, request_id: str, port: int) -> None:
        asked = time.time()
        status, body = await caller.ask(wire.request("GET", f"/api/callback/{request_id}", "ringback"), port)
        self.ledger.add(
            event="asked", id=request_id, asked=round(asked, 4), http=status, status=parse(body).get("status")
        )


def parse(body: bytes) -> dict:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def result_of(status: int, known: dict) -> str:
    """What the contract says of this answer."""
    if status == 200 and known.get("code") == "000" and known.get("request_id"):
        return "accepted"
    if status >= 400 and "code" in known and "request_id" not in known:
        return "refused"
    return "unknown"


async def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--ports", required=True)
    arguments.add_argument("--sink", required=True)
    arguments.add_argument("--seed", required=True)
    arguments.add_argument("--rate", type=float, required=True)
    arguments.add_argument("--ledger", type=pathlib.Path, required=True)
    chosen = arguments.parse_args()
    ports = [int(port) for port in chosen.ports.split(",")]
    await Load(ports, chosen.sink, chosen.seed, chosen.rate, lines.Lines(chosen.ledger)).run()


if __name__ == "__main__":
    asyncio.run(main())
