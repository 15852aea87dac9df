"""The plans (EXPLAIN) of the statements that a piece of work runs."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from jobs.database import Database

# Tables that grow with every job. No statement may read one of them from end to end.
GROWING_TABLES = ("jobs", "detections", "claims", "images")
_EXPLAINED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
# A partial index may be read from end to end, because it has only queued or running jobs.
_SQLITE_INDEX = re.compile(r"USING (?:COVERING )?(?:INDEX (\S+)|(PRIMARY KEY))")
_POSTGRESQL_INDEX = re.compile(r"(?:Index(?: Only)? Scan(?: Backward)?(?: using)?|Bitmap Index Scan on) (\S+)")
_SQLITE_SCAN = re.compile(rf"SCAN ({'|'.join(GROWING_TABLES)})(?! USING)")
_POSTGRESQL_SCAN = re.compile(rf"Seq Scan on ({'|'.join(GROWING_TABLES)})")


@dataclass(frozen=True)
class Plan:
    """One statement's plan."""

    statement: str
    text: str
    """The output of EXPLAIN."""
    indexes: tuple[str, ...]
    """Names of the indexes, each once, in the order of the plan. `PRIMARY KEY` is SQLite's name."""
    scanned: tuple[str, ...]
    """Those of `GROWING_TABLES` that are read from end to end."""


def plans(db: Database, work: Callable[[], Any]) -> list[Plan]:
    """Runs `work` and returns the plan of each of its statements, in order."""
    seen: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, ___: Any, many: bool) -> None:
        if statement.startswith(_EXPLAINED):
            # The plan is the same for every row of parameters.
            seen.append((statement, parameters[0] if many else parameters))

    sa.event.listen(db.engine, "before_cursor_execute", note)
    try:
        work()
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN " if db.is_sqlite else "EXPLAIN "
    found = []
    for statement, parameters in seen:
        with db.read() as connection:
            rows = connection.exec_driver_sql(explain + statement, parameters).all()
        found.append(_plan(db, statement, "\n".join(str(row[-1]) for row in rows)))
    return found


def _plan(db: Database, statement: str, text: str) -> Plan:
    names = (_SQLITE_INDEX if db.is_sqlite else _POSTGRESQL_INDEX).finditer(text)
    scanned = (_SQLITE_SCAN if db.is_sqlite else _POSTGRESQL_SCAN).finditer(text)
    return Plan(
        " ".join(statement.split()),
        text,
        tuple(dict.fromkeys(next(name for name in match.groups() if name) for match in names)),
        tuple(dict.fromkeys(match[1] for match in scanned)),
    )
