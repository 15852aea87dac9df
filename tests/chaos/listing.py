"""The jobs of a ledger as the service shows them, read over HTTP until all of them are finished."""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import Any

import httpx

from tests.services.client import OPEN, Client

PAGE = 200
POLL_SECONDS = 1.0
TRIES = 30


class Listing(Client):
    """Jobs and batches by their ids."""

    def wait_until_answered(self, ids: set[str], patience_s: float, progress: Callable[[int], None]) -> set[str]:
        """Waits until no job is open, or until none has finished for `patience_s` seconds. Returns the open jobs."""
        oldest = min(ids, default="")
        before: set[str] = set()
        changed = time.monotonic()
        while True:
            now_open = {job["id"] for status in OPEN for job in self.jobs(oldest, status=status)} & ids
            progress(len(now_open))
            if now_open != before:
                before, changed = now_open, time.monotonic()
            if not now_open or time.monotonic() - changed > patience_s:
                return now_open
            time.sleep(POLL_SECONDS)

    def jobs(self, oldest: str, **filters: str) -> Iterator[dict[str, Any]]:
        """Newest first, down to the id `oldest`: ids made later sort later."""
        address: str | None = "/v1/jobs"
        parameters: dict[str, Any] | None = {"limit": PAGE, **filters}
        while address:
            page = self.request("GET", address, params=parameters).json()
            for job in page["jobs"]:
                if job["id"] < oldest:
                    return
                yield job
            address, parameters = page["next"], None

    def job(self, job_id: str) -> dict[str, Any] | None:
        """None if there is no such job."""
        return self._found(f"/v1/jobs/{job_id}")

    def batch(self, batch_id: str) -> dict[str, Any] | None:
        return self._found(f"/v1/batches/{batch_id}")

    def _found(self, path: str) -> dict[str, Any] | None:
        response = self.request("GET", path, accept=(404,))
        found: dict[str, Any] | None = None if response.status_code == 404 else response.json()
        return found

    def request(self, method: str, path: str, *, accept: Collection[int] = (), **rest: Any) -> httpx.Response:
        """Tries until the service answers with something that is not an outage."""
        for _ in range(TRIES):
            with suppress(httpx.TransportError):
                response = super().request(method, path, accept=(*accept, 429, 503), **rest)
                if response.status_code not in (429, 503):
                    return response
            time.sleep(POLL_SECONDS)
        raise TimeoutError(f"{path} of the service had no answer")
