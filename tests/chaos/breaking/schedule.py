"""The schedule, made from the seed: which faults, in which order, and when."""

import random
from dataclasses import dataclass

from tests.chaos.breaking.faults import Fault, Faults

# In percent. The children are hit most, since they do the work.
KILLS = {"kill_child": 46, "kill_parent": 12, "kill_worker": 14, "kill_api": 20, "kill_supervisor": 8}


@dataclass(frozen=True)
class Step:
    """`after_s` after pictures are sent the fault is applied; `pause_s` after the recovery comes the next step.

    With `busy` the fault waits until a job runs.
    """

    fault: Fault
    busy: bool
    after_s: float
    pause_s: float


def make_schedule(
    faults: Faults,
    seed: int,
    *,
    kills: int,
    redis_restarts: int,
    database_restarts: int,
    postgresql: bool,
    disk: bool,
    only: str = "",
) -> list[Step]:
    """With `only` there are `kills` faults of this one kind (`kill_worker`), and no others."""
    chance = random.Random(f"{seed} schedule")
    if only:
        names = [only] * kills
    else:
        names = _kills(kills, chance)
        some, few = max(1, kills // 20), max(1, kills // 33)
        names += ["terminate_parent", "terminate_child"] * some
        names += ["freeze_worker", "lose_store"] * few
        names += ["restart_redis"] * redis_restarts
        names += ["empty_redis", "freeze_redis"] * (-(-redis_restarts // 3))
        names += ["restart_database"] * database_restarts if postgresql else []
        names += ["cut_connections"] * few if postgresql else ["lock_database"] * min(database_restarts, few)
        names += ["fill_disk"] * few if disk else []
        chance.shuffle(names)
    steps = []
    for name in names:
        fault: Fault = getattr(faults, name)()
        # The API is hit while it accepts pictures, everything else while jobs run.
        busy = name != "kill_api"
        after_s = chance.uniform(0, 0.4 if busy else 0.15)
        steps.append(Step(fault, busy, after_s, chance.uniform(0, 1)))
    return steps


def _kills(number: int, chance: random.Random) -> list[str]:
    """At least one of each kind, if there are enough."""
    names = list(KILLS)[: max(0, number)]
    names += chance.choices(list(KILLS), list(KILLS.values()), k=max(0, number - len(names)))
    return names
