"""Sentences about what is wrong with a queue and what to do next, from what the service reports about it."""

from collections.abc import Iterator
from typing import Any

# The leading characters of a digest that are shown: enough to distinguish versions of a model.
DIGEST_LENGTH = 12
# A queue in which nothing moved for this long is stuck, not slow to start.
STALLED_SECONDS = 60.0


def diagnose(queue: dict[str, Any]) -> list[str]:
    """A sentence or two for each problem of a queue of `GET /v1/queues`; an empty list if there is none."""
    return [
        f"{queue['runtime']}: {sentence}"
        for check in (_workers, _unserved, _outages, _late, _stalled, _full)
        for sentence in check(queue)
    ]


def _workers(queue: dict[str, Any]) -> Iterator[str]:
    lost = _lost(queue["workers_lost"])
    if not queue["workers"] and (queue["queued"] or queue["running"] or lost):
        since = f"; {lost}" if lost else ""
        yield f"no live worker{since}. Start one: `boxqueue up`, or `python -m worker {queue['runtime']}`."
    elif lost:
        yield f"{lost}. If no new worker replaces it, look at its machine and its log."


def _lost(number: int) -> str:
    if not number:
        return ""
    workers = "1 worker was" if number == 1 else f"{number} workers were"
    return f"{workers} lost (killed, hanging or cut off) within the last minutes"


def _unserved(queue: dict[str, Any]) -> Iterator[str]:
    for model in queue["unserved"] if queue["workers"] else []:
        if model["current"]:
            yield (
                f"{model['queued']} jobs wait for {model['model']}, which no live worker serves. "
                f"The workers' logs say why it is not loaded."
            )
        else:
            version = model["digest"][:DIGEST_LENGTH]
            yield (
                f"{model['queued']} jobs wait for version {version}… of {model['model']}, but the catalogue has "
                f"another. They run with the catalogue's version as soon as a worker serves it. The workers' logs say "
                f"why none does."
            )


def _outages(queue: dict[str, Any]) -> Iterator[str]:
    for outage in queue["outages"]:
        yield (
            f"the server of {outage['model']} has not answered since {outage['since']} ({outage['code']}): "
            f"{outage['message']} Its jobs wait, and continue without your help when it answers again."
        )


def _late(queue: dict[str, Any]) -> Iterator[str]:
    if queue["late"]:
        then = "a worker's next sweep requeues them" if queue["workers"] else "`boxqueue sweep` requeues them now"
        yield f"{queue['late']} running jobs are past their lease: their worker crashed or hangs; {then}."


def _stalled(queue: dict[str, Any]) -> Iterator[str]:
    served = queue["queued"] - sum(model["queued"] for model in queue["unserved"])
    waits_long = (queue["oldest_s"] or 0) > STALLED_SECONDS
    moves = queue["rate_per_s"] or queue["running"]
    if not (served and queue["workers"] and waits_long) or moves or queue["outages"]:
        return
    if queue["doorbells"] is None:
        yield "its workers take no jobs, because Redis does not answer. Start Redis again; no job is lost."
    else:
        yield "its workers are alive but take no jobs: their logs say why. `boxqueue sweep` rings for the jobs again."


def _full(queue: dict[str, Any]) -> Iterator[str]:
    if queue["full_up_to_priority"] is not None:
        yield (
            f"full: pictures of priority {queue['full_up_to_priority']} and lower are refused with 429; clients have "
            f"to send them again. More workers empty it sooner; BOXQUEUE_MAX_QUEUED_JOBS and _SECONDS set its limits."
        )
