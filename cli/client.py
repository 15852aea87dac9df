"""A client of the service's HTTP API. Problems and lost connections become a `CommandError`."""

import math
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential

from cli.errors import CommandError, ConnectionLost, Refused, RequestFailed, ServiceUnreachable, WrongUsage

TIMEOUT = httpx.Timeout(60, connect=5)
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
MAX_PAUSE_SECONDS = 60.0
# Pauses between tries after a lost connection, if no answer names a time to wait.
BACKOFF = wait_exponential(multiplier=0.25, max=5)
# Statuses of a proxy or of a crash. They say nothing about the request, so it is tried again.
TRANSIENT = {500, 502, 504}
SERVER_ERROR = 500
# A ready service that fails on one request as often as this fails because of it.
MAX_FAULTS = 3
# What httpx raises before the service has got anything of a request.
NOT_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class ServiceClient:
    """A client of one service.

    It repeats a request for `patience` seconds after a lost connection, and for `longest_wait` seconds if the service
    answers with a time to wait (429, 503). Requests that change something must then be safe to repeat.
    """

    def __init__(self, url: str, patience: float = 0.0, longest_wait: float = 0.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise WrongUsage(f"{url!r} is not the address of a service: write it like http://127.0.0.1:8000.")
        self.url = url.rstrip("/")
        self._patience = patience
        self._longest_wait = longest_wait
        self._retrying = Retrying(
            retry=retry_if_exception(_is_transient),
            wait=_pause,
            stop=self._is_over,
            before_sleep=self._report,
            reraise=True,
        )
        # Called before each wait, with the reason for it.
        self.on_wait: Callable[[str], None] = lambda _sentence: None
        # A proxy from the environment is for other machines, not for this one.
        self._http = httpx.Client(base_url=self.url, timeout=TIMEOUT, trust_env=parts.hostname not in LOOPBACK)

    def __enter__(self) -> "ServiceClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **params: Any) -> Any:
        """The JSON at `path`. Parameters that are None are left out."""
        present = {name: value for name, value in params.items() if value is not None}
        # With an empty set of parameters, httpx drops the query that the path has.
        return self._json(self._request("GET", path, params=present or None))

    def post(self, path: str, **options: Any) -> Any:
        """`options` are httpx's: json, data, files, headers."""
        return self._json(self._request("POST", path, **options))

    def post_pictures(self, path: str, **options: Any) -> Any:
        """Like `post`, but raises `RequestFailed` if the service fails because of this request."""
        return self._json(self._request_or_fail("POST", path, **options))

    def download(self, path: str) -> tuple[bytes, str]:
        """The bytes at `path` and their media type. Raises `RequestFailed` if the service fails because of this
        request."""
        response = self._request_or_fail("GET", path)
        return response.content, response.headers.get("content-type", "").partition(";")[0]

    def jobs(self, **params: Any) -> Iterator[dict[str, Any]]:
        """The jobs that the parameters select, fetched page by page."""
        page = self.get("/v1/jobs", **params)
        yield from page["jobs"]
        while page["next"]:
            page = self.get(page["next"])
            yield from page["jobs"]

    def lines(self, path: str) -> Iterator[str]:
        """The lines at `path`, streamed."""
        try:
            with self._http.stream("GET", path) as response:
                if not response.is_success:
                    response.read()
                    raise _refused(response)
                yield from response.iter_lines()
        except httpx.TransportError as error:
            raise self._unreachable(error) from None

    def is_ready(self) -> bool:
        """Whether the service and everything that it needs answer now."""
        try:
            return self._http.get("/readyz", timeout=2).is_success
        except httpx.TransportError:
            return False

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Raises `Refused` for a problem, and `ServiceUnreachable` if the service does not answer in time."""
        return self._retrying(self._request_once, method, path, **options)

    def _request_or_fail(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Like `_request`, but raises `RequestFailed` after `MAX_FAULTS` faults that are those of this request: a
        status 500 of a service that is ready, or a connection that breaks during the request."""
        faults = 0

        def is_over(call: RetryCallState) -> bool:
            nonlocal faults
            failure = _failure(call)
            crashed = isinstance(failure, Refused) and failure.status == SERVER_ERROR and self.is_ready()
            faults += crashed or isinstance(failure, ConnectionLost)
            return faults == MAX_FAULTS or self._is_over(call)

        try:
            return self._retrying.copy(stop=is_over)(self._request_once, method, path, **options)
        except CommandError as failure:
            if faults < MAX_FAULTS:
                raise
            raise RequestFailed(f"The service failed {faults} times: {failure}") from None

    def _request_once(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise self._unreachable(error) from None
        if not response.is_success:
            raise _refused(response)
        return response

    def _is_over(self, call: RetryCallState) -> bool:
        limit = self._patience if _retry_after(call) is None else self._longest_wait
        return (call.seconds_since_start or 0) >= limit

    def _report(self, call: RetryCallState) -> None:
        self.on_wait(f"tries again in {math.ceil(call.upcoming_sleep)} s: {_failure(call)}")

    def _json(self, response: httpx.Response) -> Any:
        try:
            return response.json()
        except ValueError:
            raise ServiceUnreachable(f"What answers at {self.url} is not Boxqueue.") from None

    def _unreachable(self, error: httpx.TransportError) -> ServiceUnreachable:
        if isinstance(error, NOT_CONNECTED):
            return ServiceUnreachable(
                f"No service answers at {self.url}: start one with `boxqueue up` (or `make up`), or name it with --url."
            )
        if isinstance(error, httpx.TimeoutException):
            return ServiceUnreachable(f"The service at {self.url} took too long to answer.")
        return ConnectionLost(f"The service at {self.url} broke the connection.")


def _failure(call: RetryCallState) -> BaseException | None:
    return call.outcome.exception() if call.outcome else None


def _retry_after(call: RetryCallState) -> float | None:
    """Seconds that the service asks to wait before the same request; None if it does not ask for it."""
    failure = _failure(call)
    return failure.retry_after if isinstance(failure, Refused) else None


def _pause(call: RetryCallState) -> float:
    asked = _retry_after(call)
    return BACKOFF(call) if asked is None else min(asked, MAX_PAUSE_SECONDS)


def _is_transient(failure: BaseException) -> bool:
    if isinstance(failure, Refused):
        return failure.retry_after is not None or failure.status in TRANSIENT
    return isinstance(failure, ServiceUnreachable)


def _refused(response: httpx.Response) -> Refused:
    status = response.status_code
    try:
        problem = response.json()
        code, detail = str(problem["code"]), str(problem.get("detail") or problem["title"])
    except (ValueError, KeyError, AttributeError, TypeError):
        code, detail = f"status {status}", "The service refused the request"
    # 429: the queue is full. 503: the database or the store does not answer. In flight: our first try still runs.
    waits = status in (429, 503) or code == "idempotency_key_in_flight"
    return Refused(status, code, detail, _seconds(response.headers.get("retry-after")) if waits else None)


def _seconds(retry_after: str | None) -> float:
    """The header Retry-After in seconds; 1 s if it is missing or a date."""
    try:
        return max(0.1, float(retry_after or 1))
    except ValueError:
        return 1.0
