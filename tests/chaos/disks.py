"""Fills disks."""

import contextlib
import pathlib


def fill(directory: pathlib.Path) -> pathlib.Path:
    """Writes a file until no byte is free; returns it. The directory must be on a small disk of its own."""
    if not directory.is_mount() and not any(parent.is_mount() and str(parent) != "/" for parent in directory.parents):
        raise ValueError(f"{directory} is not on a disk of its own")
    filling = directory / "filling"
    with filling.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 20, 1 << 12):
            with contextlib.suppress(OSError):
                while file.write(b"\xa5" * size) == size:
                    pass
    return filling
