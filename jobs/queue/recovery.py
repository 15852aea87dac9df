"""Recovery: what becomes of jobs whose claim ended without an answer.

A job that crashes its worker must fail in the end, so that it stops doing so. A job that was only there when another
one crashed the worker must not fail. So a crash counts against a job only if its worker held no other job:

- Several jobs were held: all of them become suspects. A suspect is claimed alone from then on.
- One job was held, and its worker crashed: a crash is counted. At `MAX_CRASHES` the job fails. It fails at once if
  the signal of the crash proves that the job was the cause (a segmentation fault).
- One job was held, and its lease expired: the worker may be frozen or cut off from the database, so this is no crash.
  An absence is counted, and taken back when the worker shows that it is alive. At `MAX_ABSENCES` the job fails,
  because by then it may have stopped whole machines.
- One job was at a model server that gave no answer: the first time the job only becomes a suspect, since the server
  was not probed before. After that an absence is counted, and the job goes behind all jobs that wait, so that they
  have their answers before the server is at risk again. With an absence, a job has the server for itself
  (`jobs/queue/server_exclusivity.py`), so no other picture can be the cause.
- A task was interrupted (its worker shut down, or lost the database): its jobs are queued again, unchanged.

The watchdog writes a cause on the claims of a process before it kills it. With such a cause an absence is a crash.
"""

import logging
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from jobs.batches import OPEN_STATUSES, add_counts, mark_finished
from jobs.clock import now
from jobs.database import AnyRow, Database
from jobs.queue.fairness import last_turn
from jobs.tables import DIED, EXPIRED, FAILED, FORGIVEN, GIVEN_BACK, QUEUED, RUNNING, Claim, Job

log = logging.getLogger(__name__)

MAX_CRASHES = 2
MAX_ABSENCES = 5

WORKER_LOST, TIMED_OUT, OUT_OF_MEMORY = "worker_lost", "timed_out", "out_of_memory"
_CRASHED = {
    WORKER_LOST: "The worker process crashed while it worked on this picture alone.",
    TIMED_OUT: "This picture alone took longer than the time limit (BOXQUEUE_PICTURE_SECONDS).",
    OUT_OF_MEMORY: "This picture alone took its worker process over the memory limit (BOXQUEUE_CHILD_MEMORY_MB).",
}


class Action(Enum):
    """What becomes of jobs without an answer. A counted crash or absence makes a job a suspect as well."""

    REQUEUE = auto()
    SUSPECT = auto()
    CRASH = auto()
    ABSENCE = auto()
    ABSENCE_LAST_IN_QUEUE = auto()
    FAIL = auto()


_ABSENCES = (Action.ABSENCE, Action.ABSENCE_LAST_IN_QUEUE)


class Ending(Enum):
    """How claims ended without an answer: the outcome of the claims, and what becomes of their jobs."""

    # fmt: off
    #                outcome     several jobs    one job         one job that was a suspect
    INTERRUPTED    = GIVEN_BACK, Action.REQUEUE, Action.REQUEUE, Action.REQUEUE
    CRASHED        = DIED,       Action.SUSPECT, Action.CRASH,   Action.CRASH
    CRASHED_BY_JOB = DIED,       Action.SUSPECT, Action.FAIL,    Action.FAIL
    LEASE_EXPIRED  = EXPIRED,    Action.SUSPECT, Action.ABSENCE, Action.ABSENCE
    NO_ANSWER      = GIVEN_BACK, Action.SUSPECT, Action.SUSPECT, Action.ABSENCE_LAST_IN_QUEUE
    # fmt: on


def record_crash(db: Database, task_id: str, *, cause: str = WORKER_LOST, caused_by_job: bool = False) -> set[str]:
    """Ends the open claims of a task whose process crashed. Returns the runtimes whose jobs are queued again.

    `cause` is the code of a failure. A cause that the process wrote itself replaces it. `caused_by_job`: the
    signal of the crash proves that the job was the cause (a segmentation fault). Raises `DatabaseUnavailable`.
    """
    ending = Ending.CRASHED_BY_JOB if caused_by_job else Ending.CRASHED
    return db.retry(lambda connection: _end_claims(connection, Claim.task_id == task_id, ending, cause))


def requeue_task(db: Database, task_id: str) -> set[str]:
    """Ends the open claims of a task that was interrupted, not by its pictures, and queues its jobs again unchanged.

    Returns the runtimes of those claims. It finds also a claim that was committed although the task saw an error,
    because the connection broke at that moment. Raises `DatabaseUnavailable`.
    """
    return db.retry(lambda connection: _end_claims(connection, Claim.task_id == task_id, Ending.INTERRUPTED))


def requeue_as_suspects(db: Database, claim_id: str, code: str, sentence: str) -> None:
    """Ends a claim whose model server got its pictures and gave no answer. `code` and `sentence` describe the failure.

    Its jobs become suspects. A job that was a suspect before counts an absence. It fails with `code` at `MAX_ABSENCES`;
    until then it goes behind all jobs that wait. Raises `DatabaseUnavailable`.
    """
    message = (
        f"The model server gave no answer each time that it worked on this picture alone. The last time: {sentence}"
    )
    db.retry(lambda connection: _end_claims(connection, Claim.id == claim_id, Ending.NO_ANSWER, code, message))


