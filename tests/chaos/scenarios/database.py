"""Faults of PostgreSQL: callbacks are accepted and delivered all the time."""

import shutil
import signal

import disks
from evidence import Rules
from scenario import Run, scenario
from world import Needs

# The journal's outage must not be seen by callers and targets.
UNSEEN = Rules(accept_gap=20, deliver_gap=20)


def killed(run: Run) -> None:
    with run.fault("database killed"):
        run.world.database.kill()
        run.pause(1, 15)
        run.world.database.start()


def frozen(run: Run) -> None:
    with run.fault("database frozen"):
        run.world.database.signal(signal.SIGSTOP)
        run.pause(5, 25)
        run.world.database.signal(signal.SIGCONT)


def read_only(run: Run) -> None:
    database = run.world.database
    with run.fault("database read-only"):
        database.sql("ALTER SYSTEM SET default_transaction_read_only = on", "postgres")
        database.sql("SELECT pg_reload_conf()", "postgres")
        run.pause(4, 12)
        # Not a transaction of its own, so it is permitted in a session that is read-only.
        database.sql("ALTER SYSTEM RESET default_transaction_read_only", "postgres")
        database.sql("SELECT pg_reload_conf()", "postgres")


@scenario("database-killed", "PostgreSQL is killed (all its processes at once) or stopped (SIGSTOP)", rules=UNSEEN)
def database_killed(run: Run) -> None:
    for fault in run.rounds(killed, frozen):
        run.pause(3, 8)
        fault(run)


@scenario("database-read-only", "PostgreSQL takes no writes for 4 to 12 s", rules=UNSEEN)
def database_read_only(run: Run) -> None:
    while run.goes_on():
        run.pause(3, 8)
        read_only(run)


@scenario("database-full", "the disk of PostgreSQL is full", Needs(small_disk="postgres", small_disk_mb=400), UNSEEN)
def database_full(run: Run) -> None:
    database = run.world.database
    while run.goes_on():
        run.pause(5, 10)
        with run.fault("database's disk full"):
            filled = disks.fill(database.directory)
            run.pause(8, 20)
            filled.unlink()
            # It may have ended.
            database.start()


@scenario(
    "database-failover",
    "PostgreSQL is killed, its synchronous standby promoted, and a new standby made",
    Needs(standby="sync"),
    UNSEEN,
)
def database_failover(run: Run) -> None:
    world = run.world
    while run.goes_on():
        run.pause(4, 8)
        with run.fault("database failed over"):
            world.database.kill()
            run.pause(0, 5)
            world.standby.promote()
        world.database, world.standby = world.standby, world.database
        run.pause(3, 6)
        # Until it follows, commits need no standby.
        shutil.rmtree(world.standby.data)
        world.standby.create_standby_of(world.database)
        world.standby.start()
        world.follow_synchronously()


def links_silent(run: Run) -> None:
    with run.fault("connections to the database silent"):
        run.world.links.set("*-postgres", {"hold": run.chance.choice(["both", "up", "down"])})
        run.pause(5, 20)
        run.world.links.heal()


def links_cut(run: Run) -> None:
    with run.fault("connections to the database cut at random bytes"):
        run.world.links.set("*-postgres", {"cut_after": [1, 20_000]})
        run.pause(3, 8)
        run.world.links.heal()


def links_slow(run: Run) -> None:
    with run.fault("latency of 100 ms to the database"):
        run.world.links.set("*-postgres", {"latency": 0.1})
        run.pause(4, 8)
        run.world.links.heal()


@scenario(
    "database-links", "connections to PostgreSQL: cut at a random byte, slow, half-open", Needs(proxied=True), UNSEEN
)
def database_links(run: Run) -> None:
    for fault in run.rounds(links_silent, links_cut, links_slow):
        run.pause(2, 5)
        fault(run)
