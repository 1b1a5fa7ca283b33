"""A private PostgreSQL server and its standby."""

import contextlib
import os
import pathlib
import pwd
import shutil
import signal

import ports
import processes

USER = "postgres"


class Server:
    """One server on loopback that trusts every connection as `postgres`."""

    def __init__(self, name: str, directory: pathlib.Path) -> None:
        self.name = name
        self.directory = directory
        self.port = ports.free_port()
        self.server: processes.Process | None = None
        directory.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(directory, USER, USER)

    @property
    def data(self) -> pathlib.Path:
        return self.directory / "data"

    def program(self, name: str, *arguments: str) -> list[str]:
        command = [str(newest() / name), *arguments]
        if os.geteuid() != 0:
            return command
        user = pwd.getpwnam(USER)
        return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--", *command]

    def create(self) -> None:
        processes.run(
            self.program("initdb", "-D", str(self.data), "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C")
        )
        with (self.data / "postgresql.conf").open("a") as file:
            file.write("wal_level = replica\nmax_wal_senders = 4\nmax_connections = 60\nshared_buffers = 32MB\n")

    def create_standby_of(self, primary: "Server") -> None:
        processes.run(
            self.program(
                "pg_basebackup",
                "-h",
                "127.0.0.1",
                "-p",
                str(primary.port),
                "-U",
                USER,
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--no-sync",
                "-D",
                str(self.data),
            ),
            seconds=120,
        )

    def start(self) -> None:
        if self.server is not None and self.server.alive():
            return
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        command = self.program(
            "postgres",
            "-D",
            str(self.data),
            "-p",
            str(self.port),
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            f"unix_socket_directories={self.directory}",
        )
        self.server = processes.Process(self.name, command, self.directory.parent / f"{self.name}.log")
        processes.eventually(self.name, 180, lambda: self.sql("SELECT 1", "postgres"), every=0.3)

    def sql(self, text: str, database: str = "ringback", seconds: float = 60) -> str:
        return processes.run(
            [
                "psql",
                "-X",
                "-A",
                "-t",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-h",
                "127.0.0.1",
                "-p",
                str(self.port),
                "-U",
                USER,
                "-d",
                database,
                "-c",
                text,
            ],
            seconds=seconds,
        ).strip()

    def pids(self) -> list[int]:
        """The server's processes, each in a session of its own."""
        if self.server is None or not self.server.alive():
            return []
        file = pathlib.Path(f"/proc/{self.server.pid}/task/{self.server.pid}/children")
        return [self.server.pid, *(int(pid) for pid in file.read_text().split())]

    def signal(self, number: signal.Signals) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """SIGKILL to all of its processes at once, as a power failure."""
        self.signal(signal.SIGKILL)
        if self.server is not None:
            self.server.kill()

    def promote(self) -> None:
        self.sql("SELECT pg_promote(true, 60)", "postgres")


def newest() -> pathlib.Path:
    """The directory of PostgreSQL's programs."""
    found = pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres")
    directories = sorted((path.parent for path in found), key=lambda path: int(path.parent.name))
    if not directories:
        raise RuntimeError("PostgreSQL is not installed: apt-get install postgresql")
    return directories[-1]
