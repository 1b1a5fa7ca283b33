"""Faults of `ringback serve`: one process, one directory."""

import shutil
import sqlite3

import disks
import processes
from evidence import Rules
from scenario import Run, scenario
from world import Needs

EMBEDDED = Needs(broker="embedded")


# See Rules.unrecorded.
KILLED = Rules(unrecorded=5)


@scenario("embedded-kill", "`serve` is killed (SIGKILL) again and again, and started at once", EMBEDDED, KILLED)
def embedded_kill(run: Run) -> None:
    serve = run.world.roles[0]
    while run.goes_on():
        # Sometimes while it is still starting.
        run.pause(0.3, 6)
        with run.fault("serve killed"):
            serve.restart()
            if run.chance.random() < 0.8:
                serve.wait_until_ready()


@scenario("embedded-frozen", "`serve` is stopped (SIGSTOP) for 5 to 25 s", EMBEDDED, Rules(accept_gap=40))
def embedded_frozen(run: Run) -> None:
    serve = run.world.roles[0]
    while run.goes_on():
        run.pause(3, 8)
        with run.fault("serve frozen"):
            serve.freeze()
            run.pause(5, 25)
            serve.thaw()


@scenario("embedded-stop", "`serve` is stopped in order (SIGTERM) and started", EMBEDDED, Rules(repeats=False))
def embedded_stop(run: Run) -> None:
    serve = run.world.roles[0]
    while run.goes_on():
        run.pause(2, 8)
        with run.fault("serve stopped in order"):
            code = serve.stop()
            if code != 0:
                raise RuntimeError(f"serve ended with {code}")
            serve.start()
            serve.wait_until_ready()


@scenario(
    "embedded-disk-full",
    "the disk of `serve` is full, to the last byte",
    Needs(
        broker="embedded",
        small_disk="store",
        small_disk_mb=400,
        settings={"RINGBACK__BROKER__MIN_FREE_BYTES": "67108864"},
    ),
    Rules(accept_gap=45, deliver_gap=45),
)
def embedded_disk_full(run: Run) -> None:
    store = run.world.store
    while run.goes_on():
        run.pause(4, 8)
        with run.fault("disk full"):
            filled = disks.fill(store.directory.parent)
            run.pause(4, 12)
            filled.unlink()
        run.world.start_what_ended()


@scenario(
    "embedded-sync-fails",
    "fsync and fdatasync fail with EIO for a moment, now and then with a kill behind it",
    Needs(broker="embedded", preload="disk"),
    Rules(accept_gap=45, deliver_gap=45, unrecorded=5),
)
def embedded_sync_fails(run: Run) -> None:
    world = run.world
    while run.goes_on():
        run.pause(3, 6)
        with run.fault("syncs fail"):
            world.disk.fail(True)
            run.pause(0.2, 4)
            killed = run.chance.random() < 0.5
            if killed:
                world.roles[0].kill()
            world.disk.fail(False)
            if killed:
                world.roles[0].start()
        run.pause(1)
        world.start_what_ended()


@scenario(
    "embedded-power-cut",
    "`serve` is killed, and what was written and not synced is torn",
    # Records are not synced one by one: what a power failure takes of them is documented.
    Needs(broker="embedded", preload="disk"),
    Rules(unrecorded=1000),
)
def embedded_power_cut(run: Run) -> None:
    world = run.world
    serve = world.roles[0]
    while run.goes_on():
        run.pause(2, 7)
        with run.fault("power cut") as notes:
            serve.kill()
            notes["torn_writes"] = world.disk.lose_power(run.chance)
            serve.start()
            serve.wait_until_ready()


@scenario(
    "embedded-clock",
    "the wall clock of `serve` is set a day ahead, a day back, and right again",
    Needs(broker="embedded", preload="clock"),
    KILLED,
)
def embedded_clock(run: Run) -> None:
    world = run.world
    while run.goes_on():
        run.pause(3, 6)
        offset = run.chance.choice(["+1d", "-1d", "+1h", "-30"])
        with run.fault(f"clock set by {offset}"):
            world.clock.set(offset)
            run.pause(3, 10)
            if run.chance.random() < 0.4:
                world.roles[0].restart()
                run.pause(3)
            world.clock.set("+0")


@scenario(
    "embedded-backup",
    "backups are taken while `serve` works, and each must be whole; it is killed now and then",
    EMBEDDED,
    KILLED,
)
def embedded_backup(run: Run) -> None:
    world = run.world
    number = 0
    while run.goes_on():
        number += 1
        copy = world.directory / f"backup{number}"
        take = [str(world.options.binary), "backup", "--data-dir", str(world.store.directory), str(copy)]
        processes.run(take, seconds=120)
        for name in ("queue.db", "journal.db"):
            with sqlite3.connect(f"file:{copy / name}?mode=ro", uri=True) as backup:
                [(found,)] = backup.execute("PRAGMA integrity_check").fetchall()
            if found != "ok":
                raise RuntimeError(f"{name} of the backup: {found}")
        shutil.rmtree(copy)
        run.pause(0, 3)
        if run.chance.random() < 0.3:
            with run.fault("serve killed"):
                world.roles[0].restart()
                world.roles[0].wait_until_ready()
