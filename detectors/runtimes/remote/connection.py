"""HTTP to a model server: kept connections, a time limit, retries, and one class of error for each kind of failure."""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import httpx
from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_before_delay, wait_chain, wait_random

from detectors.catalogue.model_server import ModelServer
from detectors.errors import (
    DetectorError,
    ServerAnswerInvalid,
    ServerFailed,
    ServerOutage,
    ServerRefused,
    ServerTimeout,
    ServerUnavailable,
    ServerUnreachable,
)

PAUSES_SECONDS = (0.1, 0.4, 1.0)
"""Pauses before the retries, each ±50 % so that many workers do not come back at the same moment."""
RETRYABLE_STATUSES = {429, 502, 503, 504}
"""HTTP statuses of a server that is overloaded or restarting."""
MAX_MESSAGE_LENGTH = 300
"""Characters of a server's error message that are shown."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer with a status 2xx."""

    headers: Mapping[str, str]
    content: bytes


class Connection:
    """HTTP connections to one server. Thread-safe."""

    def __init__(self, server: ModelServer) -> None:
        self._url = server.url.rstrip("/")
        self._timeout_s = server.timeout_s
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=server.requests)
        # trust_env: a proxy in the environment is for other addresses.
        self._client = httpx.Client(limits=limits, trust_env=False)

    def get(self, path: str) -> Reply:
        """Sends a GET request. Raises what `post` raises."""
        return self._request("GET", path, b"", {})

    def post(self, path: str, content: bytes, headers: Mapping[str, str]) -> Reply:
        """Sends a POST request, and retries it if the server does not answer for a moment.

        Raises `ServerUnreachable`, `ServerTimeout`, `ServerUnavailable`, `ServerFailed`, `ServerRefused` or
        `ServerAnswerInvalid`.
        """
        return self._request("POST", path, content, headers)

    def close(self) -> None:
        self._client.close()

    def _request(self, method: str, path: str, content: bytes, headers: Mapping[str, str]) -> Reply:
        deadline = time.monotonic() + self._timeout_s
        failures: list[ServerOutage] = []

        def attempt() -> Reply:
            try:
                return self._request_once(method, self._url + path, content, headers, deadline)
            except ServerOutage as error:
                failures.append(error)
                raise

        with suppress(ServerOutage):
            return _retrying(self._timeout_s)(attempt)
        raise _root_cause(failures)

    def _request_once(
        self, method: str, url: str, content: bytes, headers: Mapping[str, str], deadline: float
    ) -> Reply:
        late = f"{url} did not answer within {self._timeout_s:g} s."
        left = deadline - time.monotonic()
        if left <= 0:  # the pause took longer than it should
            raise ServerTimeout(late, sent=False)
        received = bytearray()
        try:
            with self._client.stream(method, url, content=content, headers=dict(headers), timeout=left) as response:
                for piece in response.iter_bytes():
                    received += piece
                    # httpx limits only the time between two pieces, and a server may send slowly.
                    if time.monotonic() > deadline:
                        raise ServerTimeout(late)
        except httpx.TimeoutException as error:
            raise ServerTimeout(late, sent=not isinstance(error, httpx.ConnectTimeout)) from error
        except httpx.ConnectError as error:
            raise ServerUnreachable(f"{url} can't be reached: {error}.", sent=False) from error
        except httpx.TransportError as error:
            raise ServerUnreachable(f"The connection to {url} broke off: {error}.") from error
        except (httpx.DecodingError, httpx.InvalidURL) as error:
            raise ServerAnswerInvalid(f"{url} gave an answer that can't be read: {error}.") from error
        if not response.is_success:
            raise _error(response.status_code, f"{url} answered {response.status_code}{_message_of(bytes(received))}")
        return Reply(response.headers, bytes(received))


def _retrying(timeout_s: float) -> Retrying:
    """Retries within the time limit. Inference changes nothing on the server, so a request may be sent again. A timeout
    is not retried: that would double the load of a server that is too slow already."""
    return Retrying(
        retry=retry_if_exception(
            lambda error: isinstance(error, ServerOutage) and not isinstance(error, ServerTimeout)
        ),
        wait=wait_chain(*(wait_random(0.5 * pause, 1.5 * pause) for pause in PAUSES_SECONDS)),
        stop=stop_after_attempt(1 + len(PAUSES_SECONDS)) | stop_before_delay(timeout_s),
        reraise=True,
    )


def _root_cause(failures: Sequence[ServerOutage]) -> ServerOutage:
    """The first failure after a request was sent, because a server that crashed on it can't be reached afterwards.
    Without one, the last failure, unless that is a retry that had no time left."""
    sent = [failure for failure in failures if failure.sent]
    in_time = [failure for failure in failures if not isinstance(failure, ServerTimeout)]
    return sent[0] if sent else (in_time or failures)[-1]


def _error(status: int, sentence: str) -> DetectorError:
    if status in RETRYABLE_STATUSES:
        return ServerUnavailable(sentence)
    if status >= 500:
        return ServerFailed(sentence)
    return ServerRefused(sentence) if status >= 400 else ServerAnswerInvalid(sentence)


def _message_of(body: bytes) -> str:
    """The server's own message, as the end of a sentence: `error` of its JSON, as both protocols have it, otherwise the
    whole text."""
    text = body.decode(errors="replace")
    try:
        message = json.loads(text)
    except ValueError:
        message = text
    if isinstance(message, dict):
        message = message.get("error", message)
    # It goes into logs and into the database, which can't store NUL.
    words = "".join(character if character.isprintable() else " " for character in str(message)).split()
    shown = " ".join(words)
    return f": {shown[:MAX_MESSAGE_LENGTH]}{'…' * (len(shown) > MAX_MESSAGE_LENGTH)}." if shown else "."
