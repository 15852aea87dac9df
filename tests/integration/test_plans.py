"""What the database reads for the statements that run most: a deep queue and a long history must not make them slow."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from jobs import batches, claims
from jobs.database import Database
from jobs.tables import Job, new_id
from tests.integration.engine import DIGEST, new_job, submit, take

QUEUED = 20_000


def fill(db: Database) -> None:
    """A big batch that waits."""
    batch = batches.create_batch(db, None)
    row = {
        "batch_id": batch.id, "model": "cards", "model_digest": DIGEST, "pipeline": 1, "runtime": "pytorch",
        "options": {}, "priority": 0, "status": "queued",
    }  # fmt: skip
    with db.write() as connection:
        connection.execute(sa.insert(Job), [{**row, "id": new_id(), "turn": turn} for turn in range(QUEUED)])
    if not db.is_sqlite:
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")


def plans(db: Database, work: Callable[[], Any]) -> list[str]:
    """How the database runs each of the queries on jobs that `work` makes."""
    seen: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if statement.startswith("SELECT jobs."):
            seen.append((statement, parameters))

    sa.event.listen(db.engine, "before_cursor_execute", note)
    work()
    sa.event.remove(db.engine, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN " if db.is_sqlite else "EXPLAIN "
    found = []
    for statement, parameters in seen:
        with db.read() as connection:
            found.append("\n".join(map(str, connection.exec_driver_sql(explain + statement, parameters))))
    assert found
    return found


def test_a_claim_sorts_no_queue(db: Database) -> None:
    fill(db)

    for plan in plans(db, lambda: take(db)):
        assert "ix_jobs_queued" in plan
        assert "Sort" not in plan
        assert "TEMP B-TREE" not in plan


def test_looking_for_more_reads_no_queue(db: Database) -> None:
    fill(db)

    for plan in plans(db, lambda: claims.more_waiting(db, "pytorch", ["cards"])):
        assert "ix_jobs_queued" in plan


def test_looking_for_a_stored_answer_reads_no_history(db: Database) -> None:
    fill(db)

    assert "ix_jobs_answers" in plans(db, lambda: submit(db, new_job(1, cache=True)))[0]
