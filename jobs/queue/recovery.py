"""What becomes of jobs whose worker died, or did not come back before its lease ran out.

A death that several jobs shared makes them suspects, which are claimed alone from then on. Only a death *alone* counts
against a job, and after two (one, where the signal proves the guilt) it is `failed`: so a picture that kills its worker
stops doing so, and an innocent one in its company always succeeds in the end.

A lease that runs out is no death: the worker may be frozen, cut off, or gone for no fault of the picture's. It makes
suspects too, but is counted apart, as an absence, and taken back when the worker shows that it lives. Only a picture
that was alone with several workers of which none came back takes whole machines down, and is `failed`.

A model server that gives no more answer while it has pictures is counted like that. From its first absence on a job has
the server for itself (`jobs/queue/server_exclusivity.py`), so that nothing counts against it that another picture did.
"""

import logging
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from jobs.batches import add_counts, mark_finished
from jobs.clock import now
from jobs.database import AnyRow, Database
from jobs.queue.fairness import last_turn
from jobs.tables import FAILED, QUEUED, RUNNING, Claim, Job

log = logging.getLogger(__name__)

MAX_CRASHES = 2
MAX_ABSENCES = 5
GIVEN_BACK, EXPIRED = "given_back", "expired"

WORKER_LOST, TIMED_OUT, OUT_OF_MEMORY = "worker_lost", "timed_out", "out_of_memory"
_ABSENT = "The worker went away, and did not come back, each time that it worked on this picture alone."
_UNANSWERED = "The model server did not get through this picture, each time that it had it alone. The last time:"
_SENTENCES = {
    WORKER_LOST: "The worker process died while it worked on this picture alone.",
    TIMED_OUT: "The picture took longer than the time limit (BOXQUEUE_PICTURE_SECONDS), on its own.",
    OUT_OF_MEMORY: "The worker process went over its memory limit (BOXQUEUE_CHILD_MEMORY_MB) on this picture alone.",
}


def record_crash(db: Database, task_id: str, *, cause: str = WORKER_LOST, proof: bool = False) -> set[str]:
    """Ends the open claims of a task whose process died; the runtimes that have jobs again.

    `cause` is a failure's code, used where the dead process did not write its own. `proof`: the way it died proves the
    guilt of what it worked on (a segmentation fault).
    """
    return db.retry(lambda connection: _end_claims(connection, Claim.task_id == task_id, "died", cause, proof))


def requeue_task(db: Database, task_id: str) -> set[str]:
    """Ends the open claims of a task that was cut short by something else than its pictures, and puts their jobs back
    as they were; the runtimes that have jobs again.

    It finds also a claim whose commit the task never heard of, because the connection broke at that moment.
    """
    return db.retry(lambda connection: _end_claims(connection, Claim.task_id == task_id, GIVEN_BACK, None, proof=False))


def requeue_as_suspects(db: Database, claim_id: str, code: str, sentence: str) -> None:
    """Ends a claim whose model server had its pictures and gave no answer, or went out; `code` and `sentence` say how.

    Its jobs go back as suspects. What was one before was alone, and the server well a moment ago: that is an absence,
    after several of which it is `failed` with that code. Until then it goes behind what waits, so that the others have
    their answers before the server is put at risk again.
    """
    absent = f"{_UNANSWERED} {sentence}"
    db.retry(lambda connection: _end_claims(connection, Claim.id == claim_id, GIVEN_BACK, code, False, absent))


