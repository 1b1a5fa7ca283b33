"""How busy the machine is during a run: what its times have to be read with."""

import hashlib
import os
import pathlib
import threading
import time

import lines

EVERY_SECONDS = 1.0
WORK_SECONDS = 0.01
LOAD = pathlib.Path("/proc/loadavg")
# Linux's measure of how long something waited for a processor; older kernels have none.
PRESSURE = pathlib.Path("/proc/pressure/cpu")


class Watch:
    """Writes the load down until it is ended. Other programs on the machine are part of it."""

    def __init__(self, path: pathlib.Path) -> None:
        self.found = lines.Lines(path)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self) -> "Watch":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def watch(self) -> None:
        before = waited_us()
        while not self.over.wait(EVERY_SECONDS):
            now = waited_us()
            share = None if now is None or before is None else (now - before) / EVERY_SECONDS / 1e6
            waiting = None if share is None else round(share, 3)
            self.found.add(cores=os.cpu_count(), load=load(), waiting=waiting, slowdown=round(slowdown(), 2))
            before = now


def slowdown() -> float:
    """How many times longer a piece of work takes than the processor works on it: 1 on an idle machine. The gateway has
    the same priority, so it is slowed down by as much."""
    began, worked = time.monotonic(), time.thread_time()
    while time.thread_time() - worked < WORK_SECONDS:
        hashlib.sha256(bytes(4096)).digest()
    return max((time.monotonic() - began) / (time.thread_time() - worked), 1.0)


def load() -> float:
    """Processes that run or want to, the mean of the last minute."""
    return float(LOAD.read_text().split()[0])


def waited_us() -> int | None:
    """For so many microseconds in all, something waited for a processor."""
    if not PRESSURE.exists():
        return None
    return int(PRESSURE.read_text().split()[4].partition("=")[2])


def slowdown_of(evidence: pathlib.Path) -> float:
    """In the mean of this run."""
    found = [line["slowdown"] for line in lines.read(evidence / "machine.jsonl")]
    return sum(found) / len(found) if found else 1.0
