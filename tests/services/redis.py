"""A Redis for a test."""

import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import redis

from cli.local.redis_server import redis_command
from tests.services.waiting import wait_for


class RedisServer:
    """A redis-server on a Unix socket. It writes nothing to the disk, so it is empty after a restart."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self.client = redis.Redis(unix_socket_path=str(self.socket))
        self.start()

    @property
    def processes(self) -> set[int]:
        return {self._process.pid} if self._process else set()

    def start(self) -> None:
        self._process = subprocess.Popen(
            redis_command(str(self.socket)),
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the terminal must not reach it
        )
        wait_for(self._answers, "redis-server")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """From now on the kernel accepts connections, but Redis does not answer."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def flush(self) -> None:
        """Deletes everything in it."""
        self.client.flushall()

    def _answers(self) -> bool:
        with suppress(redis.ConnectionError):
            return bool(self.client.ping())
        return False
