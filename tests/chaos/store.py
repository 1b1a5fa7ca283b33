"""The embedded store's files, read from outside the process that has them open."""

import pathlib
import sqlite3
import uuid
from collections.abc import Iterator

import messages
from evidence import Held, Row


class Store:
    """The data directory of `ringback serve`."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory

    def depths(self) -> dict[str, int]:
        """Messages of each queue, those in flight included."""
        with self.open("queue.db") as queue:
            return dict(queue.execute("SELECT queue, count(*) FROM messages GROUP BY queue").fetchall())

    def held(self) -> Iterator[Held]:
        with self.open("queue.db") as queue:
            for name, request_id, body in queue.execute("SELECT queue, id, body FROM messages"):
                yield messages.held(name, request_id, body)

    def rows(self) -> Iterator[Row]:
        with self.open("journal.db") as journal:
            for request_id, status, url, message, attempts in journal.execute(
                "SELECT request_id, status, callback_url, dead_letter IS NOT NULL, "
                f"(SELECT group_concat({messages.ATTEMPT}) FROM attempts "
                "WHERE attempts.request_id = callbacks.request_id) FROM callbacks"
            ):
                yield messages.row(str(uuid.UUID(bytes=request_id)), status, url, attempts, bool(message))

    def unfinished(self) -> int:
        with self.open("journal.db") as journal:
            sql = "SELECT count(*) FROM callbacks WHERE status IN ('queued', 'retrying')"
            return journal.execute(sql).fetchone()[0]

    def open(self, name: str) -> sqlite3.Connection:
        # Read-only, and not immutable: the write-ahead log is part of the file.
        return sqlite3.connect(f"file:{self.directory / name}?mode=ro", uri=True, timeout=10)
