"""A whole service for a benchmark: `boxqueue up` in its own data folder, and an HTTP client."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psutil

READY_SECONDS = 180


class Service:
    """A running service. `http` is its client."""

    def __init__(self, url: str, process: psutil.Process) -> None:
        self.http = httpx.Client(base_url=url, timeout=120, trust_env=False)
        self._process = process

    def cpu_seconds(self) -> float:
        """CPU time of all processes of the service since they started."""
        return sum(sum(process.cpu_times()[:2]) for process in self.processes())

    def processes(self) -> list[psutil.Process]:
        """The processes of supervisor, Redis, API and workers."""
        found: list[psutil.Process] = self._process.children(recursive=True)
        return found

    def warm_up(self, model: str, picture: bytes) -> None:
        """Sends a picture, and waits until it has succeeded and the workers are warm."""
        response = self.http.post("/v1/jobs", data={"model": model}, files={"image": picture})
        response.raise_for_status()
        job = response.json()
        until = time.monotonic() + READY_SECONDS
        while job["status"] in ("queued", "running"):
            if time.monotonic() > until:
                raise SystemExit(f"The service did not finish a picture within {READY_SECONDS} s.")
            job = self.http.get(job["links"]["self"], params={"wait": 10}).json()
        if job["status"] != "succeeded":
            raise SystemExit(f"The service failed on a picture: {job['error']}")
        # The other children of the workers also need time to warm up.
        time.sleep(5)


@contextmanager
def service(**settings: str) -> Iterator[Service]:
    """Starts a service and stops it at the end. The names of `settings` are in lower case and without BOXQUEUE_."""
    with tempfile.TemporaryDirectory(prefix="boxqueue-bench-") as data, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        values = {"data": data, "port": str(port), **settings}
        environment = {**os.environ, **{f"BOXQUEUE_{name.upper()}": value for name, value in values.items()}}
        up = subprocess.Popen([sys.executable, "-m", "cli", "up"], env=environment, stdout=subprocess.DEVNULL)
        try:
            running = Service(f"http://127.0.0.1:{port}", psutil.Process(up.pid))
            _wait_ready(running.http, up)
            yield running
        finally:
            up.send_signal(signal.SIGINT)
            up.wait()


def _wait_ready(http: httpx.Client, up: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and up.poll() is None:
        try:
            if http.get("/readyz").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise SystemExit("The service did not start.")
