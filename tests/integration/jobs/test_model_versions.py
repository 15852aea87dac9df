"""Jobs that wait for an old version of a model, on real databases."""

import pytest
import sqlalchemy as sa

from jobs.database import Database
from jobs.queue import model_versions, worker_registry
from jobs.tables import Job, new_id
from tests.integration.jobs.engine import DIGEST, new_job, submit, take

NEW = "e" * 64


def serve(db: Database, **models: str) -> None:
    worker_registry.register(db, new_id(), runtime="pytorch", host="here", models=models, device="cpu", versions={})


def digests(db: Database) -> dict[str, int]:
    with db.read() as connection:
        counted = sa.select(Job.model_digest, sa.func.count()).group_by(Job.model_digest)
        return dict(connection.execute(counted).all())


def test_jobs_of_a_version_without_a_worker_get_the_current_one(db: Database) -> None:
    submit(db, *(new_job(number) for number in range(12)))
    take(db, most=4)
    submit(db, *(new_job(number, model="signs") for number in range(3)))
    serve(db, cards=NEW)

    moved = model_versions.move_to_current(db, "pytorch", {"cards": NEW}, catalogue_age=-1.0)

    # Running jobs are answered by the version with which they were claimed.
    assert moved == {"cards": 8}
    assert digests(db) == {DIGEST: 7, NEW: 8}
    assert model_versions.move_to_current(db, "pytorch", {"cards": NEW}, catalogue_age=-1.0) == {}


def test_a_long_queue_moves_in_chunks(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(db, *(new_job(number) for number in range(30)))
    serve(db, cards=NEW)
    monkeypatch.setattr(model_versions, "CHUNK", 7)

    assert model_versions.move_to_current(db, "pytorch", {"cards": NEW}, catalogue_age=-1.0) == {"cards": 30}


def test_jobs_stay_while_a_live_worker_serves_their_version(db: Database) -> None:
    submit(db, new_job())
    serve(db, cards=NEW)
    serve(db, cards=DIGEST)

    assert model_versions.move_to_current(db, "pytorch", {"cards": NEW}, catalogue_age=-1.0) == {}


def test_jobs_stay_if_the_current_version_is_not_served_either(db: Database) -> None:
    submit(db, new_job())
    serve(db)

    assert model_versions.move_to_current(db, "pytorch", {"cards": NEW}, catalogue_age=-1.0) == {}


def test_jobs_that_are_newer_than_the_catalogue_stay(db: Database) -> None:
    submit(db, new_job())
    serve(db, cards=NEW)

    assert model_versions.move_to_current(db, "pytorch", {"cards": NEW}, catalogue_age=60.0) == {}
