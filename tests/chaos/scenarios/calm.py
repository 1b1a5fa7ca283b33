"""No faults: what the checker finds here is wrong in the suite, or very wrong in the gateway."""

from evidence import Rules
from scenario import Run, scenario
from world import Needs


@scenario("calm", "no faults, on RabbitMQ", rules=Rules(repeats=False, accept_gap=10, deliver_gap=10))
def calm(run: Run) -> None:
    while run.goes_on():
        run.pause(0.5)


@scenario(
    "embedded-calm",
    "no faults, on the embedded store",
    Needs(broker="embedded"),
    Rules(repeats=False, accept_gap=10, deliver_gap=10),
)
def embedded_calm(run: Run) -> None:
    while run.goes_on():
        run.pause(0.5)
