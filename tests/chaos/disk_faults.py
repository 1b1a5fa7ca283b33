"""Faults of the disk below the embedded store: syncs that fail, and power failures that take what was not synced."""

import pathlib
import random
from collections import defaultdict

import processes

SOURCE = pathlib.Path(__file__).parent / "disk_faults.c"


class DiskFaults:
    """The library that is preloaded, its switch and its log."""

    def __init__(self, directory: pathlib.Path, data: pathlib.Path) -> None:
        directory.mkdir()
        self.directory, self.data = directory, data
        self.preloaded = directory / "disk_faults.so"
        processes.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(self.preloaded), str(SOURCE), "-ldl"])

    def settings(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self.preloaded), "CHAOS_DISK": str(self.directory), "CHAOS_DATA": str(self.data)}

    def fail(self, fails: bool) -> None:
        """Whether every sync fails."""
        switch = self.directory / "fail"
        if fails:
            switch.touch()
        else:
            switch.unlink(missing_ok=True)

    def forget(self) -> None:
        """What is there now counts as synced: call it while no process writes."""
        (self.directory / "log").unlink(missing_ok=True)

    def lose_power(self, chance: random.Random) -> int:
        """Destroys what was written and not synced, after the process was killed; how many writes that were.

        A disk writes its cache in any order: of each write all, a part or nothing may be there. What may be missing is
        overwritten with zeros or noise. That is worse than a disk, which would leave what was there before.
        """
        lost = 0
        for path, writes in unsynced((self.directory / "log").read_text().splitlines()).items():
            file = pathlib.Path(path)
            if not file.exists() or file.name.endswith("-shm"):
                continue
            for offset, length in writes:
                lost += self.tear(file, offset, length, chance)
        self.forget()
        return lost

    @staticmethod
    def tear(file: pathlib.Path, offset: int, length: int, chance: random.Random) -> int:
        if chance.random() < 0.4:
            return 0
        begin = chance.choice([0, 0, length // 2, length - 1])
        with file.open("r+b") as torn:
            size = torn.seek(0, 2)
            missing = min(length - begin, size - offset - begin)
            if missing <= 0:
                return 0
            torn.seek(offset + begin)
            torn.write(bytes(missing) if chance.random() < 0.5 else chance.randbytes(missing))
        return 1


def unsynced(log: list[str]) -> dict[str, list[tuple[int, int]]]:
    """By file, the writes that no sync covers."""
    writes: dict[str, list[tuple[int, int]]] = defaultdict(list)
    begun: dict[str, tuple[str, int]] = {}
    for line in log:
        kind, _, rest = line.partition(" ")
        if kind == "W":
            offset, length, path = rest.split(" ", 2)
            writes[path].append((int(offset), int(length)))
        elif kind == "B":
            number, path = rest.split(" ", 1)
            begun[number] = (path, len(writes[path]))
        elif kind == "E" and (found := begun.pop(rest.split(" ", 1)[0], None)):
            path, covered = found
            # Two syncs of one file may overlap: what the first one covered is gone from the list.
            del writes[path][:covered]
            for other, (of, count) in begun.items():
                if of == path:
                    begun[other] = (of, max(count - covered, 0))
    return writes
