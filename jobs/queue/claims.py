"""Claims: a worker takes jobs, keeps them with its heartbeat, and finishes them or gives them back.

The id of a claim is a fencing token. It is written on each job of the claim, and an answer is written only if the token
is still there. So a worker whose lease has expired writes nothing, even if its clock is wrong.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from jobs.answers import insert_detections
from jobs.batches import add_counts, batch_not_cancelled, mark_finished
from jobs.clock import now, seconds_since
from jobs.database import AnyRow, Database
from jobs.queue.queries import models_by_first_job, waiting_jobs
from jobs.queue.server_exclusivity import may_start
from jobs.records import ClaimableModel, DetectionRecord
from jobs.tables import FAILED, FINISHED, GIVEN_BACK, QUEUED, RUNNING, SUCCEEDED, Claim, Id, Job, Json, new_id

_age_s = seconds_since(Job.created_at).label("age_s")


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A job as a worker sees it."""

    id: str
    image_sha256: str
    age_s: float
    """Seconds between its submit and this claim."""


@dataclass(frozen=True, slots=True)
class HeldClaim:
    """Jobs of one model that this worker holds until it finishes them, gives them back or loses them."""

    id: str
    task_id: str
    model: str
    jobs: tuple[ClaimedJob, ...]
    alone: bool
    """Its only job is a suspect, so the process runs nothing else meanwhile."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A job's answer: `detections`, the highest score first, or the code and the message of an error."""

    job_id: str
    detections: Sequence[DetectionRecord] | None = None
    error_code: str | None = None
    error_message: str | None = None
    timings_ms: Mapping[str, float] | None = None


def claim(
    db: Database,
    runtime: str,
    models: Mapping[str, ClaimableModel],
    *,
    worker_id: str,
    task_id: str,
    lease_seconds: float,
    job_id: str | None = None,
) -> HeldClaim | None:
    """Claims the first queued job by (priority, turn, id) and more jobs of its model. Returns None if none waits.

    `models` are those that this worker serves, by name. With `job_id` only this job is claimed. Raises
    `DatabaseUnavailable`.
    """

    def work(connection: Connection) -> HeldClaim | None:
        busy: set[str] = set()
        # With one model no query for the order is needed.
        for name in list(models) if len(models) == 1 else models_by_first_job(connection, runtime, models):
            digest, most, on_server = models[name]
            if name in busy:
                continue
            waiting = (
                waiting_jobs(runtime, name, digest)
                .add_columns(Job.image_sha256, Job.model, Job.suspect, Job.absences, _age_s)
                .with_for_update(of=Job.__table__, skip_locked=True)
            )
            if job_id:
                waiting = waiting.where(Job.id == job_id)
            first = connection.execute(waiting.limit(1)).one_or_none()
            if first is None:
                continue  # other transactions have locked all of its queued jobs
            if on_server and not may_start(connection, first, on_server):
                # The other models of the server wait as well, or it might never be free for this job.
                busy |= on_server
                continue
            rows = [first]
            if not first.suspect and most > 1:
                more = waiting.where(sa.not_(Job.suspect), Job.id != first.id)
                rows += connection.execute(more.limit(most - 1)).all()
            return _write_claim(connection, runtime, rows, worker_id, task_id, lease_seconds)
        return None

    return db.retry(work)


def extend_leases(db: Database, claim_ids: Collection[str], lease_seconds: float) -> set[str]:
    """Extends the leases of claims. Returns the ids of those that are still held. Raises `DatabaseUnavailable`."""
    with db.write() as connection:
        held = sa.update(Claim).where(Claim.id.in_(claim_ids), Claim.ended_at.is_(None))
        return set(connection.scalars(held.values(expires_at=now(lease_seconds)).returning(Claim.id)))


def finish(db: Database, held: HeldClaim, outcomes: Sequence[Outcome], *, device: str) -> set[str]:
    """Writes the answers of a claim and ends it, in one transaction. Returns the ids of the jobs that are answered.

    A job is answered only if it still has this claim's token. Cancelled jobs do not have it any more, nor do the jobs
    of a lost claim. After an error it is safe to call again: if the first transaction was committed, nothing changes.
    Raises `DatabaseUnavailable`.
    """

    def work(connection: Connection) -> set[str]:
        if not _end(connection, held, FINISHED):
            return _answered(connection, held)
        taken = _write_answers(connection, held, outcomes, device)
        answered = [outcome for outcome in outcomes if outcome.job_id in taken]
        insert_detections(connection, {outcome.job_id: outcome.detections or () for outcome in answered})
        counts: dict[str, dict[str, int]] = {}
        for outcome in answered:
            if batch_id := taken[outcome.job_id]:
                column = FAILED if outcome.error_code else SUCCEEDED
                counts.setdefault(batch_id, {SUCCEEDED: 0, FAILED: 0})[column] += 1
        if add_counts(connection, counts):
            raise _CancelledMeanwhile
        mark_finished(connection, list(counts))
        return set(taken)

    while True:
        try:
            return db.retry(work)
        except _CancelledMeanwhile:
            continue  # rolled back; `_write_answers` leaves the cancelled jobs out now


