"""Starts and stops processes, and reads what they say."""

import contextlib
import json
import os
import re
import subprocess
import threading
import time

HELD = ("PATH", "HOME", "JAVA_HOME", "GOROOT", "GOCACHE", "LANG")


def environment(settings):
    """Only these settings, and what the tools need to be found."""
    return {**{name: os.environ[name] for name in HELD if name in os.environ}, **settings}


class Running:
    """A process in the background, and its lines."""

    def __init__(self, command, settings, directory):
        self.lines = []
        self.process = subprocess.Popen(
            command, env=environment(settings), cwd=directory, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace",
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait_for(self, pattern, seconds=30):
        """The match of the first line that matches."""
        end = time.monotonic() + seconds
        while True:
            over = self.process.poll() is not None
            for line in list(self.lines):
                if found := re.search(pattern, line):
                    return found
            if over or time.monotonic() > end:
                raise RuntimeError(f"{self.process.args} never said {pattern}, but {self.lines[-5:]}")
            time.sleep(0.02)

    def count(self, start, at_least=0, seconds=5):
        """How many lines begin so, when there are so many or the time is over."""
        end = time.monotonic() + seconds
        while True:
            count = sum(line.startswith(start) for line in list(self.lines))
            if count >= at_least or time.monotonic() > end:
                return count
            time.sleep(0.02)

    def ended(self, seconds):
        """Its exit code; None if it still runs after so many seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(seconds)
        return None

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join(10)


@contextlib.contextmanager
def running(command, settings, directory):
    one = Running(command, settings, directory)
    try:
        yield one
    finally:
        one.stop()


def run(command, settings, directory, stdin=None, seconds=60):
    return subprocess.run(
        command, env=environment(settings), cwd=directory, input=stdin, capture_output=True,
        encoding="utf-8", timeout=seconds, check=False,
    )


@contextlib.contextmanager
def gateway(binary, directory, mode, app, secrets):
    """A real gateway on the embedded store, at free ports; gives its URL."""
    directory.mkdir()
    file = directory / "ringback.toml"
    file.write_text(
        "".join(
            [
                f'[broker]\ndata_dir = "{directory}/data"\n',
                *(f'[{name}]\nlisten = "127.0.0.1:0"\n' for name in ("ingress", "metrics", "admin")),
                f'[auth]\nmode = "{mode}"\n[guard]\nallow = ["127.0.0.1"]\n[log]\nformat = "json"\n',
                f"[apps.{json.dumps(app, ensure_ascii=False)}]\n",
                *(f'{key} = ["{value}"]\n' for key, value in secrets.items()),
            ]
        ),
        encoding="utf-8",
    )
    with running([binary, "serve", "--config", file], {}, directory) as process:
        address = process.wait_for(r'"ringback is running","address":"([^"]+)"')[1]
        yield f"http://{address}"
