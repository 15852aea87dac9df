"""The migrations create the same tables as the models, and bring an empty database to head."""

import re

import sqlalchemy as sa

from jobs.database import Database
from jobs.migrate import migrate
from jobs.tables import Base


def test_models_and_migrations_agree_on_sqlite(tmp_path: object) -> None:
    migrated, declared = f"sqlite:///{tmp_path}/migrated.db", f"sqlite:///{tmp_path}/declared.db"
    migrate(migrated)
    with Database(declared).write() as connection:
        Base.metadata.create_all(connection)

    assert _sqlite_schema(migrated) == _sqlite_schema(declared)


def test_models_and_migrations_agree_on_postgresql(empty_postgres: str) -> None:
    migrate(empty_postgres)
    migrated = _postgres_schema(empty_postgres)
    db = Database(empty_postgres)
    with db.write() as connection:
        Base.metadata.drop_all(connection)
        Base.metadata.create_all(connection)

    assert _postgres_schema(empty_postgres) == migrated
    db.close()


def test_migrating_again_changes_nothing(db: Database, database_url: str) -> None:
    migrate(database_url)

    with db.read() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM alembic_version")) == 1


def _sqlite_schema(url: str) -> list[str]:
    """Columns, constraints and indexes in any order, since a column that was added later is the last one."""
    query = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alembic%'"
    db = Database(url)
    with db.read() as connection:
        statements = list(connection.scalars(sa.text(query)))
    db.close()
    bare = ["".join(sql.replace('"', "").split()) for sql in statements]
    return sorted("".join(sorted(re.sub(r"\)(?=$|WITHOUTROWID$)", ",", sql).split(","))) for sql in bare)


def _postgres_schema(url: str) -> list[tuple[object, ...]]:
    columns = """
        SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'"""
    indexes = """
        SELECT indexname, indexdef FROM pg_indexes
        WHERE schemaname = 'public' AND tablename <> 'alembic_version'"""
    constraints = """
        SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND contype IN ('c', 'f')"""
    db = Database(url)
    with db.read() as connection:
        rows = [tuple(row) for query in (columns, indexes, constraints) for row in connection.execute(sa.text(query))]
    db.close()
    return sorted(rows, key=str)
