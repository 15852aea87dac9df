"""What a running service finds in pictures, asked over HTTP as any client asks: docs/http.md."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from training.cards.rendering.sheet import Box
from training.evaluate.answers import Answers, Failure, Show

TIMEOUT = httpx.Timeout(60, connect=5)
MOST_PICTURES, MOST_BYTES = 32, 24_000_000
"""Of one request."""
TOO_LARGE = 413
BUSY = (429, 503)
LONGEST_PAUSE = 30.0
PATIENCE_SECONDS = 600.0
"""A service that has been busy or away for so long is given up on."""
LOOK_SECONDS = 1.0
OF_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


class ServiceUnusable(Exception):
    """The service is not there, or refuses. `str(error)` is one sentence."""


class _TooLarge(ServiceUnusable):
    """The request has more bytes or pictures than the service takes."""


class Service:
    """One running service."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ServiceUnusable(f"{url!r} is no address of a service: write it like http://127.0.0.1:8000.")
        self.url = url.rstrip("/")
        # A proxy that the environment names is for the world outside.
        self._http = httpx.Client(base_url=self.url, timeout=TIMEOUT, trust_env=parts.hostname not in OF_THIS_MACHINE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def labels(self, model: str) -> tuple[str, ...]:
        """Those of a model, by its name or another name for it."""
        try:
            models = self._json("GET", "/v1/models")["models"]
            of_names = {name: one["labels"] for one in models for name in (one["name"], *one["aliases"])}
        except (KeyError, TypeError):
            raise ServiceUnusable(f"What answers at {self.url} is not Boxqueue.") from None
        if model not in of_names:
            known = ", ".join(sorted(of_names)) or "none"
            raise ServiceUnusable(f"There is no model named {model!r} at {self.url}. Known models: {known}.")
        return tuple(of_names[model])

    def answers(self, model: str, files: Sequence[Path], show: Show) -> Answers:
        """Sends the pictures as one batch and waits for all of its answers, of any score."""
        batch = f"/v1/batches/{self._json('POST', '/v1/batches', json={'name': 'evaluation'})['id']}"
        of_job: dict[str, int] = {}
        failures: dict[int, Failure] = {}
        for group in _requests(files):
            self._send(batch, model, files, group, of_job, failures)
            show("sent", group[-1] + 1)
        self._json("POST", f"{batch}/close")
        self._wait(batch, show)
        found: dict[int, list[tuple[str, float, Box]]] = {}
        for job in self._results(f"{batch}/results"):
            number = of_job.get(job["id"])
            if number is None:
                continue  # no job of ours
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
        return Answers(
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
        """Numbers of files as one request, or as several where the service finds it too large."""
        try:
            jobs = self._json(
                "POST",
                f"{batch}/jobs",
                data={"model": model, "min_score": "0", "max_detections": "1000"},
                files=[("image", (files[number].name, files[number].read_bytes())) for number in group],
                # The same for each try: none of its pictures is taken twice.
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
        # In the order of the files: names may be there twice.
        of_job.update({job["id"]: number for job, number in zip(jobs, group, strict=True)})

    def _wait(self, batch: str, show: Show) -> None:
        pause = 0.1
        while True:
            shown = self._json("GET", batch)
            show("answered", shown["total"] - shown["pending"])
            if shown["status"] in ("finished", "cancelled"):
                return
            time.sleep(pause)
            pause = min(pause * 1.5, LOOK_SECONDS)

    def _results(self, path: str) -> Iterator[dict[str, Any]]:
        try:
            with self._http.stream("GET", path) as response:
                if not response.is_success:
                    response.read()
                    raise _refused(response)
                yield from (json.loads(line) for line in response.iter_lines() if line)
        except httpx.TransportError as error:
            raise self._unreachable(error) from None

    def _json(self, method: str, path: str, **options: Any) -> Any:
        """Waits where the service asks for it."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                response = self._http.request(method, path, **options)
            except httpx.TransportError as error:
                raise self._unreachable(error) from None
            if response.status_code not in BUSY or time.monotonic() > until:
                break
            time.sleep(_pause(response))
        if not response.is_success:
            raise _refused(response)
        try:
            return response.json()
        except ValueError:
            raise ServiceUnusable(f"What answers at {self.url} is not Boxqueue.") from None

    def _unreachable(self, error: httpx.TransportError) -> ServiceUnusable:
        why = "it took too long" if isinstance(error, httpx.TimeoutException) else str(error) or type(error).__name__
        return ServiceUnusable(f"No service answers at {self.url} ({why}): start one with `boxqueue up`.")


def _requests(files: Sequence[Path]) -> Iterator[list[int]]:
    """Numbers of files, so many that they make a request of some megabytes."""
    group: list[int] = []
    size = 0
    for number, file in enumerate(files):
        bytes_here = file.stat().st_size
        if group and (len(group) == MOST_PICTURES or size + bytes_here > MOST_BYTES):
            yield group
            group, size = [], 0
        group.append(number)
        size += bytes_here
    if group:
        yield group


def _pause(response: httpx.Response) -> float:
    """Seconds, as Retry-After says."""
    try:
        return min(LONGEST_PAUSE, max(0.05, float(response.headers["retry-after"])))
    except (KeyError, ValueError):
        return 1.0


def _refused(response: httpx.Response) -> ServiceUnusable:
    kind = _TooLarge if response.status_code == TOO_LARGE else ServiceUnusable
    try:
        problem = response.json()
        return kind(f"The service refuses: {problem.get('detail') or problem['title']} ({problem['code']})")
    except (ValueError, KeyError, AttributeError, TypeError):
        return kind(f"The service refuses with status {response.status_code}.")
