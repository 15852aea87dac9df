"""Recorded statements of a version, with which later versions test that it still works on their schema.

`python -m tests.integration.schema.recorded REVISION` runs jobs of all kinds on both databases at that revision of the
schema, and writes the statements into `statements/REVISION.json`. Run it before you add a migration, with the code that
must still work on the new schema.
"""

import json
import sys
import tempfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from psycopg.types.json import Json, Jsonb

from jobs import batches, idempotency, store
from jobs.database import Database
from jobs.errors import KeyInFlight, PictureEmpty
from jobs.migrate import migrate
from jobs.queue import claims, model_versions, queries, recovery, worker_registry
from jobs.queue.claims import Outcome
from jobs.records import ClaimableModel, NewJob
from jobs.tables import new_id
from tests.databases import PostgresServer
from tests.integration.jobs.engine import BUTTON, DIGEST, finish, new_job, submit, take, take_any

FOLDER = Path(__file__).parent / "statements"
WRITES = ("INSERT", "UPDATE", "DELETE")

# [number of the statement, parameters, whether they are a list for executemany, rows that it wrote]
Step = tuple[int, Any, bool, int | None]


def run_all_statements(db: Database) -> None:
    """Makes jobs and batches of every status and rows in every table, with every statement of the code."""
    worker = new_id()
    worker_registry.register(
        db, worker, runtime="pytorch", host="h", models={"cards": DIGEST}, device="cpu", versions={}
    )
    worker_registry.refresh(db, worker)
    worker_registry.set_models(db, worker, {"cards": DIGEST})
    worker_registry.remove_lost(db, 3600)
    batch = batches.create_batch(db, "May").id
    _keys(db)
    _work(db, batch)
    _cancel(db)
    submit(db, new_job(0, cache=True))
    submit(db, *(new_job(number) for number in range(50, 54)), batch_id=batches.create_batch(db, "June").id)
    take(db, most=2)
    submit(db, new_job(60, priority=-10))
    _read(db, batch)


def _keys(db: Database) -> None:
    for key in ("done", "in flight", "dropped"):
        idempotency.reserve_key(db, key, "print")
    with suppress(KeyInFlight):
        idempotency.reserve_key(db, "in flight", "print")
    idempotency.drop_key(db, "dropped")
    (job,) = store.submit(db, [new_job(20, metadata={"page": 3})], pipeline=1, key="done")
    store.cancel_job(db, job.id)


def _work(db: Database, batch: str) -> None:
    refused = NewJob("cards", DIGEST, "pytorch", None, PictureEmpty("The file is empty."), source="empty.png")
    submit(db, *(new_job(number, options={"min_score": 0.5}) for number in range(6)), refused, batch_id=batch)
    held = take(db, most=2)
    claims.extend_leases(db, [held.id], 15)
    finish(db, held)
    finish(db, held)
    claims.give_back(db, take(db, most=2))
    take(db, most=2, task="shared")
    recovery.record_crash(db, "shared")
    for task in ("first", "second"):
        held = take(db, most=1, task=task)
        claims.record_cause(db, [held.id], recovery.TIMED_OUT)
        recovery.record_crash(db, task)
    away = take(db, lease=-1)
    recovery.expire_leases(db)
    recovery.undo_expiry(db, away.id, [job.id for job in away.jobs])
    recovery.requeue_task(db, "unknown")
    for _ in range(2):
        recovery.requeue_as_suspects(db, take(db, most=1).id, "server_timeout", "It did not answer.")
    while last := take_any(db):
        claims.finish(db, last, [Outcome(job.id, None, "broken", "Torn.") for job in last.jobs], device="cpu")
    batches.close_batch(db, batch)


def _cancel(db: Database) -> None:
    cancelled = batches.create_batch(db, None).id
    submit(db, new_job(30), new_job(31), batch_id=cancelled)
    batches.cancel_batch(db, cancelled)
    for batch in batches.cancelling_batches(db):
        while batches.cancel_rows(db, batch):
            pass


