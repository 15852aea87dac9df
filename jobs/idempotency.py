"""Idempotency keys: a request that is sent again with the same key gets the same jobs."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from jobs.clock import now
from jobs.database import AnyRow, Database
from jobs.errors import KeyInFlight, KeyReused
from jobs.tables import IdempotencyKey

# A request that has not finished after this long has most likely crashed with its process, so its key is free again.
# If it is only slow, no harm is done: of the two requests the first to commit creates the jobs.
IN_FLIGHT_SECONDS = 20.0
KEY_LIFETIME_SECONDS = 24 * 3600.0


def reserve_key(db: Database, key: str, fingerprint: str) -> list[str] | None:
    """Reserves `key` for a request and returns None. If the key was used, returns the ids of the jobs of that request.

    `fingerprint` identifies the content of the request. Raises `KeyReused` if it differs from the first request's,
    `KeyInFlight` if the first request has not finished.
    """

    def work(connection: Connection) -> list[str] | None:
        connection.execute(
            sa.delete(IdempotencyKey).where(IdempotencyKey.key == key, IdempotencyKey.expires_at < now())
        )
        known = connection.execute(_entry(key)).one_or_none()
        if known is None:
            connection.execute(
                sa.insert(IdempotencyKey).values(key=key, fingerprint=fingerprint, expires_at=now(IN_FLIGHT_SECONDS))
            )
            return None
        return _jobs_of(known, key, fingerprint)

    try:
        return db.retry(work)
    except sa.exc.IntegrityError:
        # Two requests with the same new key at the same moment, and the other one was first.
        raise _in_flight(key) from None


def known_jobs(db: Database, key: str, fingerprint: str) -> list[str] | None:
    """The ids of the jobs of the request with this key; None if there was none. Writes nothing.

    Raises `KeyReused` or `KeyInFlight` as `reserve_key` does.
    """
    with db.read() as connection:
        known = connection.execute(_entry(key).where(IdempotencyKey.expires_at >= now())).one_or_none()
    return None if known is None else _jobs_of(known, key, fingerprint)


def store_key(connection: Connection, key: str, job_ids: list[str]) -> None:
    """Stores the jobs of a reserved key, in the transaction that creates them.

    Raises `KeyInFlight` if this request took so long that a second one with the same key has created its jobs.
    """
    stored = connection.execute(
        sa.update(IdempotencyKey)
        .where(IdempotencyKey.key == key, IdempotencyKey.job_ids.is_(None))
        .values(job_ids=job_ids, expires_at=now(KEY_LIFETIME_SECONDS))
    )
    if stored.rowcount == 0:
        raise KeyInFlight(
            f"Another request with the Idempotency-Key {key!r} was faster. Send the request again to get its jobs."
        )


def drop_key(db: Database, key: str) -> None:
    """Frees a key whose request failed before it created jobs."""
    db.execute(sa.delete(IdempotencyKey).where(IdempotencyKey.key == key, IdempotencyKey.job_ids.is_(None)))


def _entry(key: str) -> sa.Select[str, list[str] | None]:
    return sa.select(IdempotencyKey.fingerprint, IdempotencyKey.job_ids).where(IdempotencyKey.key == key)


def _jobs_of(known: AnyRow, key: str, fingerprint: str) -> list[str]:
    if known.fingerprint != fingerprint:
        raise KeyReused(f"The Idempotency-Key {key!r} was used before with another request. Use a new key.")
    if known.job_ids is None:
        raise _in_flight(key)
    return list(known.job_ids)


def _in_flight(key: str) -> KeyInFlight:
    return KeyInFlight(f"The first request with the Idempotency-Key {key!r} has not finished yet. Try again.")
