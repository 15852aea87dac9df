"""Taking jobs, finishing them, and what happens to them when a worker does not come back.

A claim's id is a token: it stands on every job that it holds, and whoever writes an answer must still find it there.
Time plays no part in that, so a worker that slept past its lease writes nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from jobs.batches import add_counts, batch_not_cancelled, mark_finished
from jobs.clock import now, seconds_since
from jobs.database import AnyRow, Database
from jobs.queue.queries import models_by_first_job, waiting_jobs
from jobs.queue.server_exclusivity import may_start
from jobs.records import DetectionRecord
from jobs.tables import FAILED, FINISHED, GIVEN_BACK, QUEUED, RUNNING, SUCCEEDED, Claim, Id, Job, Json, new_id


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A job as a worker sees it."""

    id: str
    image_sha256: str
    age_s: float
    """Seconds between its submit and this claim."""


@dataclass(frozen=True, slots=True)
class HeldClaim:
    """Jobs of one model that this worker holds until it finishes them, gives them back or dies."""

    id: str
    task_id: str
    model: str
    jobs: tuple[ClaimedJob, ...]
    alone: bool
    """The one job in it was part of a death: nothing else may run in its process meanwhile."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A job's answer: `detections`, sorted by score, or else an error's code and sentence."""

    job_id: str
    detections: Sequence[DetectionRecord] | None = None
    error_code: str | None = None
    error_message: str | None = None
    timings_ms: Mapping[str, float] | None = None


def claim(
    db: Database,
    runtime: str,
    models: Mapping[str, tuple[str, int]],
    *,
    worker_id: str,
    task_id: str,
    lease_seconds: float,
    servers: Mapping[str, str] | None = None,
    job_id: str | None = None,
) -> HeldClaim | None:
    """Takes the first queued job by (priority, turn, id) and more of its model, or None where nothing waits.

    `models` maps the name of each model that this worker serves to its digest and the most pictures it takes at once,
    `servers` those that stand on a model server to its address. `job_id` asks for this very job alone.
    """

    def work(connection: Connection) -> HeldClaim | None:
        on = servers or {}
        busy: set[str] = set()
        # With one model there is nothing to choose.
        for name in list(models) if len(models) == 1 else models_by_first_job(connection, runtime, models):
            digest, most = models[name]
            server = on.get(name)
            if server in busy:
                continue
            waiting = (
                waiting_jobs(runtime, name, digest)
                .add_columns(Job.image_sha256, Job.model, Job.suspect, Job.absences, _age)
                .with_for_update(of=Job.__table__, skip_locked=True)
            )
            if job_id:
                waiting = waiting.where(Job.id == job_id)
            first = connection.execute(waiting.limit(1)).one_or_none()
            if first is None:
                continue  # others hold all of its jobs that wait
            if server and not may_start(connection, first, [other for other in on if on[other] == server]):
                busy.add(server)  # also to its other models, or it might never be free for this job
                continue
            rows = [first]
            if not first.suspect and most > 1:
                more = waiting.where(sa.not_(Job.suspect), Job.id != first.id)
                rows += connection.execute(more.limit(most - 1)).all()
            return _write_claim(connection, runtime, rows, worker_id, task_id, lease_seconds)
        return None

    return db.retry(work)


def extend_leases(db: Database, claim_ids: Collection[str], lease_seconds: float) -> set[str]:
    """Extends the leases of claims; those that are still held."""
    with db.write() as connection:
        return set(
            connection.scalars(
                sa.update(Claim)
                .where(Claim.id.in_(claim_ids), Claim.ended_at.is_(None))
                .values(expires_at=now(lease_seconds))
                .returning(Claim.id)
            )
        )


def finish(db: Database, held: HeldClaim, outcomes: Sequence[Outcome], *, device: str) -> set[str]:
    """Writes the answers of a claim in one transaction and ends it; the ids of the jobs that took theirs.

    Only jobs that still carry this claim's token take an answer: not those that were cancelled, and none at all where
    the claim was lost. Safe to call again after an error whose transaction may have landed: then it changes nothing.
    """

    def work(connection: Connection) -> set[str]:
        if not _end(connection, held, FINISHED):
            return _landed(connection, held)
        taken = _write_answers(connection, held, outcomes, device)
        answered = [outcome for outcome in outcomes if outcome.job_id in taken]
        _write_detections(connection, answered)
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
            continue  # nothing was written; the fence sees the cancelled batch now


def give_back(db: Database, held: HeldClaim) -> None:
    """Puts the claim's jobs back as they were: no death, no suspicion."""

    def work(connection: Connection) -> None:
        if _end(connection, held, GIVEN_BACK):
            connection.execute(
                sa.update(Job)
                .where(Job.claim_id == held.id, Job.status == RUNNING)
                .values(status=QUEUED, claim_id=None, started_at=None)
            )

    db.retry(work)


def record_cause(db: Database, claim_ids: Collection[str], cause: str) -> None:
    """Notes on claims why their worker is about to be killed; `deaths.release` reads it."""
    with db.write() as connection:
        connection.execute(
            sa.update(Claim).where(Claim.id.in_(claim_ids), Claim.ended_at.is_(None)).values(cause=cause)
        )


_INSERT_DETECTIONS = "INSERT INTO detections (job_id, rank, label, class_id, score, x1, y1, x2, y2) VALUES ({})"


class _CancelledMeanwhile(Exception):
    """A batch was cancelled between the fence and the counters."""


_age = seconds_since(Job.created_at).label("age_s")


def _write_claim(
    connection: Connection, runtime: str, rows: Sequence[AnyRow], worker_id: str, task_id: str, lease_seconds: float
) -> HeldClaim:
    """Writes the claim of these jobs, the first of which leads it."""
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
    """Ends the claim; False where it had ended before."""
    update = sa.update(Claim).where(Claim.id == held.id, Claim.ended_at.is_(None))
    return connection.execute(update.values(ended_at=now(), outcome=outcome)).rowcount == 1


def _landed(connection: Connection, held: HeldClaim) -> set[str]:
    """The jobs that an earlier try of this very finish has answered; none where the claim was lost."""
    query = sa.select(Job.id).where(
        Job.id.in_([job.id for job in held.jobs]), Job.claim_id == held.id, Job.status.in_((SUCCEEDED, FAILED))
    )
    return set(connection.scalars(query))


def _write_answers(
    connection: Connection, held: HeldClaim, outcomes: Sequence[Outcome], device: str
) -> dict[str, str | None]:
    """One UPDATE behind the fence: id -> batch of the jobs that took their answer."""
    rows = [
        (
            outcome.job_id,
            FAILED if outcome.error_code else SUCCEEDED,
            outcome.error_code,
            outcome.error_message,
            dict(outcome.timings_ms or {}),
        )
        for outcome in outcomes
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
        .where(Job.id == answer.c.id, Job.claim_id == held.id, Job.status == RUNNING, batch_not_cancelled())
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


def _write_detections(connection: Connection, answered: Sequence[Outcome]) -> None:
    """Straight through the driver: there can be a hundred rows a picture, and what SQLAlchemy does for each of them
    would cost more than the database."""
    rows = [
        (outcome.job_id, rank, found.label, found.class_id, found.score, found.x1, found.y1, found.x2, found.y2)
        for outcome in answered
        for rank, found in enumerate(outcome.detections or ())
    ]
    if rows:
        place = "?" if connection.dialect.paramstyle == "qmark" else "%s"
        connection.exec_driver_sql(_INSERT_DETECTIONS.format(", ".join([place] * len(rows[0]))), rows)
