"""Faults of the RabbitMQ cluster and of the way to it."""

import signal

from evidence import Rules
from scenario import Run, scenario
from world import Needs

# A node that ends is noticed at once, and another leads within seconds.
ENDED = Rules(accept_gap=15, deliver_gap=30)


def leader_lost(run: Run) -> None:
    cluster = run.world.cluster
    queue = run.chance.choice(["first", "retry", "journal", "delay.00"])
    node = cluster.leader_of(run.world.name(queue))
    with run.fault("leader killed"):
        node.kill()
        run.pause(2, 10)
        node.start()
        node.wait_until_up()
    cluster.wait_until_whole()


@scenario("leader-killed", "the node that leads a work queue is killed (SIGKILL), and started again", rules=ENDED)
def leader_killed(run: Run) -> None:
    while run.goes_on():
        run.pause(3, 8)
        leader_lost(run)


@scenario(
    "majority-killed", "two of three nodes are killed, and started again", rules=Rules(accept_gap=90, deliver_gap=120)
)
def majority_killed(run: Run) -> None:
    cluster = run.world.cluster
    while run.goes_on():
        run.pause(3, 8)
        with run.fault("two of three nodes killed"):
            nodes = run.chance.sample(cluster.nodes, 2)
            for node in nodes:
                node.kill()
            run.pause(5, 12)
            cluster.wait_until_whole()


@scenario(
    "node-frozen",
    "the node that leads a work queue is stopped (SIGSTOP) for 40 s",
    # It is noticed after 15 to 20 s (net_ticktime 15).
    rules=Rules(accept_gap=30, deliver_gap=45),
)
def node_frozen(run: Run) -> None:
    cluster = run.world.cluster
    while run.goes_on():
        run.pause(3, 8)
        node = cluster.leader_of(run.world.name("first"))
        with run.fault("node frozen for 40 s"):
            node.signal(signal.SIGSTOP)
            run.pause(40)
            node.signal(signal.SIGCONT)
        cluster.wait_until_whole()


def node_restarted(run: Run) -> None:
    cluster = run.world.cluster
    node = run.chance.choice(cluster.nodes)
    with run.fault("node restarted in order"):
        node.stop()
        node.start()
        node.wait_until_up()
    cluster.wait_until_whole()


@scenario("nodes-rolling", "the nodes are stopped in order and started, one after the other", rules=ENDED)
def nodes_rolling(run: Run) -> None:
    while run.goes_on():
        run.pause(3, 6)
        node_restarted(run)


def memory_alarm(run: Run) -> None:
    node = run.chance.choice(run.world.cluster.nodes)
    with run.fault("memory alarm"):
        node.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
        run.pause(5, 20)
        node.ctl("set_vm_memory_high_watermark", "0.4")


def disk_alarm(run: Run) -> None:
    node = run.chance.choice(run.world.cluster.nodes)
    with run.fault("disk alarm"):
        node.ctl("set_disk_free_limit", "900000GB")
        run.pause(5, 20)
        node.ctl("set_disk_free_limit", "1MB")


@scenario(
    "broker-alarms",
    "memory and disk alarms of a node: publishers are blocked",
    rules=Rules(accept_gap=60, deliver_gap=60),
)
def broker_alarms(run: Run) -> None:
    for fault in run.rounds(memory_alarm, disk_alarm):
        run.pause(3, 8)
        fault(run)


PROXIED = Needs(proxied=True)


def links_cut(run: Run) -> None:
    with run.fault("connections to the broker cut at random bytes"):
        smallest = run.chance.choice([1, 200, 5_000])
        run.world.links.set("*-broker*", {"cut_after": [smallest, smallest * 40]})
        run.pause(3, 8)
        run.world.links.heal()


def links_reset(run: Run) -> None:
    with run.fault("all connections to the broker reset"):
        run.world.links.cut(run.chance.choice(["*-broker*", "ingress*-broker*", "dispatcher*-broker*"]))


def links_slow(run: Run) -> None:
    with run.fault("latency of 50 ms to the broker"):
        run.world.links.set("*-broker*", {"latency": 0.05})
        run.pause(4, 8)
        run.world.links.heal()


def links_narrow(run: Run) -> None:
    with run.fault("20 kB/s to the broker"):
        run.world.links.set("*-broker*", {"bandwidth": 20_000})
        run.pause(4, 8)
        run.world.links.heal()


def links_held(run: Run) -> None:
    direction = run.chance.choice(["both", "up", "down"])
    with run.fault(f"connections to the broker silent ({direction})"):
        run.world.links.set(
            run.chance.choice(["ingress*-broker*", "dispatcher*-broker*", "*-broker*"]), {"hold": direction}
        )
        run.pause(5, 25)
        run.world.links.heal()
        if run.chance.random() < 0.5:
            run.world.links.cut("*-broker*")


@scenario(
    "broker-links",
    "connections to the broker: cut at a random byte, reset, slow, narrow, half-open, one way",
    PROXIED,
    Rules(accept_gap=60, deliver_gap=75),
)
def broker_links(run: Run) -> None:
    for fault in run.rounds(links_cut, links_reset, links_slow, links_narrow, links_held):
        run.pause(2, 5)
        fault(run)
