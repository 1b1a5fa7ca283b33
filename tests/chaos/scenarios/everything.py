"""Everything at once: two faults at a time, chosen by the seed."""

import random
import threading

from evidence import Rules
from scenario import Run, scenario
from scenarios import broker, database, partitions, processes_of_the_gateway
from world import Needs

ROLES = [
    lambda run: processes_of_the_gateway.killed(run, run.chance.choice(run.world.roles)),
    lambda run: processes_of_the_gateway.frozen(run, run.chance.choice(run.world.roles)),
]
BROKER = [
    broker.leader_lost,
    broker.node_restarted,
    broker.memory_alarm,
    broker.links_cut,
    broker.links_reset,
    broker.links_slow,
    broker.links_held,
]
DATABASE = [database.killed, database.frozen, database.read_only, database.links_silent, database.links_cut]


def one_after_the_other(run: Run, faults: list, failures: list[BaseException]) -> None:
    try:
        for fault in run.rounds(*faults):
            run.pause(1, 8)
            fault(run)
    except BaseException as failure:
        failures.append(failure)


def at_once(run: Run, *groups: list) -> None:
    """Each group's faults one after the other, the groups beside each other."""
    failures: list[BaseException] = []
    threads = []
    for group in groups:
        # The seed's choice for each group, whatever the others do.
        beside = run.beside(random.Random(run.chance.random()))
        threads.append(threading.Thread(target=one_after_the_other, args=[beside, group, failures]))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@scenario(
    "everything",
    "roles, broker and database each have a fault at the same time",
    Needs(proxied=True),
    Rules(accept_gap=120, deliver_gap=150, unrecorded=20),
)
def everything(run: Run) -> None:
    at_once(run, ROLES, BROKER, DATABASE)


@scenario(
    "everything-apart",
    "the network between the nodes, roles and database each have a fault at the same time",
    Needs(networks=True, proxied=True),
    Rules(accept_gap=120, deliver_gap=150, unrecorded=20),
)
def everything_apart(run: Run) -> None:
    at_once(run, [partitions.node_cut_off, partitions.one_way, partitions.between_two], ROLES, DATABASE)
