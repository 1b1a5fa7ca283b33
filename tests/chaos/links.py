"""The links through the fault proxy, as scenarios see them."""

import json
import pathlib
import socket
import sys

import ports
import processes

HERE = pathlib.Path(__file__).parent


class Links:
    """Named connections from a role to a server. Made first, started once all are known."""

    def __init__(self, directory: pathlib.Path, seed: str) -> None:
        self.directory, self.seed = directory, seed
        self.control = ports.free_port()
        self.links: list[str] = []
        self.process: processes.Process | None = None

    def add(self, name: str, host: str, port: int) -> int:
        """The port on loopback through which the server is reached."""
        own = ports.free_port()
        self.links.append(f"{name}={own}:{host}:{port}")
        return own

    def start(self) -> None:
        command = [sys.executable, "-B", str(HERE / "proxy.py"), "--control", str(self.control), "--seed", self.seed]
        self.process = processes.Process("proxy", command + self.links, self.directory / "proxy.log")
        processes.eventually("fault proxy", 60, lambda: self.set("no-such-link", {}) or True)

    def set(self, pattern: str, fault: dict) -> int:
        """Gives these links this fault, and no other; how many they are."""
        return self.command({"link": pattern, "fault": fault})

    def cut(self, pattern: str) -> int:
        """Resets their connections."""
        return self.command({"link": pattern, "cut": True})

    def heal(self) -> None:
        self.set("*", {})

    def command(self, command: dict) -> int:
        with socket.create_connection(("127.0.0.1", self.control), timeout=10) as control:
            control.sendall(json.dumps(command).encode() + b"\n")
            return int(control.makefile().readline())
