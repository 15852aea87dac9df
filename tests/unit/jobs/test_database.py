from pathlib import Path

from jobs.database import Database


def test_what_sqlite_has_committed_survives_a_power_cut(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path}/test.db")

    with db.read() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }

    # 2 is FULL: with less, WAL loses the last commits.
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    db.close()
