"""Two versions at the same time: the old one works on the migrated database, and each accepts the other's doorbells."""

import base64
import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis
import sqlalchemy as sa

import jobs.queue.doorbell
from jobs.database import Database
from jobs.migrate import migrate
from jobs.queue.doorbell import MESSAGE_VERSION, TASK, VERSION_HEADER, Doorbell
from jobs.settings import Settings
from jobs.tables import STATUSES, Base, new_id
from tests.integration.jobs.engine import finish, new_job, submit, take_any
from tests.integration.schema.recorded import FOLDER, Recording
from tests.services.redis import RedisServer
from worker import tasks

REVISIONS = sorted(path.stem for path in FOLDER.glob("*.json"))


@pytest.fixture(params=REVISIONS)
def recording(request: pytest.FixtureRequest, database_url: str) -> Recording:
    """The recorded statements of a version for this kind of database."""
    return Recording.load(request.param, "sqlite" if database_url.startswith("sqlite") else "postgresql")


@pytest.fixture
def first(empty_database_url: str) -> Iterator[Database]:
    """A database at the first revision."""
    migrate(empty_database_url, REVISIONS[0])
    database = Database(empty_database_url)
    yield database
    database.close()


def contents(db: Database, columns: dict[str, list[str]] | None = None) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, with only the given columns if there are any."""
    with db.read() as connection:
        inspector = sa.inspect(connection)
        found = {}
        for table in sorted(set(inspector.get_table_names()) - {"alembic_version"}):
            names = columns[table] if columns else [column["name"] for column in inspector.get_columns(table)]
            rows = connection.exec_driver_sql(f"SELECT {', '.join(names)} FROM {table}")
            found[table] = sorted((tuple(row) for row in rows), key=str)
    return found


def names(db: Database) -> dict[str, list[str]]:
    with db.read() as connection:
        inspector = sa.inspect(connection)
        return {
            table: [column["name"] for column in inspector.get_columns(table)] for table in inspector.get_table_names()
        }


def test_a_filled_database_is_migrated_and_nothing_in_it_changes(first: Database, empty_database_url: str) -> None:
    dialect = "sqlite" if first.is_sqlite else "postgresql"
    assert Recording.load(REVISIONS[0], dialect).replay(first) == []
    before, columns = contents(first), names(first)
    assert all(before[table.name] for table in Base.metadata.sorted_tables if table.name in before)
    with first.read() as connection:
        assert set(connection.scalars(sa.text("SELECT status FROM jobs"))) == set(STATUSES)

    migrate(empty_database_url)

    after = contents(first, columns)
    assert {table: after[table] for table in before} == before
    # The current code works with it.
    submit(first, new_job(99))
    while held := take_any(first):
        assert finish(first, held) == {job.id for job in held.jobs}


def test_the_statements_of_earlier_versions_do_the_same_on_the_newest_schema(
    db: Database, recording: Recording
) -> None:
    assert recording.replay(db) == []


def test_an_old_worker_ignores_the_version_in_a_doorbell(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.queue.doorbell, "RING_TIMEOUT_SECONDS", 60)
    server, queue = redis.Redis(unix_socket_path=str(redis_server.socket)), f"queue-{new_id()}"

    Doorbell(Settings(redis_url=redis_server.url)).ring(queue)

    (message,) = (json.loads(raw) for raw in server.lrange(queue, 0, -1))
    assert message["headers"]["task"] == TASK
    assert message["headers"][VERSION_HEADER] == MESSAGE_VERSION
    arguments, keywords, _ = json.loads(base64.b64decode(message["body"]))
    # The task takes no arguments: with some, an old worker would fail at each doorbell.
    assert (arguments, keywords) == ([], {})


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"headers": {VERSION_HEADER: MESSAGE_VERSION + 1}, "args": ["more"], "kwargs": {"to": "come"}},
        {"headers": {VERSION_HEADER: "nonsense"}},
    ],
    ids=["of an older version", "of a newer version", "of no version"],
)
def test_doorbells_of_every_version_are_answered(
    message: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answered: list[str] = []
    monkeypatch.setattr(tasks, "_child", SimpleNamespace())
    monkeypatch.setattr(tasks, "Pipeline", lambda _, task: SimpleNamespace(drain=lambda: answered.append(task)))
    tasks._log_newer_version.cache_clear()

    with caplog.at_level(logging.INFO):
        for number in range(3):
            assert tasks.detect.apply(task_id=f"task-{number}", **message).state == "SUCCESS"

    assert answered == ["task-0", "task-1", "task-2"]
    # Once, not for each doorbell.
    assert caplog.text.count("a newer Boxqueue rings") == ("args" in message)