def give_back(db: Database, held: HeldClaim) -> None:
    """Ends a claim and queues its jobs again, unchanged. Raises `DatabaseUnavailable`."""

    def work(connection: Connection) -> None:
        if _end(connection, held, GIVEN_BACK):
            connection.execute(
                sa.update(Job)
                .where(Job.claim_id == held.id, Job.status == RUNNING)
                .values(status=QUEUED, claim_id=None, started_at=None)
            )

    db.retry(work)


def record_cause(db: Database, claim_ids: Collection[str], cause: str) -> None:
    """Writes on claims why their process is about to be killed, for `jobs.queue.recovery`."""
    db.execute(sa.update(Claim).where(Claim.id.in_(claim_ids), Claim.ended_at.is_(None)).values(cause=cause))


class _CancelledMeanwhile(Exception):
    """A batch was cancelled after its jobs were answered and before they were counted, in one transaction."""


def _write_claim(
    connection: Connection, runtime: str, rows: Sequence[AnyRow], worker_id: str, task_id: str, lease_seconds: float
) -> HeldClaim:
    """Writes the claim of these jobs. Its priority and its turn are those of the first job."""
    first = rows[0]
    claim_id = new_id()
    connection.execute(
        sa.insert(Claim).values(
            id=claim_id,
            runtime=runtime,
            model=first.model,
            worker_id=worker_id,
            task_id=task_id,
            size=len(rows),
            priority=first.priority,
            turn=first.turn,
            expires_at=now(lease_seconds),
        )
    )
    connection.execute(
        sa.update(Job)
        .where(Job.id.in_([row.id for row in rows]))
        .values(status=RUNNING, claim_id=claim_id, started_at=now())
    )
    jobs = tuple(ClaimedJob(row.id, row.image_sha256, row.age_s) for row in rows)
    return HeldClaim(claim_id, task_id, first.model, jobs, alone=first.suspect)


def _end(connection: Connection, held: HeldClaim, outcome: str) -> bool:
    """Ends the claim; False if it had ended before."""
    update = sa.update(Claim).where(Claim.id == held.id, Claim.ended_at.is_(None))
    return connection.execute(update.values(ended_at=now(), outcome=outcome)).rowcount == 1


def _answered(connection: Connection, held: HeldClaim) -> set[str]:
    """The jobs that were answered with this claim before; none if the claim was lost."""
    query = sa.select(Job.id).where(
        Job.id.in_([job.id for job in held.jobs]), Job.claim_id == held.id, Job.status.in_((SUCCEEDED, FAILED))
    )
    return set(connection.scalars(query))


def _write_answers(
    connection: Connection, held: HeldClaim, outcomes: Sequence[Outcome], device: str
) -> dict[str, str | None]:
    """One UPDATE for all answers, which tests the token. Returns job id -> batch id of the jobs that are answered."""
    rows = [
        (
            one.job_id,
            FAILED if one.error_code else SUCCEEDED,
            one.error_code,
            one.error_message,
            dict(one.timings_ms or {}),
        )
        for one in outcomes
    ]
    answer = (
        sa.values(
            sa.column("id", Id),
            sa.column("status", sa.String),
            sa.column("error_code", sa.String),
            sa.column("error_message", sa.Text),
            sa.column("timings_ms", Json),
        )
        .data(rows)
        .cte("answer")
    )
    update = (
        sa.update(Job)
        .where(Job.id == answer.c.id, Job.claim_id == held.id, Job.status == RUNNING, batch_not_cancelled)
        .values(
            status=answer.c.status,
            error_code=answer.c.error_code,
            error_message=answer.c.error_message,
            timings_ms=answer.c.timings_ms,
            device=device,
            finished_at=now(),
        )
        .returning(Job.id, Job.batch_id)
    )
    return {row.id: row.batch_id for row in connection.execute(update)}
