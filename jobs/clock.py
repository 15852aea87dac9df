"""The database's clock. Leases, ages and timestamps are measured with this one clock only."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement

# SQLAlchemy stores a DateTime on SQLite as text of this form. With the same form, texts compare as times do.
_SQLITE_FORMAT = "'%Y-%m-%d %H:%M:%f000'"


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """A point in time: in Python always a `datetime` in UTC with its time zone, on either database."""

    # Not from a library: sqlalchemy-utc has had no release since 2021, and Advanced Alchemy's type returns the time
    # zone of the PostgreSQL session.

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class now(FunctionElement[datetime]):  # noqa: N801 - a function of SQL
    """The database's time at the start of the statement, plus `seconds`, which may be negative."""

    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(sa.bindparam(None, float(seconds), sa.Float))


@compiles(now, "sqlite")
def _sqlite_now(element: now, compiler: Any, **kw: Any) -> str:
    seconds = compiler.process(element.clauses, **kw)
    return f"strftime({_SQLITE_FORMAT}, 'now', printf('%+.3f seconds', {seconds}))"


@compiles(now, "postgresql")
def _postgresql_now(element: now, compiler: Any, **kw: Any) -> str:
    return f"(statement_timestamp() + make_interval(secs => {compiler.process(element.clauses, **kw)}))"


class seconds_since(FunctionElement[float]):  # noqa: N801
    """Seconds from a timestamp to now, on the database's clock."""

    type = sa.Float()
    inherit_cache = True


@compiles(seconds_since, "sqlite")
def _sqlite_since(element: seconds_since, compiler: Any, **kw: Any) -> str:
    return f"((julianday('now') - julianday({compiler.process(element.clauses, **kw)})) * 86400.0)"


@compiles(seconds_since, "postgresql")
def _postgresql_since(element: seconds_since, compiler: Any, **kw: Any) -> str:
    return f"extract(epoch FROM (statement_timestamp() - {compiler.process(element.clauses, **kw)}))::float8"
