"""The requests of a run, made from its seed before it starts."""

import random
from dataclasses import dataclass

from tests.poison.pictures import GOOD, Picture

SIZES = (1, 1, 1, 2, 4, 8, 16, 24)
BATCH_JOBS = 200
SLOW = "slower"
POISON = ("eat", "hang", "kill", "nan", "raise", "segfault")
# A poison picture that has to reach a limit occupies a process for seconds. So there are few of them.
MOST_OF_A_SLOW_POISON = 8


@dataclass
class Request:
    """One POST: some pictures with one Idempotency-Key."""

    key: str
    pictures: list[Picture]
    batch: int | None
    cache: bool
    again: bool
    """The request is sent again after its answer."""
    cancel: bool
    """The only job of the request is cancelled right after it is accepted."""
    first: int = 0
    """Number of jobs in the requests before it."""
    cancels_batch: bool = False
    """Its batch is cancelled right after it is accepted; later requests for the batch are refused."""


def plan_requests(run: str, jobs: int, seed: int, *, poison: bool = True) -> list[Request]:
    """`jobs` pictures in requests of 1 to 24, two thirds of them in batches; one in a hundred is poison.

    Without `poison` the pictures are for any model: they differ only in their colour."""
    chance = random.Random(f"{seed} requests")
    pictures = _pictures(jobs, chance, poison)
    requests: list[Request] = []
    first = in_batches = 0
    while first < jobs:
        size = min(chance.choice(SIZES), jobs - first)
        batch = in_batches // BATCH_JOBS if chance.random() < 0.67 else None
        in_batches += size if batch is not None else 0
        taken = pictures[first : first + size]
        alone_and_good = size == 1 and batch is None and taken[0].kind == GOOD
        requests.append(
            Request(
                key=f"{run}-{len(requests)}",
                pictures=taken,
                batch=batch,
                cache=chance.random() < 0.1,
                again=chance.random() < 0.05,
                cancel=alone_and_good and chance.random() < 0.1,
                first=first,
            )
        )
        first += size
    _cancel_batches(requests)
    return requests


def _cancel_batches(requests: list[Request]) -> None:
    """One batch in ten, beginning with the second one, is cancelled while it is being filled."""
    members: dict[int, list[Request]] = {}
    for request in requests:
        if request.batch is not None and request.batch % 10 == 1:
            members.setdefault(request.batch, []).append(request)
    for of_batch in members.values():
        of_batch[len(of_batch) * 2 // 3].cancels_batch = True


def _pictures(jobs: int, chance: random.Random, poisoned: bool) -> list[Picture]:
    kinds = [GOOD] * jobs
    for place in chance.sample(range(jobs), max(1, jobs // 20)):
        kinds[place] = SLOW
    counts = dict.fromkeys(POISON, max(1, jobs // 100 // len(POISON)))
    for slow in ("hang", "eat"):
        counts[slow] = min(counts[slow], MOST_OF_A_SLOW_POISON)
    wanted = [kind for kind in POISON for _ in range(counts[kind])]
    for place, kind in zip(chance.sample(range(jobs), min(len(wanted), jobs)), wanted, strict=False):
        kinds[place] = kind if poisoned else GOOD
    pictures = [Picture(kind, number) for number, kind in enumerate(kinds)]
    # Some are sent a second time: with `cache` they get the stored answer.
    for place in chance.sample(range(jobs), jobs // 20):
        earlier = chance.randrange(place + 1)
        if pictures[earlier].kind == pictures[place].kind == GOOD:
            pictures[place] = pictures[earlier]
    return pictures
