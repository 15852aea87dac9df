"""Idempotency-Key: the same key gives the same jobs, however often a client has to send its request."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from jobs.clock import now
from jobs.database import AnyRow, Database
from jobs.errors import KeyInFlight, KeyReused
from jobs.tables import IdempotencyKey

# A request that has not finished after this long has died with its process, most likely, and its client waits for the
# key to be free again. One that is only slow does no harm: of the two, whoever commits first makes the jobs.
IN_FLIGHT_SECONDS = 20.0
KEPT_SECONDS = 24 * 3600.0


def reserve_key(db: Database, key: str, fingerprint: str) -> list[str] | None:
    """Reserves `key` for a request and gives None; or gives the ids of the jobs of the first request that had it.

    `fingerprint` tells requests apart. Raises `KeyReused` where it differs, `KeyInFlight` where the first request has
    not finished.
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
        # Two requests with one new key at the same moment: the other one was first.
        raise KeyInFlight(f"The first request with the Idempotency-Key {key!r} has not finished yet.") from None


def known_jobs(db: Database, key: str, fingerprint: str) -> list[str] | None:
    """The ids of the jobs of the request that had this key, or None where none had. Reserves and writes nothing.

    Raises `KeyReused` or `KeyInFlight` as `reserve_key` does.
    """
    with db.read() as connection:
        known = connection.execute(_entry(key).where(IdempotencyKey.expires_at >= now())).one_or_none()
    return None if known is None else _jobs_of(known, key, fingerprint)


def store_key(connection: Connection, key: str, job_ids: list[str]) -> None:
    """Notes the jobs of a reserved key, in the transaction that makes them.

    Raises `KeyInFlight` where this request took so long that a second one with the same key has made its jobs.
    """
    stored = connection.execute(
        sa.update(IdempotencyKey)
        .where(IdempotencyKey.key == key, IdempotencyKey.job_ids.is_(None))
        .values(job_ids=job_ids, expires_at=now(KEPT_SECONDS))
    )
    if stored.rowcount == 0:
        raise KeyInFlight(f"Another request with the Idempotency-Key {key!r} was quicker; send it again.")


def drop_key(db: Database, key: str) -> None:
    """Frees a key whose request failed before it made any job."""
    with db.write() as connection:
        connection.execute(sa.delete(IdempotencyKey).where(IdempotencyKey.key == key, IdempotencyKey.job_ids.is_(None)))


def _entry(key: str) -> sa.Select[str, list[str] | None]:
    return sa.select(IdempotencyKey.fingerprint, IdempotencyKey.job_ids).where(IdempotencyKey.key == key)


def _jobs_of(known: AnyRow, key: str, fingerprint: str) -> list[str]:
    if known.fingerprint != fingerprint:
        raise KeyReused(f"The Idempotency-Key {key!r} came before with another request.")
    if known.job_ids is None:
        raise KeyInFlight(f"The first request with the Idempotency-Key {key!r} has not finished yet.")
    return list(known.job_ids)
