"""Real worker processes on a real Redis and a real database, with a runtime that crashes on demand."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from jobs.migrate import migrate
from tests import poison
from tests.databases import PostgresServer, SqliteFiles
from tests.e2e.rig import Rig
from tests.services.programs import Start, Up
from tests.services.redis import RedisServer


@pytest.fixture
def rig(tmp_path: Path, database_url: str, redis_server: RedisServer) -> Iterator[Rig]:
    """Workers on each kind of database."""
    yield from _rig(tmp_path, database_url, redis_server)


@pytest.fixture
def sqlite_rig(tmp_path: Path, migrated_sqlite: str, redis_server: RedisServer) -> Iterator[Rig]:
    """Workers on SQLite, for tests that do not depend on the kind of database."""
    yield from _rig(tmp_path, migrated_sqlite, redis_server)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_rig(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sqlite_files: SqliteFiles
) -> Iterator[Rig]:
    """A worker on each kind of database with its own Redis, for tests that leave it working."""
    folder = tmp_path_factory.mktemp("shared")
    with ExitStack() as stack:
        if request.param == "sqlite":
            database_url = sqlite_files.copy(folder / "test.db")
        else:
            postgres: PostgresServer = request.getfixturevalue("postgres")
            database_url = stack.enter_context(postgres.database(migrate))
        redis_server = RedisServer(folder)
        stack.callback(redis_server.kill)
        rig = Rig(folder, database_url, redis_server.url, poison.write_catalogue(folder))
        stack.callback(rig.stop)
        rig.start_worker()
        yield rig


def _rig(folder: Path, database_url: str, redis_server: RedisServer) -> Iterator[Rig]:
    redis_server.flush()
    rig = Rig(folder, database_url, redis_server.url, poison.write_catalogue(folder))
    yield rig
    rig.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a `boxqueue up`, by default in the folder `data` of the test."""
    started: list[Up] = []

    def start(**settings: Any) -> Up:
        log = tmp_path / f"up-{len(started)}.log"
        started.append(Up(log, **{"data": tmp_path / "data", **settings}))
        return started[-1]

    yield start
    for up in started:
        up.end()
