"""A private RabbitMQ cluster: nodes with their own ports, cookie and data, on loopback or in network namespaces."""

import contextlib
import os
import pathlib
import secrets
import signal
import subprocess

import management
import ports
import processes
from network import LOOPBACK, Place

SCRIPTS = "/usr/lib/rabbitmq/bin"
START_SECONDS = 300
# Runs a program in the root directory $1, with the directory $2 at the same path inside and outside.
ENTER = """
root=$1 shared=$2
shift 2
mkdir -p "$root$shared"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind "$shared" "$root$shared"
exec chroot "$root" "$@"
"""


class Node:
    """One node. `root`: a directory with another Debian to run it in."""

    def __init__(self, number: int, directory: pathlib.Path, place: Place, epmd_port: int, root: str | None) -> None:
        self.number, self.directory, self.place, self.root = number, directory, place, root
        self.epmd_port = epmd_port
        self.amqp, self.distribution, self.http = (ports.free_port() for _ in range(3))
        host = "localhost" if place.keeper is None else place.host
        self.name = f"chaos{number}x{self.amqp}@{host}"
        self.server: processes.Process | None = None
        self.api = management.Api(place.host, self.http)
        directory.mkdir()

    def write_files(self, cookie: str, first: "Node") -> None:
        settings = [
            f"listeners.tcp.default = {self.place.host}:{self.amqp}",
            "loopback_users = none",
            "log.file = false",
            "log.console = true",
            "log.console.level = warning",
            "disk_free_limit.absolute = 1MB",
            "cluster_partition_handling = pause_minority",
            f"management.tcp.ip = {self.place.host}",
            f"management.tcp.port = {self.http}",
            "management_agent.disable_metrics_collector = true",
        ]
        if first is not self:
            settings += [
                "cluster_formation.peer_discovery_backend = classic_config",
                f"cluster_formation.classic_config.nodes.1 = {first.name}",
                f"cluster_formation.classic_config.nodes.2 = {self.name}",
            ]
        (self.directory / "rabbitmq.conf").write_text("\n".join([*settings, ""]))
        (self.directory / "enabled_plugins").write_text("[rabbitmq_management].\n")
        # As the guide advises. A message that the next queue does not confirm is dead-lettered again after 180 s
        # as shipped; the run would wait for that after each crash.
        (self.directory / "advanced.config").write_text(
            "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 20000}]}, {kernel, [{net_ticktime, 15}]}].\n"
        )
        file = self.directory / ".erlang.cookie"
        file.write_text(cookie)
        file.chmod(0o400)

    def settings(self) -> dict[str, str]:
        address = "-kernel inet_dist_use_interface {" + self.place.host.replace(".", ",") + "}"
        return {
            "HOME": str(self.directory),
            "PATH": f"{SCRIPTS}:/usr/sbin:/usr/bin:/sbin:/bin",
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": self.place.host,
            "RABBITMQ_USE_LONGNAME": "false" if self.place.keeper is None else "true",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_DIST_PORT": str(self.distribution),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "data"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self.directory / "no-such-file"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.directory / "advanced.config"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(self.directory / "generated"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(self.directory / "pid"),
            # Three nodes share this machine with the gateway: fewer threads that only spin.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{address} +sbwt none +sbwtdcpu none +sbwtdio none",
            "RABBITMQ_CTL_ERL_ARGS": address,
        }

    def command(self, program: str, *arguments: str) -> list[str]:
        command = [program, *arguments]
        if self.root is not None:
            enter = ["unshare", "--mount", "sh", "-ec", ENTER, "enter", self.root, str(self.directory.parent)]
            command = enter + command
        return self.place.command(command)

    def start(self) -> None:
        """Starts it and returns at once."""
        self.kill()
        command = self.command(f"{SCRIPTS}/rabbitmq-server")
        self.server = processes.Process(f"node {self.number}", command, self.directory / "server.log", self.settings())

    def wait_until_up(self) -> None:
        processes.eventually(f"node {self.number}: {self.log_tail()}", START_SECONDS, self.is_up, every=0.5)

    def is_up(self) -> bool:
        return self.api.answers()

    def log_tail(self) -> str:
        return self.server.tail() if self.server else ""

    def ctl(self, *arguments: str, seconds: float = 120) -> str:
        command = self.command(f"{SCRIPTS}/rabbitmqctl", "--quiet", "--node", self.name, *arguments)
        return processes.run(command, self.settings(), seconds)

    def beam(self) -> int | None:
        """The process id of its Erlang VM, while it runs."""
        file = self.directory / "pid"
        text = file.read_text().strip() if file.exists() else ""
        return int(text) if text.isdigit() and processes.is_running(int(text)) else None

    def signal(self, number: signal.Signals) -> None:
        if pid := self.beam():
            os.kill(pid, number)

    def kill(self) -> None:
        """SIGKILL, and waits until it is gone."""
        if self.server is None:
            return
        self.signal(signal.SIGKILL)
        self.server.kill()
        processes.eventually("end of the node", 30, lambda: self.beam() is None)
        (self.directory / "pid").unlink(missing_ok=True)
        self.server = None

    def stop(self) -> None:
        """Stops it as an operator does. Without its pid file: the command would wait for this process to reap it."""
        with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
            self.ctl("stop", seconds=60)
            processes.eventually("end of the node", 60, lambda: self.beam() is None)
        self.kill()


