from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError, StatementError

from jobs.database import Database, Deadlock
from jobs.errors import DatabaseUnavailable


class DriverError(Exception):
    """An error of the driver, with PostgreSQL's error code."""

    def __init__(self, sqlstate: str = "") -> None:
        super().__init__("the driver says why")
        self.sqlstate = sqlstate


DEADLOCK = OperationalError("SELECT 1", None, DriverError("40P01"))


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    db = Database(f"sqlite:///{tmp_path}/test.db")
    yield db
    db.close()


def test_what_sqlite_has_committed_survives_a_power_cut(db: Database) -> None:
    with db.read() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }

    # 2 is FULL: with less, WAL loses the last commits.
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("SELECT 1", None, DriverError()),
        InternalError("SELECT 1", None, DriverError("25006")),
        InterfaceError("SELECT 1", None, DriverError()),
        DBAPIError("SELECT 1", None, DriverError(), connection_invalidated=True),
        sa.exc.TimeoutError("no connection is free"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_outage_is_raised_as_database_unavailable(db: Database, error: Exception) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"The (connection to the )?database"), db.read():
        raise error


@pytest.mark.parametrize(
    "error", [DBAPIError("SELECT 1", None, DriverError()), StatementError("wrong", "SELECT 1", None, ValueError())]
)
def test_a_wrong_statement_is_raised_unchanged(db: Database, error: Exception) -> None:
    with pytest.raises(type(error)), db.read():
        raise error


def test_a_transaction_that_lost_a_deadlock_is_tried_again(db: Database) -> None:
    left = [DEADLOCK, DEADLOCK]

    def work(_: Connection) -> str:
        if left:
            raise left.pop()
        return "done"

    assert db.retry(work) == "done"


def test_a_transaction_that_loses_each_time_gives_up(db: Database) -> None:
    tries = []

    def work(connection: Connection) -> None:
        tries.append(connection)
        raise DEADLOCK

    with pytest.raises(Deadlock):
        db.retry(work, attempts=3)
    assert len(tries) == 3
