"""Files of JSON lines: every line is on its way to the disk before the writer goes on."""

import json
import pathlib
import time
from collections.abc import Iterator


class Lines:
    """Appends to a file. Each line has the time `t` (Unix seconds)."""

    def __init__(self, path: pathlib.Path) -> None:
        self.file = path.open("a", buffering=1, encoding="utf-8")

    def add(self, **fields: object) -> None:
        fields.setdefault("t", round(time.time(), 4))
        self.file.write(json.dumps(fields, ensure_ascii=False) + "\n")


def read(path: pathlib.Path) -> Iterator[dict]:
    """The lines of a file, none if it does not exist. A last line that was cut off is left out."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)