def expire_leases(db: Database) -> set[str]:
    """Ends the claims of every task that has one past its lease; the runtimes that have jobs again.

    All claims of a task sit in one process and are extended together, so they fall together. A task is left to the next
    sweep where somebody holds one of its claims at this moment: it is being finished, or its process was frozen in the
    middle of that, and the server ends such a transaction soon; the others need not wait for it.
    """
    late = sa.select(Claim.task_id).where(Claim.ended_at.is_(None), Claim.expires_at < now())

    def work(connection: Connection) -> set[str]:
        runtimes: set[str] = set()
        for task_id in connection.scalars(late.distinct()).all():
            of_task = sa.select(Claim.id).where(Claim.task_id == task_id, Claim.ended_at.is_(None))
            free = connection.scalars(of_task.order_by(Claim.id).with_for_update(skip_locked=True)).all()
            if len(free) < len(connection.scalars(of_task).all()):
                continue
            log.warning("task %s let its lease run out; its jobs go back into the queue", task_id)
            runtimes |= _end_claims(connection, Claim.task_id == task_id, EXPIRED, WORKER_LOST, False, _ABSENT)
        return runtimes

    return db.retry(work)


def undo_expiry(db: Database, claim_id: str, job_ids: Sequence[str]) -> None:
    """Takes back the absence that an expired lease was counted as: this worker lives, it was only away. Nothing changes
    where the claim ended otherwise."""

    def work(connection: Connection) -> None:
        forgiven = connection.execute(
            sa.update(Claim).where(Claim.id == claim_id, Claim.outcome == EXPIRED).values(outcome="forgiven")
        )
        if forgiven.rowcount and len(job_ids) == 1:
            connection.execute(
                sa.update(Job)
                .where(Job.id.in_(job_ids), Job.absences > 0, Job.status.in_((QUEUED, RUNNING)))
                .values(absences=Job.absences - 1)
            )

    db.retry(work)


def _end_claims(
    connection: Connection, which: Any, outcome: str, cause: str | None, proof: bool, absent: str | None = None
) -> set[str]:
    """Ends claims. With `absent`, a sentence, what was alone counts an absence where no death is known of."""
    claims = connection.execute(
        sa.select(Claim.id, Claim.runtime, Claim.size, Claim.cause)
        .where(which, Claim.ended_at.is_(None))
        .order_by(Claim.id)
        .with_for_update()
    ).all()
    if not claims:
        return set()
    ids = [claim.id for claim in claims]
    known_cause = next((claim.cause for claim in claims if claim.cause), None)
    if cause is not None:
        cause = known_cause or cause
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
    if cause is None:
        _requeue(connection, jobs)
    elif sum(claim.size for claim in claims) > 1 or (outcome == GIVEN_BACK and not all(job.suspect for job in jobs)):
        _requeue(connection, jobs, suspect=True)
    elif absent and known_cause is None:
        if jobs and jobs[0].absences + 1 >= MAX_ABSENCES:
            _fail(connection, jobs[0], cause, absent, absences=Job.absences + 1)
        else:
            behind = {"turn": last_turn(connection, jobs[0]) + 1} if jobs and outcome == GIVEN_BACK else {}
            _requeue(connection, jobs, suspect=True, absences=Job.absences + 1, **behind)
    elif jobs and (proof or jobs[0].deaths + 1 >= MAX_CRASHES):
        _fail(connection, jobs[0], cause, _SENTENCES.get(cause, _SENTENCES[WORKER_LOST]), deaths=Job.deaths + 1)
    else:
        _requeue(connection, jobs, suspect=True, deaths=Job.deaths + 1)
    return {claim.runtime for claim in claims}


def _requeue(connection: Connection, jobs: Sequence[AnyRow], **marks: Any) -> None:
    connection.execute(
        sa.update(Job)
        .where(Job.id.in_([job.id for job in jobs]))
        .values(status=QUEUED, claim_id=None, started_at=None, **marks)
    )


def _fail(connection: Connection, job: AnyRow, cause: str, sentence: str, **marks: Any) -> None:
    connection.execute(
        sa.update(Job)
        .where(Job.id == job.id)
        .values(
            status=FAILED,
            error_code=cause,
            error_message=sentence,
            finished_at=now(),
            **marks,
        )
    )
    if job.batch_id:
        add_counts(connection, {job.batch_id: {FAILED: 1}}, even_cancelled=True)
        mark_finished(connection, [job.batch_id])
