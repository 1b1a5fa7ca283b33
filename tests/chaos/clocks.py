"""A wall clock of their own for processes, by libfaketime. Their monotonic clock goes on."""

import pathlib

LIBRARIES = "/usr/lib/*/faketime/libfaketimeMT.so.1"


class Clock:
    """The wall clock of the processes that are started with its settings; it can be set while they run."""

    def __init__(self, file: pathlib.Path) -> None:
        found = sorted(pathlib.Path("/").glob(LIBRARIES.lstrip("/")))
        if not found:
            raise RuntimeError("libfaketime is not installed: apt-get install libfaketime")
        self.preloaded, self.file = found[0], file
        self.set("+0")

    def set(self, offset: str) -> None:
        """For instance `+1d` or `-1d`, from the true time."""
        # Replaced at once: a process must not read half of it.
        new = self.file.with_suffix(".new")
        new.write_text(f"{offset}\n")
        new.replace(self.file)

    def settings(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(self.preloaded),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
