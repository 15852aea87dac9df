"""What the service says about the jobs of a ledger, read over HTTP until all of them have their answer."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx

OPEN = ("queued", "running")
PAGE = 200
POLL_SECONDS = 1.0
TRIES = 30


class Listing:
    """Jobs and batches by their ids."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def wait_until_answered(self, ids: set[str], patience_s: float, tell: Callable[[int], None]) -> set[str]:
        """The jobs that are still open when none of them has moved for `patience_s` seconds."""
        oldest = min(ids, default="")
        before: set[str] = set()
        moved = time.monotonic()
        while True:
            now_open = {job["id"] for status in OPEN for job in self.jobs(oldest, status=status)} & ids
            tell(len(now_open))
            if now_open != before:
                before, moved = now_open, time.monotonic()
            if not now_open or time.monotonic() - moved > patience_s:
                return now_open
            time.sleep(POLL_SECONDS)

    def jobs(self, oldest: str, **filters: str) -> Iterator[dict[str, Any]]:
        """Newest first, down to the id `oldest`: ids made later sort later."""
        address: str | None = "/v1/jobs"
        parameters: dict[str, Any] | None = {"limit": PAGE, **filters}
        while address:
            page = self._get(address, parameters).json()
            for job in page["jobs"]:
                if job["id"] < oldest:
                    return
                yield job
            address, parameters = page["next"], None

    def job(self, job_id: str) -> dict[str, Any] | None:
        """None where there is no such job."""
        response = self._get(f"/v1/jobs/{job_id}", None)
        found: dict[str, Any] | None = None if response.status_code == 404 else response.json()
        return found

    def batch(self, batch_id: str) -> dict[str, Any] | None:
        response = self._get(f"/v1/batches/{batch_id}", None)
        found: dict[str, Any] | None = None if response.status_code == 404 else response.json()
        return found

    def _get(self, address: str, parameters: dict[str, Any] | None) -> httpx.Response:
        for _ in range(TRIES):
            try:
                response = self._http.get(address, params=parameters)
            except httpx.TransportError:
                time.sleep(POLL_SECONDS)
                continue
            if response.status_code in (429, 503):
                time.sleep(POLL_SECONDS)
                continue
            if response.status_code != 404:
                response.raise_for_status()
            return response
        raise TimeoutError(f"{address} of the service had no answer")
