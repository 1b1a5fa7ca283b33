"""A network namespace for each node of a cluster, joined by a bridge. A node can be cut off, wholly or one way."""

import os
import pathlib
import subprocess
from dataclasses import dataclass

import processes


@dataclass(frozen=True)
class Place:
    """Where a node listens; `keeper`: a process in its namespace, unless it is that of the suite."""

    host: str
    keeper: int | None = None

    def command(self, command: list[str]) -> list[str]:
        if self.keeper is None:
            return command
        return ["nsenter", "--target", str(self.keeper), "--net", "--", *command]


LOOPBACK = Place("127.0.0.1")


class Network:
    """One more namespace holds the bridge. All of it is gone when the keepers end."""

    def __init__(self, nodes: int, directory: pathlib.Path) -> None:
        own = os.getpid()
        self.prefix = f"10.{128 + own // 250 % 100}.{own % 250}"
        self.directory = directory
        self.hub = self.keep("hub")
        self.inside(self.hub, "ip link add br0 type bridge; ip link set br0 up")
        outside = f"rc{own}"
        self.here(
            f"ip link add {outside} type veth peer name outside netns {self.hub};"
            f"ip addr add {self.prefix}.254/24 dev {outside}; ip link set {outside} up"
        )
        self.inside(self.hub, "ip link set outside master br0 up")
        self.places = [self.add(number) for number in range(nodes)]

    def add(self, number: int) -> Place:
        keeper = self.keep(f"keeper{number}")
        host = f"{self.prefix}.{number + 1}"
        self.inside(
            self.hub,
            f"ip link add node{number} type veth peer name eth0 netns {keeper}; ip link set node{number} master br0 up",
        )
        self.inside(keeper, f"ip link set lo up; ip addr add {host}/24 dev eth0; ip link set eth0 up")
        return Place(host, keeper)

    def keep(self, name: str) -> int:
        command = ["unshare", "--net", "sleep", "infinity"]
        keeper = processes.Process(name, command, self.directory / f"{name}.log")
        own = os.readlink("/proc/self/ns/net")
        processes.eventually("network namespace", 10, lambda: os.readlink(f"/proc/{keeper.pid}/ns/net") != own)
        return keeper.pid

    def cut(self, number: int) -> None:
        """Nothing passes to or from this node, and its links stay up."""
        self.inside(self.hub, f"ip link set node{number} nomaster")

    def join(self, number: int) -> None:
        self.inside(self.hub, f"ip link set node{number} master br0")

    def silence(self, number: int, towards: int) -> None:
        """What this node sends to another is lost; the other way passes."""
        self.inside(self.places[number].keeper, f"ip route add blackhole {self.places[towards].host}/32")

    def heal(self) -> None:
        for number, place in enumerate(self.places):
            self.join(number)
            self.inside(place.keeper, "ip route flush type blackhole")

    @staticmethod
    def inside(keeper: int | None, script: str) -> None:
        processes.run(["nsenter", "--target", str(keeper), "--net", "--", "sh", "-ec", script])

    @staticmethod
    def here(script: str) -> None:
        processes.run(["sh", "-ec", script])


def permitted() -> bool:
    """Whether namespaces can be made here."""
    return os.geteuid() == 0 and subprocess.run(["unshare", "--net", "true"], check=False).returncode == 0
