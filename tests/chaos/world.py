"""Everything that a scenario acts on: broker, database, gateway, target, callers, and the links between them."""

import contextlib
import json
import pathlib
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import gateway
import network
import ports
import postgres
import processes
import rabbitmq
import wire
from clocks import Clock
from disk_faults import DiskFaults
from links import Links
from store import Store

HERE = pathlib.Path(__file__).parent
PREFIX = "ringback"


@dataclass(frozen=True)
class Needs:
    """What a scenario runs on."""

    broker: str = "rabbitmq"  # or "embedded"
    # Connections to broker and database go through the fault proxy.
    proxied: bool = False
    # Each node of the cluster has a network of its own.
    networks: bool = False
    # A standby follows the database; `sync`: each commit waits for it.
    standby: str = ""
    # What is on a small disk of its own: "store" or "postgres"; and its size.
    small_disk: str = ""
    small_disk_mb: int = 0
    # "disk" or "clock": a library that is loaded into the gateway, for faults of the disk or of the wall clock.
    preload: str = ""
    # RabbitMQ users of the gateway; the default is the administrator.
    user: str = "guest"
    # How many files each role may have open.
    open_files: int | None = None
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """What whoever runs the suite chose."""

    binary: pathlib.Path
    seed: str
    rate: float
    minutes: float
    rabbitmq_root: str | None = None


