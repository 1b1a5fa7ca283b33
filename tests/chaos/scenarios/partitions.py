"""The nodes of the cluster lose each other: both ways, one way, and from the gateway."""

from evidence import Rules
from scenario import Run, scenario
from world import Needs

NETWORKS = Needs(networks=True)
RULES = Rules(accept_gap=40, deliver_gap=60)


def node_cut_off(run: Run) -> None:
    number = run.chance.randrange(3)
    with run.fault("node cut off the network"):
        run.world.network.cut(number)
        run.pause(8, 40)
        run.world.network.join(number)
    run.world.cluster.wait_until_whole()


def one_way(run: Run) -> None:
    one, other = run.chance.sample(range(3), 2)
    with run.fault("one node silent towards another (one way)"):
        run.world.network.silence(one, other)
        run.pause(8, 40)
        run.world.network.heal()
    run.world.cluster.wait_until_whole()


def between_two(run: Run) -> None:
    one, other = run.chance.sample(range(3), 2)
    with run.fault("two nodes cannot reach each other"):
        run.world.network.silence(one, other)
        run.world.network.silence(other, one)
        run.pause(8, 40)
        run.world.network.heal()
    run.world.cluster.wait_until_whole()


@scenario("partitions", "nodes lose each other for 8 to 40 s: wholly, one way, or two of three", NETWORKS, RULES)
def partitions(run: Run) -> None:
    for fault in run.rounds(node_cut_off, one_way, between_two):
        run.pause(3, 8)
        fault(run)
