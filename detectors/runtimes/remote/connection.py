"""HTTP to a model server: connections that are kept, a time limit, repetitions, and every fault by its name."""

import json
import math
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from detectors.catalogue.model_server import ModelServer
from detectors.errors import (
    DetectorError,
    NoAnswer,
    ServerAnswerInvalid,
    ServerFailed,
    ServerRefused,
    ServerTimeout,
    ServerUnavailable,
    ServerUnreachable,
)

# Pauses before a request is sent again, each half as long to half as long again, so that many workers do not come back
# at once. Asking a model changes nothing, so it is safe to repeat; only a timeout is not repeated, which would double
# the load of a server that has too much.
PAUSES_SECONDS = (0.1, 0.4, 1.0)
NOT_NOW = {429, 502, 503, 504}
# Characters that are told of what a server says.
LONGEST = 300


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with a status 2xx, whole."""

    headers: Mapping[str, str]
    content: bytes


class Connection:
    """To one server. Thread-safe."""

    def __init__(self, server: ModelServer) -> None:
        self._url = server.url.rstrip("/")
        self._timeout_s = server.timeout_s
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=server.requests)
        # The address is meant as it is written, without a proxy that the environment names for the world outside.
        self._client = httpx.Client(limits=limits, trust_env=False)

    def get(self, path: str) -> Reply:
        """Raises what `post` raises."""
        return self._ask("GET", path, b"", {})

    def post(self, path: str, content: bytes, headers: Mapping[str, str]) -> Reply:
        """Sends a request, again where the server is out for a moment.

        Raises `ServerUnreachable`, `ServerTimeout`, `ServerUnavailable`, `ServerFailed`, `ServerRefused` or
        `ServerAnswerInvalid`.
        """
        return self._ask("POST", path, content, headers)

    def close(self) -> None:
        self._client.close()

    def _ask(self, method: str, path: str, content: bytes, headers: Mapping[str, str]) -> Reply:
        deadline = time.monotonic() + self._timeout_s
        url = self._url + path
        pauses = iter(PAUSES_SECONDS)
        fault: NoAnswer | None = None
        while fault is None or time.monotonic() < deadline:
            try:
                return self._ask_once(method, url, content, headers, deadline)
            except NoAnswer as error:
                late = isinstance(error, ServerTimeout)
                # The first fault of a request that was sent is told: a server that it took down can't be reached
                # afterwards. Without one the last, unless that only had no time left.
                if fault is None or (not fault.sent and (error.sent or not late)):
                    fault = error
            seconds = next(pauses, math.inf) * random.uniform(0.5, 1.5)
            if late or time.monotonic() + seconds >= deadline:
                break
            time.sleep(seconds)
        raise fault

    def _ask_once(self, method: str, url: str, content: bytes, headers: Mapping[str, str], deadline: float) -> Reply:
        late = f"{url} did not answer within {self._timeout_s:g} s."
        left = max(0.001, deadline - time.monotonic())
        received = bytearray()
        try:
            with self._client.stream(method, url, content=content, headers=dict(headers), timeout=left) as response:
                for piece in response.iter_bytes():
                    received += piece
                    # httpx limits the time between two pieces only, and a server may drip.
                    if time.monotonic() > deadline:
                        raise ServerTimeout(late)
        except httpx.TimeoutException as error:
            raise ServerTimeout(late, sent=not isinstance(error, httpx.ConnectTimeout)) from error
        except httpx.ConnectError as error:
            raise ServerUnreachable(f"{url} can't be reached: {error}.", sent=False) from error
        except httpx.TransportError as error:
            raise ServerUnreachable(f"{url} broke off: {error}.") from error
        except (httpx.DecodingError, httpx.InvalidURL) as error:
            raise ServerAnswerInvalid(f"{url} answered what can't be read: {error}.") from error
        if not response.is_success:
            raise _fault(response.status_code, f"{url} answered {response.status_code}{_said(bytes(received))}")
        return Reply(response.headers, bytes(received))


def _fault(status: int, sentence: str) -> DetectorError:
    if status in NOT_NOW:
        return ServerUnavailable(sentence)
    if status >= 500:
        return ServerFailed(sentence)
    return ServerRefused(sentence) if status >= 400 else ServerAnswerInvalid(sentence)


def _said(body: bytes) -> str:
    """The server's own words, as the end of a sentence: what both protocols have under `error`, otherwise the text."""
    text = body.decode(errors="replace")
    try:
        told = json.loads(text)
    except ValueError:
        told = text
    if isinstance(told, dict):
        told = told.get("error", told)
    # They go into logs and into the database, which takes no NUL.
    words = "".join(character if character.isprintable() else " " for character in str(told)).split()
    shown = " ".join(words)
    return f": {shown[:LONGEST]}{'…' * (len(shown) > LONGEST)}." if shown else "."
