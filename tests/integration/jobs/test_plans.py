"""Query plans of the most frequent statements: a deep queue and a long history must not make them slow."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

import jobs.queue.backpressure
from jobs import batches
from jobs.clock import now
from jobs.database import Database
from jobs.image_store import ImageStore
from jobs.migrate import migrate
from jobs.queue import claims, recovery, worker_registry
from jobs.queue.backpressure import REUSE_FACTOR, Backpressure
from jobs.queue.queries import has_waiting, waiting_runtimes, waiting_versions
from jobs.records import ClaimableModel
from jobs.retention import apply_retention
from jobs.tables import Image, Job, new_id
from tests.databases import Prepare
from tests.integration.jobs.deep import queue_up
from tests.integration.jobs.engine import DIGEST, new_job, submit, take

QUEUED = 20_000


def deep_queue(url: str) -> None:
    """A big queued batch."""
    migrate(url)
    db = Database(url)
    fill(db)
    db.close()


def deep_queue_after_much_work(url: str) -> None:
    """The same, after several times as many finished jobs."""
    migrate(url)
    db = Database(url)
    queue_up(db, 3 * QUEUED, status="succeeded")
    fill(db)
    db.close()


def fill(db: Database) -> None:
    """Adds the batch."""
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


@pytest.fixture
def deep(prepared: Callable[[Prepare], str]) -> Iterator[Database]:
    """A database with a big queued batch."""
    db = Database(prepared(deep_queue))
    yield db
    db.close()


@pytest.fixture
def deep_and_old(prepared: Callable[[Prepare], str]) -> Iterator[Database]:
    """The same after several times as many finished jobs: in a table with only queued jobs, a scan is as good as an
    index."""
    db = Database(prepared(deep_queue_after_much_work))
    yield db
    db.close()


def plans(db: Database, work: Callable[[], Any], kind: str = "SELECT ") -> list[str]:
    """The plan of each statement of this kind on jobs that `work` runs."""
    seen: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if statement.startswith(kind) and "jobs" in statement:
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


def index_only_scan(db: Database) -> str:
    """What a plan says if it reads only an index."""
    return "COVERING INDEX" if db.is_sqlite else "Index Only Scan using"


def claim_of(*models: tuple[str, str]) -> dict[str, ClaimableModel]:
    return {name: ClaimableModel(digest, 8) for name, digest in models}


def test_a_claim_does_not_sort_the_queue(deep: Database) -> None:
    for plan in plans(deep, lambda: take(deep)):
        assert "ix_jobs_queued_model" in plan
        assert "Sort" not in plan
        assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize(
    "models",
    [claim_of(("cards", "e" * 64)), claim_of(("forms", DIGEST)), claim_of(("cards", "e" * 64), ("forms", DIGEST))],
    ids=["another version", "another model", "both"],
)
def test_a_claim_reads_no_jobs_that_its_worker_does_not_serve(
    deep: Database, models: dict[str, ClaimableModel]
) -> None:
    def doorbell() -> None:
        arguments = {"worker_id": new_id(), "task_id": new_id(), "lease_seconds": 15.0}
        assert claims.claim(deep, "pytorch", models, **arguments) is None

    for plan in plans(deep, doorbell):
        assert "ix_jobs_queued_model" in plan
        # SQLite lists the columns of a lookup in one line, PostgreSQL in the index condition.
        lookups = [line for line in plan.splitlines() if "ix_jobs_queued_model (" in line or "Index Cond" in line]
        assert lookups
        assert all("model_digest" in line for line in lookups)


@pytest.mark.parametrize("alone", [False, True])
def test_a_free_model_server_is_found_without_reading_jobs(deep: Database, alone: bool) -> None:
    if alone:
        with deep.write() as connection:
            connection.execute(sa.update(Job).where(Job.turn == 0).values(suspect=True, absences=1))
    arguments = {"worker_id": new_id(), "task_id": new_id(), "lease_seconds": 15.0}

    models = {"cards": ClaimableModel(DIGEST, 8, frozenset({"cards"}))}

    found = plans(deep, lambda: claims.claim(deep, "pytorch", models, **arguments))

    for plan in found:
        assert "ix_jobs_queued_model" in plan or "ix_jobs_running" in plan


def test_the_last_turn_is_found_without_reading_the_queue(deep: Database) -> None:
    for _ in range(2):
        held = take(deep, most=1)
        found = plans(
            deep, lambda held=held: recovery.requeue_as_suspects(deep, held.id, "server_timeout", "It did not answer.")
        )

    last = [plan for plan in found if "ix_jobs_queued_model" in plan]
    assert len(last) == 1
    assert "Sort" not in last[0]
    assert "TEMP B-TREE" not in last[0]


def test_checking_for_waiting_jobs_does_not_read_the_queue(deep: Database) -> None:
    for plan in plans(deep, lambda: has_waiting(deep, "pytorch", claim_of(("cards", DIGEST), ("forms", DIGEST)))):
        assert "ix_jobs_queued_model" in plan


def test_a_sweep_does_not_read_the_queue(deep: Database) -> None:
    assert waiting_runtimes(deep) == ["pytorch"]
    assert waiting_versions(deep, "pytorch", "cards") == [DIGEST]
    for plan in [
        *plans(deep, lambda: waiting_runtimes(deep)),
        *plans(deep, lambda: waiting_versions(deep, "pytorch", "cards")),
    ]:
        assert "ix_jobs_queued_model" in plan
        assert "Limit" in plan or "SEARCH" in plan


def test_counting_the_queue_reads_only_its_index(deep_and_old: Database) -> None:
    waiting, *_ = plans(deep_and_old, lambda: worker_registry.queues(deep_and_old))

    assert f"{index_only_scan(deep_and_old)} ix_jobs_queued_model" in waiting


def test_the_result_cache_does_not_read_the_history(deep: Database) -> None:
    assert "ix_jobs_image" in plans(deep, lambda: submit(deep, new_job(1, cache=True)))[0]


def test_deleting_a_picture_does_not_read_the_history(deep: Database, tmp_path: Path) -> None:
    images = ImageStore(f"file://{tmp_path}")
    images.prepare()
    with deep.write() as connection:
        values = {"sha256": "0" * 64, "media_type": "image/png", "width": 1, "height": 1, "bytes": 1}
        connection.execute(sa.insert(Image).values(values))
        connection.execute(sa.update(Image).values(used_at=now(-1e6)))

    found = plans(deep, lambda: apply_retention(deep, images, keep_days=1.0), "DELETE FROM images")

    for plan in found:
        assert "ix_jobs_image" in plan
        assert "SCAN jobs" not in plan
    with deep.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(Image)) == 0


def test_the_turn_of_a_single_job_is_found_without_reading_the_queue(deep: Database) -> None:
    assert "ix_jobs_queued_lone" in plans(deep, lambda: submit(deep, new_job(1)))[0]


@pytest.mark.parametrize("limits", [(QUEUED // 2, None), (QUEUED * 2, None), (0, 60.0)], ids=["full", "room", "age"])
def test_backpressure_neither_sorts_the_queue_nor_reads_the_history(
    deep_and_old: Database, limits: tuple[int, float | None]
) -> None:
    for plan in plans(deep_and_old, lambda: Backpressure(deep_and_old, *limits).refusal("pytorch", 0, 1)):
        assert f"{index_only_scan(deep_and_old)} ix_jobs_queued_model" in plan
        assert "Sort" not in plan
        assert "TEMP B-TREE" not in plan


def test_backpressure_reuses_the_state_of_a_queue_for_a_while(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, statements = [0.0], []
    monkeypatch.setattr(jobs.queue.backpressure, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        statements.append(statement)
        clock[0] += 0.1

    sa.event.listen(db.engine, "before_cursor_execute", note)
    pressure = Backpressure(db, QUEUED, None)
    pressure.refusal("pytorch", 0, 1)
    took, number = clock[0], len(statements)

    clock[0] += took * (REUSE_FACTOR - 1)
    pressure.refusal("pytorch", 0, 1)
    assert len(statements) == number

    clock[0] += took * 2
    pressure.refusal("pytorch", 0, 1)
    assert len(statements) == 2 * number
