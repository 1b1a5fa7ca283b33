"""Faults of the roles: killed, frozen, restarted one after the other."""

import gateway
from evidence import Rules
from scenario import Run, scenario
from world import Needs


def killed(run: Run, role: gateway.Role) -> None:
    with run.fault(f"{role.role} killed"):
        role.kill()
        run.pause(0, 4)
        role.start()
        role.wait_until_ready()


def frozen(run: Run, role: gateway.Role) -> None:
    with run.fault(f"{role.role} frozen"):
        role.freeze()
        run.pause(3, 20)
        role.thaw()


@scenario(
    "roles-killed",
    "ingresses, dispatchers and admins are killed (SIGKILL) at random, and started again",
    rules=Rules(unrecorded=5),
)
def roles_killed(run: Run) -> None:
    while run.goes_on():
        run.pause(0.5, 5)
        killed(run, run.chance.choice(run.world.roles))


@scenario("roles-frozen", "ingresses, dispatchers and admins are stopped (SIGSTOP) for 3 to 20 s")
def roles_frozen(run: Run) -> None:
    while run.goes_on():
        run.pause(1, 5)
        frozen(run, run.chance.choice(run.world.roles))


@scenario(
    "rolling-restart",
    "each role in turn is stopped in order and started; nothing may come twice",
    Needs(),
    Rules(repeats=False),
)
def rolling_restart(run: Run) -> None:
    while run.goes_on():
        for role in run.world.roles:
            with run.fault(f"{role.role} restarted in order"):
                code = role.stop()
                if code != 0:
                    raise RuntimeError(f"{role.name} ended with {code}")
                role.start()
                role.wait_until_ready()
            run.pause(0.5, 2)
