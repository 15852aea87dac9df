"""Checks by SQL: which claim wrote an answer, and whether its detections are stored once."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

JOBS = "SELECT id, batch_id, status, repeated, claim_id, finished_at FROM jobs WHERE id >= :oldest"
CLAIMS = "SELECT id, outcome, ended_at FROM claims"
DETECTIONS = "SELECT job_id, count(*) AS number, max(rank) AS last FROM detections GROUP BY job_id"
# A cancelled batch is finished when all of its rows are cancelled.
BATCHES = "SELECT id, total, succeeded, failed, cancelled FROM batches WHERE finished_at IS NOT NULL"
# A claim ends in the transaction that writes its answers.
SAME_TRANSACTION_SECONDS = 10.0


def check_rows(note: Callable[[str, str], None], database_url: str, promised: Mapping[str, Mapping[str, Any]]) -> None:
    """Calls `note(what, sentence)` for each wrong row."""
    engine = sa.create_engine(database_url.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.connect() as connection:
        oldest = min(promised, default="")
        rows = connection.execute(sa.text(JOBS), {"oldest": oldest}).all()
        jobs = {str(row.id): row for row in rows if str(row.id) in promised}
        claims = {str(row.id): row for row in connection.execute(sa.text(CLAIMS))}
        detections = {str(row.job_id): row for row in connection.execute(sa.text(DETECTIONS))}
        batches = connection.execute(sa.text(BATCHES)).all()
    engine.dispose()
    for job_id, job in jobs.items():
        _check_detections(note, job_id, job, detections.get(job_id), promised[job_id]["expected"])
        if job.status == "succeeded" and not job.repeated:
            _check_writer(note, job_id, job, claims.get(str(job.claim_id)))
    ours = {promise["batch"] for promise in promised.values()}
    for batch in batches:
        statuses = Counter(job.status for job in rows if job.batch_id == batch.id)
        counted = (batch.succeeded, batch.failed, batch.cancelled)
        real = tuple(statuses[name] for name in ("succeeded", "failed", "cancelled"))
        if str(batch.id) in ours and counted != real:
            note("counters_off", f"the row of the batch {batch.id} says {counted}, its jobs' rows say {real}")


def _check_detections(
    note: Callable[[str, str], None], job_id: str, job: Any, found: Any, expected: Mapping[str, Any]
) -> None:
    number = found.number if found else 0
    if job.status != "succeeded":
        if number:
            note("detections_twice", f"{job_id} has {job.status} and {number} detections")
    elif found and found.last + 1 != number:
        note("detections_twice", f"{job_id} has {number} detections, the last of rank {found.last}")
    elif "detections" in expected and number != len(expected["detections"]):
        note("detections_twice", f"{job_id} has {number} detections, not {len(expected['detections'])}")


def _check_writer(note: Callable[[str, str], None], job_id: str, job: Any, claim: Any) -> None:
    if claim is None or claim.outcome != "finished":
        note("late_writes", f"{job_id} was answered by a claim that had {claim.outcome if claim else 'gone'}")
    elif (_moment(job.finished_at) - _moment(claim.ended_at)).total_seconds() > SAME_TRANSACTION_SECONDS:
        note("late_writes", f"{job_id} was answered at {job.finished_at}, its claim ended at {claim.ended_at}")


def _moment(value: datetime | str) -> datetime:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
