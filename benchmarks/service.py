"""A whole service for a benchmark: `boxqueue up` in a data folder of its own, spoken to over HTTP."""

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
    """A running service. `http` is a client of it."""

    def __init__(self, url: str, process: psutil.Process) -> None:
        self.http = httpx.Client(base_url=url, timeout=120, trust_env=False)
        self._process = process

    def cpu_seconds(self) -> float:
        """CPU time that all its processes have used."""
        return sum(sum(process.cpu_times()[:2]) for process in self.processes())

    def processes(self) -> list[psutil.Process]:
        """Supervisor, Redis, API, the workers' parents and children."""
        found: list[psutil.Process] = self._process.children(recursive=True)
        return found

    def settle(self, model: str, picture: bytes) -> None:
        """Waits until the workers are warm: a picture has gone through."""
        response = self.http.post("/v1/jobs", data={"model": model}, files={"image": picture})
        response.raise_for_status()
        job = response.json()
        until = time.monotonic() + READY_SECONDS
        while job["status"] in ("queued", "running"):
            if time.monotonic() > until:
                raise SystemExit("The service did not answer a picture.")
            job = self.http.get(job["links"]["self"], params={"wait": 10}).json()
        if job["status"] != "succeeded":
            raise SystemExit(f"The service failed on a picture: {job['error']}")
        # Until the other children are as warm as the one that answered.
        time.sleep(5)


@contextmanager
def service(**settings: str) -> Iterator[Service]:
    """Starts one and stops it. `settings` are those of the environment, in lower case without their prefix."""
    with tempfile.TemporaryDirectory(prefix="boxqueue-bench-") as data, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        given = {"data": data, "port": str(port), **settings}
        environment = {**os.environ, **{f"BOXQUEUE_{name.upper()}": value for name, value in given.items()}}
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
