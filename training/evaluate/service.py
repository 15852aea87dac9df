"""A client of a running service, over HTTP (docs/http.md): sends pictures and collects what the service finds."""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from training.boxes import Box
from training.evaluate.display import UpdateProgress
from training.evaluate.results import Failure, Results

TIMEOUT = httpx.Timeout(60, connect=5)
MAX_PICTURES, MAX_BYTES = 32, 24_000_000
"""Limits of one request."""
PAYLOAD_TOO_LARGE = 413
BUSY_STATUSES = (429, 503)
MAX_PAUSE_SECONDS = 30.0
"""Longest pause before a request to a busy service is sent again, in seconds."""
GIVE_UP_SECONDS = 600.0
"""Time after which a request to a busy service is not sent again, but fails."""
MAX_POLL_SECONDS = 1.0
"""Longest pause between two requests for the state of the batch."""
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")


class ServiceUnusable(Exception):
    """The service is not reachable, or refuses a request. `str(error)` is one sentence."""


class _TooLarge(ServiceUnusable):
    """The request has more bytes or pictures than the service accepts."""


class Service:
    """One running service."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ServiceUnusable(f"{url!r} is not the URL of a service: write it like http://127.0.0.1:8000.")
        self.url = url.rstrip("/")
        # A service on this machine is called directly, even if the environment names a proxy.
        self._http = httpx.Client(base_url=self.url, timeout=TIMEOUT, trust_env=parts.hostname not in LOOPBACK_HOSTS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def labels(self, model: str) -> tuple[str, ...]:
        """The labels of a model, by its name or an alias."""
        try:
            models = self._json("GET", "/v1/models")["models"]
            of_names = {name: one["labels"] for one in models for name in (one["name"], *one["aliases"])}
        except (KeyError, TypeError):
            raise ServiceUnusable(f"The server at {self.url} is not Boxqueue.") from None
        if model not in of_names:
            known = ", ".join(sorted(of_names)) or "none"
            raise ServiceUnusable(f"There is no model named {model!r} at {self.url}. Known models: {known}.")
        return tuple(of_names[model])

    def detect(self, model: str, files: Sequence[Path], update: UpdateProgress) -> Results:
        """Sends the pictures as one batch and waits for the results. They have detections of any score."""
        batch = f"/v1/batches/{self._json('POST', '/v1/batches', json={'name': 'evaluation'})['id']}"
        of_job: dict[str, int] = {}
        failures: dict[int, Failure] = {}
        for group in _requests(files):
            self._send(batch, model, files, group, of_job, failures)
            update(group[-1] + 1, "sent")
        self._json("POST", f"{batch}/close")
        self._wait(batch, update)
        found: dict[int, list[tuple[str, float, Box]]] = {}
        for job in self._results(f"{batch}/results"):
            number = of_job.get(job["id"])
            if number is None:
                continue  # a job of another client
            if job["status"] == "succeeded":
                found[number] = [
                    (one["label"], one["score"], Box(one["label"], *one["box"])) for one in job["detections"]
                ]
            else:
                error = job["error"] or {"code": job["status"], "message": f"The job is {job['status']}."}
                failures[number] = Failure(files[number], error["code"], error["message"])
        missing = [files[number].name for number in range(len(files)) if number not in found and number not in failures]
        if missing:
            raise ServiceUnusable(f"{self.url} gave no result for {len(missing)} pictures, {missing[0]} among them.")
        return Results(
            [found.get(number, []) for number in range(len(files))], [failures[number] for number in sorted(failures)]
        )

    def _send(
        self,
        batch: str,
        model: str,
        files: Sequence[Path],
        group: Sequence[int],
        of_job: dict[str, int],
        failures: dict[int, Failure],
    ) -> None:
        """Sends a group of files in one request, or in several if one is too large. `group` has indices of `files`."""
        try:
            jobs = self._json(
                "POST",
                f"{batch}/jobs",
                data={"model": model, "min_score": "0", "max_detections": "1000"},
                files=[("image", (files[number].name, files[number].read_bytes())) for number in group],
                # The same key for every attempt, so that the service accepts no picture twice.
                headers={"Idempotency-Key": f"{batch}-{group[0]}-{len(group)}"},
            )["jobs"]
        except _TooLarge as error:
            if len(group) == 1:
                failures[group[0]] = Failure(files[group[0]], "too_large", str(error))
                return
            middle = len(group) // 2
            for part in (group[:middle], group[middle:]):
                self._send(batch, model, files, part, of_job, failures)
            return
        # Jobs are matched to files by their order, because two files may have the same name.
        of_job.update({job["id"]: number for job, number in zip(jobs, group, strict=True)})

    def _wait(self, batch: str, update: UpdateProgress) -> None:
        pause = 0.1
        while True:
            state = self._json("GET", batch)
            update(state["total"] - state["pending"], "finished")
            if state["status"] in ("finished", "cancelled"):
                return
            time.sleep(pause)
            pause = min(pause * 1.5, MAX_POLL_SECONDS)

    def _results(self, path: str) -> Iterator[dict[str, Any]]:
        try:
            with self._http.stream("GET", path) as response:
                if not response.is_success:
                    response.read()
                    raise _refusal_error(response)
                yield from (json.loads(line) for line in response.iter_lines() if line)
        except httpx.TransportError as error:
            raise self._unreachable_error(error) from None

    def _json(self, method: str, path: str, **options: Any) -> Any:
        """Sends a request and returns its JSON. While the service is busy, sends it again after its Retry-After."""
        until = time.monotonic() + GIVE_UP_SECONDS
        while True:
            try:
                response = self._http.request(method, path, **options)
            except httpx.TransportError as error:
                raise self._unreachable_error(error) from None
            if response.status_code not in BUSY_STATUSES or time.monotonic() > until:
                break
            time.sleep(_pause(response))
        if not response.is_success:
            raise _refusal_error(response)
        try:
            return response.json()
        except ValueError:
            raise ServiceUnusable(f"The server at {self.url} is not Boxqueue.") from None

    def _unreachable_error(self, error: httpx.TransportError) -> ServiceUnusable:
        why = "it took too long" if isinstance(error, httpx.TimeoutException) else str(error) or type(error).__name__
        return ServiceUnusable(f"No service responds at {self.url} ({why}): start one with `boxqueue up`.")


def _requests(files: Sequence[Path]) -> Iterator[list[int]]:
    """Groups of indices of the files. Each group fits into one request."""
    group: list[int] = []
    size = 0
    for number, file in enumerate(files):
        bytes_here = file.stat().st_size
        if group and (len(group) == MAX_PICTURES or size + bytes_here > MAX_BYTES):
            yield group
            group, size = [], 0
        group.append(number)
        size += bytes_here
    if group:
        yield group


def _pause(response: httpx.Response) -> float:
    """Seconds to wait, from Retry-After."""
    try:
        return min(MAX_PAUSE_SECONDS, max(0.05, float(response.headers["retry-after"])))
    except (KeyError, ValueError):
        return 1.0


def _refusal_error(response: httpx.Response) -> ServiceUnusable:
    kind = _TooLarge if response.status_code == PAYLOAD_TOO_LARGE else ServiceUnusable
    try:
        problem = response.json()
        return kind(f"The service refuses the request: {problem.get('detail') or problem['title']} ({problem['code']})")
    except (ValueError, KeyError, AttributeError, TypeError):
        return kind(f"The service refuses the request with status {response.status_code}.")
