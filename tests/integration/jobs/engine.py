"""Short functions for the tests of the queue. Their pictures and workers do not exist."""

import hashlib
from collections.abc import Sequence
from typing import Any

from jobs import store
from jobs.database import Database
from jobs.queue import claims
from jobs.queue.claims import HeldClaim, Outcome
from jobs.records import ClaimableModel, DetectionRecord, JobRecord, NewJob, Picture
from jobs.tables import new_id

DIGEST = "d" * 64
BUTTON = DetectionRecord("button", 3, 0.9, 1.0, 2.0, 30.0, 40.0)


def picture(number: int) -> Picture:
    return Picture(hashlib.sha256(str(number).encode()).hexdigest(), "image/png", 100, 50, 1234)


def new_job(number: int = 0, *, model: str = "cards", runtime: str = "pytorch", **rest: Any) -> NewJob:
    return NewJob(model, DIGEST, runtime, picture(number), **{"cache": False, **rest})


def submit(db: Database, *jobs: NewJob, batch_id: str | None = None) -> list[JobRecord]:
    return store.submit(db, jobs, pipeline=1, batch_id=batch_id)


def take(
    db: Database, most: int = 8, *, lease: float = 15.0, task: str | None = None, model: str = "cards"
) -> HeldClaim:
    held = take_any(db, most, lease=lease, task=task, model=model)
    assert held is not None
    return held


def take_any(
    db: Database, most: int = 8, *, lease: float = 15.0, task: str | None = None, model: str = "cards"
) -> HeldClaim | None:
    return claims.claim(
        db,
        "pytorch",
        {model: ClaimableModel(DIGEST, most)},
        worker_id=new_id(),
        task_id=task or new_id(),
        lease_seconds=lease,
    )


def answer(held: HeldClaim, found: Sequence[DetectionRecord] = (BUTTON,)) -> list[Outcome]:
    return [Outcome(job.id, found, timings_ms={"inference": 1.5}) for job in held.jobs]


def finish(db: Database, held: HeldClaim) -> set[str]:
    return claims.finish(db, held, answer(held), device="cpu")


def ids(held: HeldClaim) -> list[str]:
    return [job.id for job in held.jobs]
