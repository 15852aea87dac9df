"""What is wrong with a queue and what to do next, in words, from what the service tells of it."""

from collections.abc import Iterator
from typing import Any

# Digests are long; so much of one tells versions apart.
DIGEST_LENGTH = 12
# A queue in which nothing moved for so long is stuck, not slow to start.
STILL_SECONDS = 60.0


def troubles(queue: dict[str, Any]) -> list[str]:
    """A sentence or two for each trouble; none where all is well."""
    return [
        f"{queue['runtime']}: {sentence}"
        for part in (_workers, _unserved, _outages, _late, _still, _full)
        for sentence in part(queue)
    ]


def _workers(queue: dict[str, Any]) -> Iterator[str]:
    lost = _lost(queue["workers_lost"])
    if not queue["workers"] and (queue["queued"] or queue["running"] or lost):
        since = f"; {lost}" if lost else ""
        yield f"no live worker{since}. Start one: `boxqueue up`, or `python -m worker {queue['runtime']}`."
    elif lost:
        yield f"{lost}. If nothing was to start again in its place, look at its machine and its log."


def _lost(number: int) -> str:
    if not number:
        return ""
    who = "1 worker was" if number == 1 else f"{number} workers were"
    return f"{who} lost (killed, hanging or cut off) within the last minutes"


def _unserved(queue: dict[str, Any]) -> Iterator[str]:
    for one in queue["unserved"] if queue["workers"] else []:
        version = one["digest"][:DIGEST_LENGTH]
        if one["current"]:
            yield (
                f"{one['queued']} jobs wait for {one['model']}, which no live worker serves. "
                f"The workers' logs say why it is not loaded."
            )
        else:
            yield (
                f"{one['queued']} jobs wait for another version of {one['model']} ({version}…) than the catalogue has. "
                f"They get the one that it has when a worker serves that; the workers' logs say why none does."
            )


def _outages(queue: dict[str, Any]) -> Iterator[str]:
    for one in queue["outages"]:
        yield (
            f"the server of {one['model']} does not answer since {one['since']} ({one['code']}): {one['message']} "
            f"Its jobs wait, and go on by themselves when it does."
        )


def _late(queue: dict[str, Any]) -> Iterator[str]:
    if queue["late"]:
        then = "a worker's next sweep puts them back" if queue["workers"] else "`boxqueue sweep` puts them back now"
        yield f"{queue['late']} running jobs are past their lease: who has them died or hangs; {then}."


def _still(queue: dict[str, Any]) -> Iterator[str]:
    served = queue["queued"] - sum(one["queued"] for one in queue["unserved"])
    waits_long = (queue["oldest_s"] or 0) > STILL_SECONDS
    moves = queue["rate_per_s"] or queue["running"]
    if not (served and queue["workers"] and waits_long) or moves or queue["outages"]:
        return
    if queue["doorbells"] is None:
        yield "its workers take nothing, because Redis does not answer. Start it again; no job is lost by that."
    else:
        yield "its workers live but take nothing: their logs say why. `boxqueue sweep` rings for them once more."


def _full(queue: dict[str, Any]) -> Iterator[str]:
    if queue["full_up_to_priority"] is not None:
        yield (
            f"full: pictures of priority {queue['full_up_to_priority']} and lower are answered 429 and have to come "
            f"again. More workers empty it sooner; BOXQUEUE_MAX_QUEUED_JOBS and _SECONDS set how much may wait."
        )
