"""Which faults come, in which order, and how long after the pictures before them: settled by the seed."""

import random
from dataclasses import dataclass

from tests.chaos.breaking.faults import Fault, Faults

# Of a hundred kills: the children most of all, for they do the work.
KILLS = {"kill_child": 46, "kill_parent": 12, "kill_worker": 14, "kill_api": 20, "kill_supervisor": 8}


@dataclass(frozen=True)
class Step:
    """Pictures are let in, `after_s` later the fault is applied, and `pause_s` after the recovery it goes on.

    `busy`: not before a job runs.
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
    """`only` names one kind of fault (`kill_worker`), which then comes in place of all kills, and nothing else."""
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
        # The API is to be hit while it takes pictures in, everything else while it works on them.
        busy = name != "kill_api"
        after_s = chance.uniform(0, 0.4 if busy else 0.15)
        steps.append(Step(fault, busy, after_s, chance.uniform(0, 1)))
    return steps


def _kills(number: int, chance: random.Random) -> list[str]:
    """At least one of each kind where there are enough of them."""
    names = list(KILLS)[: max(0, number)]
    names += chance.choices(list(KILLS), list(KILLS.values()), k=max(0, number - len(names)))
    return names
