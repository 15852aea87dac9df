"""How fast Redis handles doorbells, and how fast a store in a folder handles pictures."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import psutil
import redis

from cli.local.redis_server import redis_command
from jobs.image_store import ImageStore
from jobs.queue.doorbell import Doorbell
from jobs.settings import Settings

RUNTIME = "pytorch"
PICTURES, PICTURE_BYTES = 1_000, 50_000


@dataclass(frozen=True)
class Doorbells:
    """Rates of doorbells. A doorbell here is the test whether enough messages wait, the message, its delivery, and the
    announcement of finished jobs."""

    per_s: float
    """Doorbells a second of one client that does nothing else."""
    redis_cpu_us: float
    """CPU time of the server per doorbell. The server has one thread, so it handles at most 1e6 / this a second."""


def doorbells(seconds: float) -> Doorbells:
    """Rings, receives and announces in turn for `seconds`, on its own Redis server."""
    with tempfile.TemporaryDirectory(prefix="boxqueue-bench-") as folder, _redis(Path(folder)) as (url, server):
        queue = Doorbell(Settings(redis_url=url, data=Path(folder)))
        client = redis.Redis.from_url(url)
        queue.ring(RUNTIME)  # connects
        number, before, begin = 0, server.cpu_times(), time.perf_counter()
        while (took := time.perf_counter() - begin) < seconds:
            queue.ring(RUNTIME)
            client.brpop([RUNTIME])
            queue.announce(["0" * 36] * 8)
            number += 1
        after = server.cpu_times()
    used = after.user + after.system - before.user - before.system
    return Doorbells(number / took, 1e6 * used / number)


@contextmanager
def _redis(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    socket = folder / "redis.sock"
    command = redis_command(str(socket))
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    try:
        while not socket.exists():
            if process.poll() is not None:
                raise SystemExit(f"{command[0]} did not start.")
            time.sleep(0.02)
        yield f"unix://{socket}", psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def store_reads(readers: int) -> tuple[float, float]:
    """Pictures of 50 kB per second: written to a store in a folder (with fsync), and read by `readers` threads."""
    pictures = [number.to_bytes(4, "big") * (PICTURE_BYTES // 4) for number in range(PICTURES)]
    named = [(sha256(data).hexdigest(), data) for data in pictures]
    with tempfile.TemporaryDirectory(prefix="boxqueue-bench-") as folder, ThreadPoolExecutor(readers) as threads:
        store = ImageStore(f"file://{folder}/images")
        store.prepare()
        begin = time.perf_counter()
        store.put_many(named)
        written = time.perf_counter()
        list(threads.map(store.get, [name for name, _ in named]))
        read = time.perf_counter()
    return PICTURES / (written - begin), PICTURES / (read - written)
