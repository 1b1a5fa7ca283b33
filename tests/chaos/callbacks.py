"""The callbacks of a run: what each contains, and how its target answers. Content and plan follow from the seed."""

import hashlib
import json
import random
from dataclasses import dataclass

# How the target answers, by the plan's name: the attempts that fail, and with what. Behind them it answers 200.
FAILS: dict[str, tuple[int, str]] = {
    "ok": (0, ""),
    "slow": (0, "slow"),
    "delayed": (0, ""),
    # It is delayed for so long that its caller can be told meanwhile that it is not known.
    "later": (0, ""),
    # It is delayed, and its caller cancels it meanwhile.
    "cancel": (0, ""),
    "fail1": (1, "503"),
    "fail2": (2, "500"),
    "reset": (1, "reset"),
    "hang": (1, "hang"),
    "reject": (99, "400"),
    "exhaust": (99, "503"),
}
# Their share of the load.
WEIGHTS = {
    "ok": 68,
    "slow": 4,
    "delayed": 4,
    "later": 2,
    "cancel": 2,
    "fail1": 7,
    "fail2": 3,
    "reset": 3,
    "hang": 1,
    "reject": 3,
    "exhaust": 3,
}
# Plans whose target never takes the callback: it must end as a dead letter.
NEVER_TAKEN = frozenset({"reject", "exhaust"})
OPTIONS: dict[str, dict[str, int]] = {
    "delayed": {"delay_seconds": 2},
    "later": {"delay_seconds": 20},
    "cancel": {"delay_seconds": 6},
    "exhaust": {"max_attempts": 2},
    "hang": {"timeout_seconds": 6},
}
# The share of requests with an idempotency key.
KEYED = 0.1
# Bytes that a careless gateway would change: key order, spaces, escapes, spelling of numbers, other alphabets.
PECULIAR = [
    '{"b":1 , "a":  2}',
    '"\\u4e2d\\/\\n"',
    '"乐居 🏠"',
    "1.50e+03",
    "-0.0",
    "[ ]",
    '{"a":1,"a":2}',
    "12345678901234567890",
]


@dataclass(frozen=True)
class Callback:
    """One callback to be sent."""

    number: int
    plan: str
    message: bytes
    # Sent as `Idempotency-Key`, and again with the same one until it is accepted.
    key: str | None = None

    @property
    def hash(self) -> str:
        return hash_of(self.message)

    def body(self, sink: str, app: str) -> bytes:
        """The request's body; `sink` is the target's scheme, host and port."""
        head = {
            "callback_url": f"{sink}/{self.plan}/{self.number}",
            "app_id": app,
            "message_type": "chaos",
            **({"options": OPTIONS[self.plan]} if self.plan in OPTIONS else {}),
        }
        return json.dumps(head)[:-1].encode() + b', "request_message": ' + self.message + b"}"


def make(seed: str, number: int) -> Callback:
    """The callback with this number."""
    chance = random.Random(f"{seed}:{number}")
    plan = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    length = 40_000 if chance.random() < 0.005 else chance.randrange(0, 1500)
    filling = chance.randbytes(length // 2).hex()
    message = f'{{"n":{number},"run":"{seed}",  "odd":{chance.choice(PECULIAR)},"filling":"{filling}"}}'
    key = f"{seed}-{number}" if chance.random() < KEYED else None
    return Callback(number, plan, message.encode(), key)


def hash_of(message: bytes) -> str:
    return hashlib.sha256(message).hexdigest()[:32]


def number_in(url: str | None) -> int | None:
    """The number of the callback in its URL or path."""
    last = (url or "").rpartition("/")[2].partition("?")[0]
    return int(last) if last.isdigit() else None