class Cluster:
    """Three nodes."""

    def __init__(self, directory: pathlib.Path, places: list[Place] | None = None, root: str | None = None) -> None:
        self.places = places or [LOOPBACK] * 3
        shared = ports.free_port()
        self.nodes = [Node(i, directory / f"rabbit{i}", place, shared, root) for i, place in enumerate(self.places)]
        self.directory = directory
        self.epmds: list[processes.Process] = []

    def start(self) -> None:
        cookie = secrets.token_hex(16)
        for node in self.nodes:
            node.write_files(cookie, self.nodes[0])
            if node is self.nodes[0] or node.place.keeper is not None:
                self.start_epmd(node)
        self.nodes[0].start()
        self.nodes[0].wait_until_up()
        # Two that join at once may both believe to be the first.
        for node in self.nodes[1:]:
            node.start()
            node.wait_until_up()
        processes.eventually("cluster of three", 180, lambda: len(self.running()) == 3, every=0.5)

    def start_epmd(self, node: Node) -> None:
        command = node.command("epmd", "-port", str(node.epmd_port), "-address", node.place.host)
        log = self.directory / f"epmd{node.number}.log"
        self.epmds.append(processes.Process("epmd", command, log, node.settings()))

    def running(self) -> list[str]:
        return [node["name"] for node in self.any_api().get("/api/nodes") if node.get("running")]

    def any_api(self) -> management.Api:
        """The API of a node that answers."""
        for node in self.nodes:
            if node.server is not None and node.api.answers():
                return node.api
        raise RuntimeError("no node answers")

    def up(self) -> list[Node]:
        return [node for node in self.nodes if node.server is not None and node.is_up()]

    def leader_of(self, queue: str) -> Node:
        """The node that leads a quorum queue."""
        shown = self.any_api().get(f"/api/queues/%2f/{queue}")
        return next(node for node in self.nodes if node.name == (shown.get("leader") or shown["node"]))

    def wait_until_whole(self, seconds: float = 120) -> None:
        """Until three nodes run and no queue is without a quorum of members that have caught up."""
        for node in self.nodes:
            node.signal(signal.SIGCONT)
            if node.server is None or node.beam() is None:
                node.start()
        for node in self.nodes:
            node.wait_until_up()
        processes.eventually("cluster of three", seconds, lambda: len(self.running()) == 3, every=0.5)

        def critical() -> bool:
            return self.nodes[0].ctl("eval", "length(rabbit_quorum_queue:list_with_minimum_quorum()).").strip() == "0"

        processes.eventually("members that have caught up", seconds, critical, every=2)
