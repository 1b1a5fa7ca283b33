"""Faults that are built into the gateway on purpose, one for each promise. The checker must find every one of them.

Not listed among all scenarios: they need a build with the fail points, see tests/chaos/failpoints. `sabotage!` in
crates/ says what each does.
"""

from collections.abc import Callable
from dataclasses import dataclass

import crashes
from crashes import Point
from evidence import Rules
from scenario import Run, scenario
from world import Needs

# The gateway finds it itself: at its next start it says what is lost, and does not open its store.
REFUSED = "refused start"
REFUSAL = "holds a queue that cannot be opened"
LOOSE = Rules(accept_gap=600, deliver_gap=600)


@dataclass(frozen=True)
class Sabotage:
    """A deliberate fault, and the check that finds it."""

    name: str
    what: str
    # The class of findings by which it is caught; or REFUSED.
    found: str
    faults: Callable[[Run, "Sabotage"], None]
    broker: str = "embedded"
    # How often it happens, in the syntax of the crate `fail`.
    action: str = "return"
    preload: str = ""

    @property
    def switched_on(self) -> str:
        return f"{self.name}={self.action}"

    @property
    def scenario(self) -> str:
        return f"sabotage-{self.name}" + ("" if self.broker == "embedded" else f"-{self.broker}")


def calm(run: Run, _: Sabotage) -> None:
    """Nothing else happens."""
    run.pause(12)


def killed(run: Run, _: Sabotage) -> None:
    """Processes are killed now and then."""
    for _ in range(8):
        run.pause(0.5, 2)
        roles = [it for it in run.world.roles if it.role != "admin"]
        role = run.chance.choice(roles)
        with run.fault(f"{role.role} killed"):
            role.restart()
            role.wait_until_ready()


def crashed_at(name: str, kind: str) -> Callable[[Run, Sabotage], None]:
    """Processes of a kind end at a step."""

    def faults(run: Run, sabotage: Sabotage) -> None:
        for role in run.world.of(kind)[:1]:
            plan = crashes.Plan.of((Point(name, "", 20, sabotage.switched_on),), 5, run.chance)
            crashes.crash(run, role, plan)

    return faults


def power_cut(run: Run, _: Sabotage) -> None:
    """The power fails, and takes what was not synced."""
    serve = run.world.roles[0]
    for _ in range(5):
        run.pause(1, 3)
        with run.fault("power cut"):
            serve.kill()
            run.world.disk.lose_power(run.chance)
            serve.start()
            serve.wait_until_ready()


SABOTAGES = (
    Sabotage("answer-before-confirm", "`000` before the store has it", "lost", crashed_at("store.begin", "serve")),
    Sabotage(
        "answer-before-confirm",
        "`000` before RabbitMQ has confirmed",
        "lost",
        crashed_at("rabbitmq.publish", "ingress"),
        "rabbitmq",
    ),
    Sabotage("answer-before-sync", "`000` before the store is synced", REFUSED, power_cut, preload="disk"),
    Sabotage("skip-follow-up", "settled without the message of the next attempt", "lost", calm, action="30%return"),
    Sabotage("skip-dead-letter", "given up without a dead letter", "untrue", calm, action="30%return"),
    Sabotage("ack-before-follow-up", "acked before the follow-up is durable", "lost", killed, "rabbitmq"),
    Sabotage("ack-multiple", "acks that reach beyond the lowest unsettled tag", "lost", killed, "rabbitmq"),
    Sabotage("refuse-published", "refused, although it is queued", "invented", calm, action="5%return"),
    Sabotage("ignore-key", "a request with a key is published again, under another id", "invented", killed),
    Sabotage("alter-retry", "the second attempt has other bytes", "altered", calm, action="30%return"),
    Sabotage("deliver-again", "delivered again after its success", "duplicated", calm, action="5%return"),
    Sabotage("retry-early", "an attempt that does not wait for its delay", "reordered", calm, action="30%return"),
    Sabotage(
        "forget-acceptance",
        "an acceptance that is not recorded and taken for none",
        "denied",
        calm,
        action="50%return",
    ),
    Sabotage("forget-record", "the record of an attempt is forgotten", "unrecorded", calm, action="20%return"),
    Sabotage("record-delivered", "recorded as delivered, and it was not", "untrue", calm, action="30%return"),
    Sabotage("ignore-cancel", "what was cancelled is attempted", "untrue", calm, "rabbitmq"),
)


def enter(sabotage: Sabotage) -> None:
    settings = {"FAILPOINTS": sabotage.switched_on}
    needs = Needs(broker=sabotage.broker, preload=sabotage.preload, settings=settings)

    @scenario(sabotage.scenario, f"{sabotage.what}: passes only if it is found", needs, LOOSE, listed=False)
    def run(run: Run) -> None:
        crashes.require_fail_points(run.world.options.binary)
        sabotage.faults(run, sabotage)


for one in SABOTAGES:
    enter(one)
