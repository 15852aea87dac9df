"""Connections to the database: SQLite on one machine, PostgreSQL for several. `read` and `write` are transactions."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from jobs.errors import DatabaseUnavailable

# Parameters of libpq. With them a server that vanished from the network (no RST, no FIN) is an outage after some
# seconds; without them a thread hangs for a quarter of an hour.
_POSTGRESQL_TIMEOUTS = {
    "connect_timeout": 5,
    "tcp_user_timeout": 15000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
# The server ends a transaction that is idle for this long. So a client that vanished or froze inside a transaction
# holds its locks (the row of a batch, the lock of the sweep) no longer than that.
_IDLE_TRANSACTION_SECONDS = 15

T = TypeVar("T")
AnyRow = sa.Row[*tuple[Any, ...]]


class Database:
    """A pool of connections whose outages are raised as `DatabaseUnavailable`.

    `url` is an SQLAlchemy URL, `pool_size` the most connections of this process. SQLite runs in WAL mode with
    `synchronous=FULL`, so that a commit survives a power cut. A writer takes SQLite's lock at BEGIN, because a reader
    that becomes a writer later may fail.
    """

    def __init__(self, url: str, pool_size: int = 5) -> None:
        parsed = sa.make_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite:
            if parsed.database:
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            self.engine = sa.create_engine(parsed, pool_size=pool_size, max_overflow=0, connect_args={"timeout": 15})
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)
        else:
            if parsed.drivername == "postgresql":
                parsed = parsed.set(drivername="postgresql+psycopg")
            self.engine = sa.create_engine(
                parsed, pool_size=pool_size, max_overflow=0, pool_pre_ping=True, connect_args=_POSTGRESQL_TIMEOUTS
            )
            sa.event.listen(self.engine, "connect", _prepare_postgresql)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with _map_errors(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes: committed at the end of the block, rolled back if the block raises."""
        with _map_errors(), self.engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection

    def execute(self, statement: sa.UpdateBase) -> int:
        """Runs one INSERT, UPDATE or DELETE in a write transaction. Returns the number of rows that it changed."""
        with self.write() as connection:
            return connection.execute(statement).rowcount

    def retry(self, work: Callable[[Connection], T], attempts: int = 5) -> T:
        """Runs `work` in a write transaction and returns its result. Tries again after a deadlock, `attempts` in all.

        Raises `DatabaseUnavailable`.
        """
        # A loop and not tenacity: it runs for every claim, and tenacity would add some microseconds to each.
        for _ in range(attempts - 1):
            try:
                with self.write() as connection:
                    return work(connection)
            except Deadlock:
                continue
        with self.write() as connection:
            return work(connection)

    def close(self) -> None:
        self.engine.dispose()


def record_of(record: type[T], row: AnyRow, **others: Any) -> T:
    """A record with the row's columns of the same names, and with `others`, which replace them."""
    same = {name: value for name, value in zip(row._fields, row, strict=True) if name in record.__annotations__}
    return record(**same | others)


class Deadlock(DatabaseUnavailable):
    """The database rolled this transaction back so that another one could go on."""


@contextmanager
def _map_errors() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) in {"40P01", "40001"}:
            raise Deadlock(f"The database rolled the transaction back; try again: {error.orig}") from error
        raise DatabaseUnavailable(f"The database does not answer: {error.orig}") from error
    except InternalError as error:
        # A fault of the server, not of the statement; for example it is read-only after a failover.
        raise DatabaseUnavailable(f"The database can't run the statement now: {error.orig}") from error
    except (InterfaceError, PoolTimeout) as error:
        raise DatabaseUnavailable(f"The database does not answer: {error}") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise DatabaseUnavailable(f"The connection to the database broke: {error.orig}") from error
        raise


def _prepare_sqlite(connection: Any, _: object) -> None:
    # The driver must not send BEGIN itself: `_begin_sqlite` sends the right kind.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=15000"):
        connection.execute(f"PRAGMA {pragma}")


def _prepare_postgresql(connection: Any, _: object) -> None:
    connection.execute(f"SET idle_in_transaction_session_timeout = '{_IDLE_TRANSACTION_SECONDS}s'")
    connection.commit()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
