"""Removes one of the service's safeguards, to show that the checker notices.

Every Python process that has this folder on its path imports this module at its start. CHAOS_SABOTAGE names the
safeguard: `fence`, `sweep` or `lone`.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from jobs.clock import now
from jobs.queue import claims, recovery
from jobs.queue.claims import HeldClaim, Outcome
from jobs.records import DetectionRecord
from jobs.tables import FAILED, SUCCEEDED, Detection, Job


def _without_fence() -> None:
    """A worker writes its answers although it has lost its claim."""
    insert_detections = claims.insert_detections

    def write_answers(
        connection: Connection, held: HeldClaim, outcomes: Sequence[Outcome], device: str
    ) -> dict[str, str | None]:
        written = {}
        for outcome in outcomes:
            update = (
                sa.update(Job)
                .where(Job.id == outcome.job_id)
                .values(
                    status=FAILED if outcome.error_code else SUCCEEDED,
                    error_code=outcome.error_code,
                    error_message=outcome.error_message,
                    device=device,
                    finished_at=now(),
                )
                .returning(Job.batch_id)
            )
            written[outcome.job_id] = connection.scalar(update)
        return written

    def replace_detections(connection: Connection, found: Mapping[str, Sequence[DetectionRecord]]) -> None:
        connection.execute(sa.delete(Detection).where(Detection.job_id.in_(found)))
        insert_detections(connection, found)

    end = claims._end

    def end_and_go_on(connection: Connection, held: HeldClaim, outcome: str) -> bool:
        end(connection, held, outcome)
        return True

    claims._end = end_and_go_on
    claims._write_answers = write_answers
    claims.insert_detections = replace_detections


def _without_sweep() -> None:
    """The sweep leaves expired leases as they are."""
    from jobs.queue import sweep

    sweep.expire_leases = lambda db: set()


def _without_lone_retry() -> None:
    """A crash counts against every job that the process held."""
    requeue = recovery._requeue

    def count_against_all(connection: Connection, jobs: Sequence[Any], **marks: Any) -> None:
        if not marks.pop("suspect", False):
            requeue(connection, jobs, **marks)
            return
        for job in jobs:
            if job.deaths + 1 >= recovery.MAX_CRASHES:
                recovery._fail(connection, job, recovery.WORKER_LOST, "", deaths=Job.deaths + 1)
            else:
                requeue(connection, [job], deaths=Job.deaths + 1)

    recovery._requeue = count_against_all


{"fence": _without_fence, "sweep": _without_sweep, "lone": _without_lone_retry}[os.environ["CHAOS_SABOTAGE"]]()
