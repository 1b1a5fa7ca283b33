"""Runs the suite in a child, and ends every process that it leaves behind, however it ends.

Both are subreapers: what loses its parent becomes a child of theirs. So their descendants are exactly the processes of
this run, and no other process is ever signalled.
"""

import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def supervise(main: Callable[[pathlib.Path], int]) -> int:
    """Runs `main` with a temporary directory; returns its exit code."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="ringback-chaos-"))
    # Servers run as other users below it.
    directory.chmod(0o755)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        # Should the supervisor be killed, the child is told, and cleans up itself.
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        run_child(main, directory)
    # A terminal sends SIGINT to both; the child cleans up, and this process after it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    code = wait_for(child)
    # The child has done it, unless it was killed.
    clean_up(directory)
    return code


def run_child(main: Callable[[pathlib.Path], int], directory: pathlib.Path) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    code = 1
    try:
        code = main(directory)
    except KeyboardInterrupt:
        code = 130
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        clean_up(directory)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def clean_up(directory: pathlib.Path) -> None:
    """Ends all processes below this one, and removes the directory."""
    end_descendants()
    unmount_below(directory)
    shutil.rmtree(directory, ignore_errors=True)


def wait_for(child: int) -> int:
    """Reaps orphans until the child ends."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            return os.waitstatus_to_exitcode(status) % 256


def end_descendants(seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while (found := descendants(os.getpid())) and time.monotonic() < end:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.02)


def descendants(ancestor: int) -> list[int]:
    """All processes below this one that are no zombies of others."""
    children: dict[int, list[int]] = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and (parent := parent_of(int(entry.name))):
            children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    new = [ancestor]
    while new:
        new = [child for pid in new for child in children.get(pid, [])]
        found += new
    return found


def parent_of(pid: int) -> int | None:
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(") ")[2].split()[1])


def unmount_below(directory: pathlib.Path) -> None:
    for line in reversed(pathlib.Path("/proc/self/mounts").read_text().splitlines()):
        place = line.split()[1]
        if place.startswith(f"{directory}/"):
            subprocess.run(["umount", "--lazy", place], check=False)


def prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
