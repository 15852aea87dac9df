"""The service over HTTP, as any client sees it; problems and lost connections as `CommandError`."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx

from cli.errors import CommandError, Refused, ServiceUnreachable, WrongUsage

TIMEOUT = httpx.Timeout(60, connect=5)
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
LONGEST_PAUSE = 60.0
# Statuses that say nothing about the request: a proxy's or a crash's, worth another try.
PASSING = {500, 502, 504}


class ServiceClient:
    """One service. It tries again for `patience` seconds after a lost connection, and waits for `longest_wait` where
    the service asks it to; requests that change something must then be safe to repeat."""

    def __init__(self, url: str, patience: float = 0.0, longest_wait: float = 0.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise WrongUsage(f"{url!r} is no address of a service: write it like http://127.0.0.1:8000.")
        self.url = url.rstrip("/")
        self._patience = patience
        self._longest_wait = longest_wait
        # Told why nothing moves while it waits.
        self.on_wait: Callable[[str], None] = lambda _sentence: None
        # A proxy that the environment names is for the world outside, not for this machine.
        self._http = httpx.Client(base_url=self.url, timeout=TIMEOUT, trust_env=parts.hostname not in LOOPBACK)

    def __enter__(self) -> "ServiceClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **params: Any) -> Any:
        """The JSON at `path`. Parameters that are None are left out."""
        given = {name: value for name, value in params.items() if value is not None}
        # httpx takes an empty set of parameters as "drop the query that the path has".
        return self._json(self._request("GET", path, params=given or None))

    def post(self, path: str, **options: Any) -> Any:
        """`options` are httpx's: json, data, files, headers."""
        return self._json(self._request("POST", path, **options))

    def download(self, path: str) -> tuple[bytes, str]:
        """The bytes at `path` and their media type."""
        response = self._request("GET", path)
        return response.content, response.headers.get("content-type", "").partition(";")[0]

    @contextmanager
    def lines(self, path: str) -> Iterator[Iterator[str]]:
        """The lines at `path` as they come, however many there are."""
        try:
            with self._http.stream("GET", path) as response:
                if not response.is_success:
                    response.read()
                    raise _refused(response)
                yield response.iter_lines()
        except httpx.TransportError as error:
            raise self._unreachable(error) from None

    def is_ready(self) -> bool:
        """Whether everything that the service needs answers, now."""
        try:
            return self._http.get("/readyz", timeout=2).is_success
        except httpx.TransportError:
            return False

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Raises `Refused` for a problem and `ServiceUnreachable` where nothing answers in time."""
        failing_since = time.monotonic()
        pause = 0.25
        while True:
            try:
                response = self._http.request(method, path, **options)
            except httpx.TransportError as error:
                failure: CommandError = self._unreachable(error)
                wait = None
            else:
                if response.is_success:
                    return response
                failure = refused = _refused(response)
                wait = _asked_wait(response, refused)
                if wait is None and response.status_code not in PASSING:
                    raise refused
            spent = time.monotonic() - failing_since
            if spent >= (self._patience if wait is None else self._longest_wait):
                raise failure
            seconds = min(wait if wait is not None else pause, LONGEST_PAUSE)
            self.on_wait(f"waits {math.ceil(seconds)} s, then goes on: {failure}")
            time.sleep(seconds)
            pause = min(2 * pause, 5)

    def _json(self, response: httpx.Response) -> Any:
        try:
            return response.json()
        except ValueError:
            raise ServiceUnreachable(f"What answers at {self.url} is not Boxqueue.") from None

    def _unreachable(self, error: httpx.TransportError) -> ServiceUnreachable:
        if isinstance(error, httpx.ReadTimeout):
            return ServiceUnreachable(f"The service at {self.url} took too long to answer.")
        return ServiceUnreachable(
            f"No service answers at {self.url}: start one with `boxqueue up` (or `make up`), or name it with --url."
        )


def _asked_wait(response: httpx.Response, refused: Refused) -> float | None:
    """Seconds to wait before the same request; None where waiting would not help."""
    # 429: too much at once. 503: something that it stands on is away. And our own first try, still being worked on.
    if response.status_code not in (429, 503) and refused.code != "idempotency_key_in_flight":
        return None
    try:
        return max(0.1, float(response.headers["retry-after"]))
    except (KeyError, ValueError):
        return 1.0


def _refused(response: httpx.Response) -> Refused:
    try:
        problem = response.json()
        detail = problem.get("detail") or problem["title"]
        return Refused(response.status_code, str(problem["code"]), str(detail))
    except (ValueError, KeyError, AttributeError, TypeError):
        return Refused(response.status_code, f"status {response.status_code}", "The service refused the request")
