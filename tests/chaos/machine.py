"""How busy the machine is during a run: what its times have to be read with."""

import os
import pathlib
import threading

import lines

EVERY_SECONDS = 2.0
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
            self.found.add(cores=os.cpu_count(), load=load(), waiting=share if share is None else round(share, 3))
            before = now


def load() -> float:
    """Processes that run or want to, the mean of the last minute."""
    return float(LOAD.read_text().split()[0])


def waited_us() -> int | None:
    """For so many microseconds in all, something waited for a processor."""
    if not PRESSURE.exists():
        return None
    return int(PRESSURE.read_text().split()[4].partition("=")[2])
