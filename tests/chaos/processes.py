"""Starts, signals and ends processes, each in a session of its own, with its output in a file."""

import contextlib
import functools
import os
import pathlib
import resource
import signal
import subprocess
import time

HELD = ("PATH", "HOME", "LANG", "TMPDIR")


class Process:
    """One process that this run has started."""

    def __init__(
        self,
        name: str,
        command: list[str],
        log: pathlib.Path,
        settings: dict[str, str] | None = None,
        directory: pathlib.Path | None = None,
        open_files: int | None = None,
    ) -> None:
        self.name = name
        self.log = log
        held = {key: os.environ[key] for key in HELD if key in os.environ}
        limit = None
        if open_files is not None:
            limit = functools.partial(resource.setrlimit, resource.RLIMIT_NOFILE, (open_files, open_files))
        with log.open("ab") as output:
            self.child = subprocess.Popen(
                command,
                env={**held, **(settings or {})},
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=limit,
            )

    @property
    def pid(self) -> int:
        return self.child.pid

    def alive(self) -> bool:
        return self.child.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Signals the process itself."""
        if self.alive():
            self.child.send_signal(number)

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL for the process and what shares its session, and waits for its end."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self.child.wait()

    def stop(self, seconds: float) -> int | None:
        """SIGTERM; the exit code, or None when it had to be killed."""
        self.thaw()
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds: float) -> int | None:
        """For its end, without a signal of its own; the exit code, or None when it had to be killed."""
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def tail(self, lines: int = 8) -> str:
        text = self.log.read_text(errors="replace").splitlines()
        return "\n".join(line[:400] for line in text[-lines:])


def run(command: list[str], settings: dict[str, str] | None = None, seconds: float = 180) -> str:
    """Runs a command to its end; its output. Raises with what it said when it fails."""
    held = {key: os.environ[key] for key in HELD if key in os.environ}
    done = subprocess.run(
        command,
        env={**held, **(settings or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=seconds,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)[:300]}: {done.stdout[-500:]}{done.stderr[-1000:]}")
    return done.stdout


def is_running(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(") ")[2][:1] != "Z"


def eventually(what: str, seconds: float, condition, every: float = 0.1):
    """The first true value of the condition; raises with its last one when the time is over."""
    end = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < end:
        try:
            if last := condition():
                return last
        except (OSError, RuntimeError, ValueError) as error:
            last = error
        time.sleep(every)
    raise RuntimeError(f"no {what} within {seconds:.0f} s: {last}")