class World:
    """Built by `start`, ended by the supervisor."""

    def __init__(self, needs: Needs, options: Options, directory: pathlib.Path, evidence: pathlib.Path) -> None:
        self.needs, self.options, self.directory, self.evidence = needs, options, directory, evidence
        self.links = Links(directory, options.seed)
        self.roles: list[gateway.Role] = []
        self.cluster: rabbitmq.Cluster | None = None
        self.network: network.Network | None = None
        self.database: postgres.Server | None = None
        self.standby: postgres.Server | None = None
        self.store: Store | None = None
        self.disk: DiskFaults | None = None
        self.clock: Clock | None = None
        self.sink_port = ports.free_port()
        self.load: processes.Process | None = None

    # ---- Starting

    def start(self) -> None:
        self.start_sink()
        if self.needs.broker == "embedded":
            self.add_embedded()
        else:
            self.start_database()
            self.start_cluster()
            self.add_roles()
        if self.needs.proxied:
            self.links.start()
        for role in self.roles:
            role.open_files = self.needs.open_files
            role.start()
        for role in self.roles:
            role.wait_until_ready()

    def start_sink(self) -> None:
        command = [sys.executable, "-B", str(HERE / "sink.py"), "--port", str(self.sink_port)]
        command += ["--arrivals", str(self.evidence / "arrivals.jsonl")]
        self.sink = processes.Process("sink", command, self.directory / "sink.log")

    def common(self) -> dict[str, str]:
        return {
            "RINGBACK__AUTH__MODE": "open",
            "RINGBACK__GUARD__ALLOW": "127.0.0.0/8",
            "RINGBACK__RETRY__SCHEDULE": "1s,1s,2s,2s,3s,3s,5s,5s",
            "RINGBACK__LOG__FORMAT": "json",
            # One target stands for many, and fails on purpose.
            "RINGBACK__LIMITS__BREAKER_MIN_CALLS": "0",
            "RINGBACK__LIMITS__IN_FLIGHT": "128",
            **self.needs.settings,
        }

    def add_embedded(self) -> None:
        data = self.directory / "data"
        if self.needs.small_disk == "store":
            data = self.small_disk("disk") / "data"
        self.store = Store(data)
        settings = {**self.common(), "RINGBACK__BROKER__DATA_DIR": str(data), **self.preloaded(data)}
        self.roles = [gateway.Role(self.options.binary, "serve", "serve", self.directory, settings)]

    def preloaded(self, data: pathlib.Path) -> dict[str, str]:
        if self.needs.preload == "disk":
            self.disk = DiskFaults(self.directory / "disk-faults", data)
            return self.disk.settings()
        if self.needs.preload == "clock":
            self.clock = Clock(self.directory / "clock")
            return self.clock.settings()
        return {}

    def small_disk(self, name: str) -> pathlib.Path:
        place = self.directory / name
        place.mkdir()
        size = f"size={self.needs.small_disk_mb}m,mode=0755"
        processes.run(["mount", "-t", "tmpfs", "-o", size, "chaos", str(place)])
        return place

    def start_database(self) -> None:
        directory = self.directory / "postgres"
        if self.needs.small_disk == "postgres":
            directory = self.small_disk("postgres")
        self.database = postgres.Server("postgres", directory)
        self.database.create()
        self.database.start()
        self.database.sql("CREATE DATABASE ringback", "postgres")
        if self.needs.standby:
            self.standby = postgres.Server("standby", self.directory / "standby")
            self.standby.create_standby_of(self.database)
            self.standby.start()
            if self.needs.standby == "sync":
                self.follow_synchronously()

    def follow_synchronously(self) -> None:
        """From now on a commit waits for the standby."""
        followers = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        processes.eventually("standby", 30, lambda: self.database.sql(followers, "postgres") == "1", every=0.3)
        self.database.sql("ALTER SYSTEM SET synchronous_standby_names = '*'", "postgres")
        self.database.sql("SELECT pg_reload_conf()", "postgres")

    def start_cluster(self) -> None:
        places = None
        if self.needs.networks:
            self.network = network.Network(3, self.directory)
            places = self.network.places
        self.cluster = rabbitmq.Cluster(self.directory, places, self.options.rabbitmq_root)
        self.cluster.start()
        if self.needs.user != "guest":
            self.add_user()

    def add_user(self) -> None:
        """The gateway's own user, which may be removed."""
        node = self.cluster.nodes[0]
        node.ctl("add_user", self.needs.user, "guest")
        self.permit_user()

    def permit_user(self) -> None:
        self.cluster.nodes[0].ctl("set_permissions", "-p", "/", self.needs.user, ".*", ".*", ".*")

    def add_roles(self) -> None:
        spool = self.directory / "spool"
        spool.mkdir()
        for role, count in (("ingress", 2), ("dispatcher", 2), ("admin", 2)):
            for number in range(count):
                name = f"{role}{number}"
                settings = {
                    **self.common(),
                    "RINGBACK__BROKER__URL": self.broker_url(name),
                    "RINGBACK__JOURNAL__URL": self.journal_url(name),
                    "RINGBACK__JOURNAL__SPOOL_DIR": str(spool),
                }
                self.roles.append(gateway.Role(self.options.binary, role, name, self.directory, settings))

    def broker_url(self, name: str) -> str:
        urls = []
        for node in self.cluster.nodes:
            host, port = node.place.host, node.amqp
            if self.needs.proxied:
                host, port = "127.0.0.1", self.links.add(f"{name}-broker{node.number}", host, port)
            urls.append(f"amqp://{self.needs.user}:guest@{host}:{port}/%2f")
        return ",".join(urls)

    def journal_url(self, name: str) -> str:
        addresses = []
        for server in filter(None, (self.database, self.standby)):
            port = server.port
            if self.needs.proxied:
                port = self.links.add(f"{name}-{server.name}", "127.0.0.1", port)
            addresses.append(f"127.0.0.1:{port}")
        return f"postgres://postgres@{','.join(addresses)}/ringback"

    def start_load(self) -> None:
        callers = [str(role.http) for role in self.roles if role.role in ("ingress", "serve")]
        command = [sys.executable, "-B", str(HERE / "load.py"), "--ports", ",".join(callers)]
        command += ["--sink", f"http://127.0.0.1:{self.sink_port}", "--seed", self.options.seed]
        command += ["--rate", str(self.options.rate), "--ledger", str(self.evidence / "ledger.jsonl")]
        self.load = processes.Process("load", command, self.directory / "load.log")
        # A starved machine may take its time to start it, and a run without load shows nothing.
        ledger = self.evidence / "ledger.jsonl"
        processes.eventually("callback sent", 120, lambda: ledger.exists() and ledger.stat().st_size)

    # ---- Looking

    def of(self, role: str) -> list[gateway.Role]:
        return [one for one in self.roles if one.role == role]

    def primary(self) -> postgres.Server:
        """The server that takes writes now."""
        for server in filter(None, (self.database, self.standby)):
            with contextlib.suppress(RuntimeError):
                if server.server is not None and server.sql("SELECT pg_is_in_recovery()", "postgres") == "f":
                    return server
        raise RuntimeError("no primary")

    def name(self, of: str) -> str:
        """The full name of a queue or exchange."""
        return f"{PREFIX}.{of}"

    def target(self, mode: str) -> None:
        """How the target answers everything: plan, fail, hang or slow."""
        body = json.dumps({"mode": mode}).encode()
        with socket.create_connection(("127.0.0.1", self.sink_port), timeout=5) as control:
            control.sendall(wire.request("POST", "/control", "sink", body))
            control.recv(1000)

    # ---- Healing

    def heal(self) -> None:
        """Ends every fault that is left, and waits until all is ready."""
        if self.disk is not None:
            self.disk.fail(False)
        if self.clock is not None:
            self.clock.set("+0")
        self.target("plan")
        if self.links.process is not None:
            self.links.heal()
        if self.network is not None:
            self.network.heal()
        if self.cluster is not None:
            self.cluster.wait_until_whole()
        if self.database is not None:
            self.heal_database()
        for role in self.roles:
            role.thaw()
        self.start_what_ended()

    def start_what_ended(self) -> None:
        """What the site's supervisor does."""
        for role in self.roles:
            if not role.alive():
                role.start()
        for role in self.roles:
            role.wait_until_ready()

    def heal_database(self) -> None:
        for server in filter(None, (self.database, self.standby)):
            server.signal(signal.SIGCONT)
        with contextlib.suppress(RuntimeError):
            self.primary()
            return
        self.database.start()

    def dead_processes(self) -> Iterator[str]:
        """What ended although nobody ended it. Called where no fault is in force."""
        for one in (self.sink, self.load, self.links.process):
            if one is not None and not one.alive():
                yield f"{one.name}: {one.tail()}"
