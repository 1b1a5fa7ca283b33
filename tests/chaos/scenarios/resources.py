"""What the machine gives and the targets do: few open files, targets that fail, hang or are slow."""

from evidence import Rules
from scenario import Run, scenario
from world import Needs


def target_fails(run: Run) -> None:
    mode = run.chance.choice(["fail", "hang", "slow"])
    with run.fault(f"all targets: {mode}"):
        run.world.target(mode)
        # Shorter than the schedule, which is spent after 22 s.
        run.pause(3, 10)
        run.world.target("plan")


@scenario(
    "targets-fail",
    "all targets fail, hang or are slow for 3 to 10 s",
    Needs(settings={"RINGBACK__DISPATCHER__ATTEMPT_TIMEOUT": "3s"}),
    Rules(accept_gap=20, deliver_gap=45),
)
def targets_fail(run: Run) -> None:
    while run.goes_on():
        run.pause(3, 8)
        target_fails(run)


@scenario(
    "few-files",
    "the roles may have few files open, and are killed at random",
    Needs(open_files=96),
    # All the time there are more callers than connections: one that is idle is closed, perhaps as it is used again.
    Rules(accept_gap=30, deliver_gap=45, refused_apart=5000),
)
def few_files(run: Run) -> None:
    while run.goes_on():
        run.pause(3, 8)
        role = run.chance.choice(run.world.roles)
        with run.fault(f"{role.role} killed"):
            role.restart()
            role.wait_until_ready()
