"""`python -m jobs.migrate`: migrates the database, also an empty one, to the newest schema.

It is safe to run again, and in several processes at the same time.
"""

import sys

from alembic import command
from alembic.config import Config

from jobs.database import Database
from jobs.errors import BoxqueueError
from jobs.settings import ROOT, Settings

# Any number; it only has to be the same in every process that migrates.
_ADVISORY_LOCK = 0x626F7871


def migrate(database_url: str, revision: str = "head") -> None:
    """Migrates a database to a revision. Raises `DatabaseUnavailable`."""
    database = Database(database_url, pool_size=1)
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    try:
        with database.write() as connection:
            if not database.is_sqlite:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    finally:
        database.close()


def main() -> None:
    if len(sys.argv) != 1:
        sys.exit("usage: python -m jobs.migrate    (the database is the setting BOXQUEUE_DATABASE_URL)")
    try:
        migrate(Settings.load().database_url)
    except BoxqueueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