def _read(db: Database, batch: str) -> None:
    batches.get_batch(db, batch)
    store.list_jobs(db, batch=batch, status="succeeded", model="cards", label=BUTTON.label, min_score=0.5)
    found = [job.id for job in store.batch_results(db, batch)]
    store.unfinished(db, found)
    queries.has_waiting(db, "pytorch", {"cards": ClaimableModel(DIGEST, 8)})
    worker_registry.queues(db)
    queries.waiting_runtimes(db)
    worker_registry.live_models(db)
    stranger = new_id()
    worker_registry.register(db, stranger, runtime="pytorch", host="h", models={}, device="cpu", versions={})
    worker_registry.set_models(db, stranger, {"seals": "e" * 64, "signs": DIGEST})
    worker_registry.remove_model(db, stranger, "signs", DIGEST)
    submit(db, new_job(40, model="seals"))
    model_versions.move_to_current(db, "pytorch", {"seals": "e" * 64}, catalogue_age=-60.0)
    worker_registry.unregister(db, stranger)


class Recording:
    """Transactions of one version on one kind of database."""

    def __init__(self, statements: list[str], transactions: list[list[Step]]) -> None:
        self.statements = statements
        self.transactions = transactions

    @classmethod
    def load(cls, revision: str, dialect: str) -> "Recording":
        return cls(**json.loads((FOLDER / f"{revision}.json").read_text(), object_hook=_decoded)[dialect])

    @classmethod
    def of_all_statements(cls, db: Database) -> "Recording":
        recording = cls([], [])
        number: dict[str, int] = {}

        def note(_: Any, cursor: Any, statement: str, parameters: Any, __: Any, many: bool) -> None:
            if statement.startswith("BEGIN"):
                return
            if statement not in number:
                number[statement] = len(number)
                recording.statements.append(statement)
            # The number of returned rows is not known before they are fetched.
            counts = statement.startswith(WRITES) and "RETURNING" not in statement and not many
            wrote = cursor.rowcount if counts else None
            recording.transactions[-1].append((number[statement], parameters, many, wrote))

        sa.event.listen(db.engine, "begin", lambda _: recording.transactions.append([]))
        sa.event.listen(db.engine, "after_cursor_execute", note)
        run_all_statements(db)
        return recording

    def replay(self, db: Database) -> list[str]:
        """Runs all statements again. Returns those that wrote another number of rows than when they were recorded."""
        faults = []
        for steps in self.transactions:
            with db.write() as connection:
                for number, parameters, many, wrote in steps:
                    arguments = [_arguments(one) for one in parameters] if many else _arguments(parameters)
                    result = connection.exec_driver_sql(self.statements[number], arguments)
                    if wrote is not None and result.rowcount != wrote:
                        faults.append(f"{result.rowcount} rows instead of {wrote}: {self.statements[number]}")
                    result.close()
        return faults


def _arguments(parameters: Any) -> Any:
    return tuple(parameters) if isinstance(parameters, list) else parameters


def _encoded(value: Any) -> Any:
    if isinstance(value, Json | Jsonb):
        return {"$json": value.obj}
    if isinstance(value, datetime):
        return {"$time": value.isoformat()}
    raise TypeError(f"{value!r} can't be recorded")


def _decoded(value: dict[str, Any]) -> Any:
    if "$json" in value:
        return Jsonb(value["$json"])
    return datetime.fromisoformat(value["$time"]) if "$time" in value else value


def main() -> None:
    (revision,) = sys.argv[1:]
    postgres = PostgresServer()
    with tempfile.TemporaryDirectory() as folder, postgres.database(None) as postgresql:
        found = {}
        for dialect, url in (("sqlite", f"sqlite:///{folder}/recorded.db"), ("postgresql", postgresql)):
            migrate(url, revision)
            db = Database(url)
            found[dialect] = Recording.of_all_statements(db).__dict__
            db.close()
    postgres.close()
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{revision}.json").write_text(json.dumps(found, default=_encoded, indent=None) + "\n")


if __name__ == "__main__":
    main()
