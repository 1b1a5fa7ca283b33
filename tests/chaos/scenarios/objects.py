"""Objects of the broker are removed or changed by an operator, and restored."""

import topology
from evidence import Rules
from scenario import Run, scenario
from world import Needs

# A user who may do everything, and who may be removed.
NEEDS = Needs(user="gateway")
RULES = Rules(accept_gap=60, deliver_gap=75)


def binding_removed(run: Run) -> None:
    world = run.world
    api = world.cluster.any_api()
    exchange, queue = run.chance.choice(
        [("in", "first"), ("due", "retry"), ("journal", "journal"), ("delay.00", "delay.00")]
    )
    names = world.name(exchange), world.name(queue)
    with run.fault(f"binding {exchange} to {queue} removed"):
        bindings = topology.remove_binding(api, *names)
        run.pause(3, 12)
        topology.restore_binding(api, *names, bindings)


def exchange_removed(run: Run) -> None:
    world = run.world
    api = world.cluster.any_api()
    exchange = run.chance.choice(["in", "journal", "dead", "reply", "control"])
    definitions = topology.definitions(api)
    with run.fault(f"exchange {exchange} removed"):
        topology.remove_exchange(api, world.name(exchange))
        run.pause(3, 12)
        topology.import_definitions(api, definitions)


def queue_removed(run: Run) -> None:
    world = run.world
    api = world.cluster.any_api()
    queue = run.chance.choice(["first", "retry", "delay.00", "delay.01"])
    definitions = topology.definitions(api)
    name = f"queue {queue} removed"
    with run.fault(name):
        # What is in it is gone: the checker permits the loss of what was accepted before this moment.
        with run.fault(name, destroys=True):
            topology.remove_queue(api, world.name(queue))
        run.pause(3, 12)
        topology.import_definitions(api, definitions)


def vhost_removed(run: Run) -> None:
    world = run.world
    api = world.cluster.any_api()
    definitions = topology.definitions(api)
    name = "virtual host removed"
    with run.fault(name):
        with run.fault(name, destroys=True) as notes:
            notes["whole"] = True
            topology.remove_vhost(api)
        run.pause(4, 12)
        if run.chance.random() < 0.5:
            topology.import_definitions(api, definitions)
        else:
            # The gateway declares its objects itself.
            topology.restore_vhost(api, NEEDS.user)


def policy_set(run: Run) -> None:
    api = run.world.cluster.any_api()
    limit = run.chance.choice([0, 5, 100])
    pattern = run.chance.choice(["first", "retry", "journal", "delay", "(first|retry|journal|delay.*)"])
    with run.fault(f"policy: at most {limit} messages in {pattern}"):
        topology.set_policy(api, "chaos", rf"^ringback\.{pattern}", {"max-length": limit, "overflow": "reject-publish"})
        run.pause(4, 12)
        topology.remove_policy(api, "chaos")


def permissions_removed(run: Run) -> None:
    api = run.world.cluster.any_api()
    with run.fault("permissions removed"):
        topology.set_permissions(api, NEEDS.user, "^$")
        topology.close_connections(api, NEEDS.user)
        run.pause(4, 12)
        topology.set_permissions(api, NEEDS.user, ".*")


def user_removed(run: Run) -> None:
    api = run.world.cluster.any_api()
    with run.fault("user removed"):
        topology.remove_user(api, NEEDS.user)
        topology.close_connections(api, NEEDS.user)
        run.pause(4, 12)
        topology.set_user(api, NEEDS.user, "guest")
        topology.set_permissions(api, NEEDS.user, ".*")


@scenario("objects-removed", "bindings and exchanges of the broker are removed, and restored", NEEDS, RULES)
def objects_removed(run: Run) -> None:
    for fault in run.rounds(binding_removed, exchange_removed):
        run.pause(3, 8)
        fault(run)


@scenario("queues-removed", "queues are removed with what is in them, and restored empty", NEEDS, RULES)
def queues_removed(run: Run) -> None:
    while run.goes_on():
        run.pause(3, 8)
        queue_removed(run)


@scenario(
    "vhost-removed",
    "the virtual host is removed with all that is in it, and restored, empty",
    NEEDS,
    RULES,
)
def vhost_scenario(run: Run) -> None:
    while run.goes_on():
        run.pause(6, 10)
        vhost_removed(run)


@scenario(
    "policies-set", "policies bound the length of queues, so that publishes are refused, and are removed", NEEDS, RULES
)
def policies_set(run: Run) -> None:
    while run.goes_on():
        run.pause(3, 8)
        policy_set(run)


@scenario("rights-removed", "the gateway's user or its permissions are removed, and restored", NEEDS, RULES)
def rights_removed(run: Run) -> None:
    for fault in run.rounds(permissions_removed, user_removed):
        run.pause(3, 8)
        fault(run)
