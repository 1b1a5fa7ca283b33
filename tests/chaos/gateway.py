"""The gateway's processes: each role at ports that it keeps over restarts."""

import pathlib
import urllib.error
import urllib.request

import ports
import processes

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
STOP_SECONDS = 90.0


class Role:
    """One process of the gateway; it may be started again."""

    def __init__(
        self, binary: pathlib.Path, role: str, name: str, directory: pathlib.Path, settings: dict[str, str]
    ) -> None:
        self.binary, self.role, self.name, self.directory = binary, role, name, directory
        self.http, self.health, self.operators, self.metrics = (ports.free_port() for _ in range(4))
        self.settings = {
            "RINGBACK__INGRESS__LISTEN": f"127.0.0.1:{self.http}",
            "RINGBACK__DISPATCHER__LISTEN": f"127.0.0.1:{self.health}",
            "RINGBACK__ADMIN__LISTEN": f"127.0.0.1:{self.operators}",
            "RINGBACK__METRICS__LISTEN": f"127.0.0.1:{self.metrics}",
            **settings,
        }
        self.open_files: int | None = None
        self.process: processes.Process | None = None

    def start(self) -> None:
        """Starts it and returns at once."""
        log = self.directory / f"{self.name}.log"
        self.process = processes.Process(
            self.name, [str(self.binary), self.role], log, self.settings, open_files=self.open_files
        )

    def ready(self) -> bool:
        try:
            with OPENER.open(f"http://127.0.0.1:{self.metrics}/readyz", timeout=3) as answer:
                return answer.status == 200
        except urllib.error.HTTPError:
            return False

    def wait_until_ready(self, seconds: float = 120) -> None:
        def ready() -> bool:
            if self.process is not None and not self.process.alive():
                raise SystemError(f"{self.name} ended: {self.process.tail()}")
            return self.ready()

        processes.eventually(f"ready {self.name}", seconds, ready, every=0.2)

    def alive(self) -> bool:
        return self.process is not None and self.process.alive()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    def restart(self) -> None:
        self.kill()
        self.start()

    def stop(self) -> int | None:
        """Asks it to stop; its exit code, None when it had to be killed."""
        return None if self.process is None else self.process.stop(STOP_SECONDS)

    def end(self) -> int | None:
        """Waits for its end after a signal: a second one would end it at once. As `stop`."""
        return None if self.process is None else self.process.wait(STOP_SECONDS)

    def freeze(self) -> None:
        if self.process is not None:
            self.process.freeze()

    def thaw(self) -> None:
        if self.process is not None:
            self.process.thaw()