def expire_leases(db: Database) -> set[str]:
    """Ends the claims of every task with an expired lease. Returns the runtimes whose jobs are queued again.

    All claims of a task are held by one process and extended together, so they expire together. A task of which
    another transaction has locked a claim is left to the next sweep: either the claim is being finished, or its process
    was frozen while it finished it, and the server ends such a transaction soon. Raises `DatabaseUnavailable`.
    """
    message = "Each worker that worked on this picture alone stopped sending heartbeats."
    late = sa.select(Claim.task_id).where(Claim.ended_at.is_(None), Claim.expires_at < now())

    def work(connection: Connection) -> set[str]:
        runtimes: set[str] = set()
        for task_id in connection.scalars(late.distinct()).all():
            of_task = sa.select(Claim.id).where(Claim.task_id == task_id, Claim.ended_at.is_(None))
            free = connection.scalars(of_task.order_by(Claim.id).with_for_update(skip_locked=True)).all()
            if len(free) < len(connection.scalars(of_task).all()):
                continue
            log.warning("the lease of task %s has expired; its jobs are queued again", task_id)
            runtimes |= _end_claims(connection, Claim.task_id == task_id, Ending.LEASE_EXPIRED, WORKER_LOST, message)
        return runtimes

    return db.retry(work)


def undo_expiry(db: Database, claim_id: str, job_ids: Sequence[str]) -> None:
    """Takes back the absence that was counted for an expired lease, because the worker is alive.

    Does nothing if the claim ended otherwise, or if this was done before. Raises `DatabaseUnavailable`.
    """

    def work(connection: Connection) -> None:
        undone = connection.execute(
            sa.update(Claim).where(Claim.id == claim_id, Claim.outcome == EXPIRED).values(outcome=FORGIVEN)
        )
        if undone.rowcount and len(job_ids) == 1:
            connection.execute(
                sa.update(Job)
                .where(Job.id.in_(job_ids), Job.absences > 0, Job.status.in_(OPEN_STATUSES))
                .values(absences=Job.absences - 1)
            )

    db.retry(work)


def _end_claims(
    connection: Connection, which: sa.ColumnElement[bool], ending: Ending, cause: str | None = None, message: str = ""
) -> set[str]:
    """Ends claims. `message`: the error message of a job that fails at `MAX_ABSENCES`."""
    claims = connection.execute(
        sa.select(Claim.id, Claim.runtime, Claim.size, Claim.cause)
        .where(which, Claim.ended_at.is_(None))
        .order_by(Claim.id)
        .with_for_update()
    ).all()
    if not claims:
        return set()
    ids = [claim.id for claim in claims]
    outcome, several, one, suspect = ending.value
    written = next((claim.cause for claim in claims if claim.cause), None)
    if cause is not None:
        cause = written or cause
    connection.execute(sa.update(Claim).where(Claim.id.in_(ids)).values(ended_at=now(), outcome=outcome, cause=cause))
    jobs = connection.execute(
        sa.select(
            *(Job.id, Job.batch_id, Job.suspect, Job.deaths, Job.absences),
            *(Job.runtime, Job.model, Job.model_digest, Job.priority, Job.turn),
        )
        .where(Job.claim_id.in_(ids), Job.status == RUNNING)
        .order_by(Job.id)
        .with_for_update()
    ).all()
    if sum(claim.size for claim in claims) > 1:
        action = several
    else:
        action = suspect if all(job.suspect for job in jobs) else one
    if written and action in _ABSENCES:
        action = Action.CRASH
    _apply(connection, action, jobs, cause or WORKER_LOST, message)
    return {claim.runtime for claim in claims}


def _apply(connection: Connection, action: Action, jobs: Sequence[AnyRow], cause: str, message: str) -> None:
    if not jobs:
        return  # cancelled meanwhile
    if action is Action.REQUEUE:
        _requeue(connection, jobs)
    elif action is Action.SUSPECT:
        _requeue(connection, jobs, suspect=True)
    elif action in _ABSENCES:
        marks: dict[str, Any] = {"absences": Job.absences + 1}
        if jobs[0].absences + 1 >= MAX_ABSENCES:
            _fail(connection, jobs[0], cause, message, **marks)
            return
        if action is Action.ABSENCE_LAST_IN_QUEUE:
            marks["turn"] = last_turn(connection, jobs[0]) + 1
        _requeue(connection, jobs, suspect=True, **marks)
    elif action is Action.FAIL or jobs[0].deaths + 1 >= MAX_CRASHES:
        _fail(connection, jobs[0], cause, _CRASHED.get(cause, _CRASHED[WORKER_LOST]), deaths=Job.deaths + 1)
    else:
        _requeue(connection, jobs, suspect=True, deaths=Job.deaths + 1)


def _requeue(connection: Connection, jobs: Sequence[AnyRow], **marks: Any) -> None:
    connection.execute(
        sa.update(Job)
        .where(Job.id.in_([job.id for job in jobs]))
        .values(status=QUEUED, claim_id=None, started_at=None, **marks)
    )


def _fail(connection: Connection, job: AnyRow, cause: str, message: str, **marks: Any) -> None:
    connection.execute(
        sa.update(Job)
        .where(Job.id == job.id)
        .values(status=FAILED, error_code=cause, error_message=message, finished_at=now(), **marks)
    )
    if job.batch_id:
        add_counts(connection, {job.batch_id: {FAILED: 1}}, even_cancelled=True)
        mark_finished(connection, [job.batch_id])
