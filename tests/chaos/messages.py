"""Reads messages and rows of the gateway by the documented formats, with no code of its own."""

import json

import callbacks
from evidence import Held, Row

# A key that comes last, by the reference of the queue message.
MARK = b'"request_message":'


def held(queue: str, request_id: str, body: bytes) -> Held:
    """A message of a queue: which callback it is of, and the hash of the bytes that the target would get."""
    try:
        known = json.loads(body)
    except ValueError:
        return Held(queue, request_id, None, None)
    _, found, message = body.partition(MARK)
    digest = callbacks.hash_of(message.strip()[:-1].strip()) if found else None
    number = callbacks.number_in(known.get("callback_url"))
    return Held(queue, known.get("request_id", request_id), number, digest)


# An attempt in SQL: its number, with a mark if it ended by its timeout. The shortest that the suite sets is 3 s.
ATTEMPT = "CAST(number AS text) || CASE WHEN outcome = 'timeout' AND duration_ms >= 3000 THEN '!' ELSE '' END"


def row(request_id: str, status: str, url: str | None, attempts: str | None, message: bool) -> Row:
    """A row of the journal; `attempts`: as above, separated by commas; `message`: it holds the message."""
    found = [one for one in (attempts or "").split(",") if one]
    numbers = frozenset(int(one.rstrip("!")) for one in found)
    timed_out = frozenset(int(one.rstrip("!")) for one in found if one.endswith("!"))
    return Row(request_id, status, callbacks.number_in(url), numbers, message, timed_out)
