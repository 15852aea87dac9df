"""Refuses bodies that end early or are malformed, and drains those of refused requests."""

import socket
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, request

from wire.body_stream import BodyStream
from wire.problems import Refusal

# A server that closes a connection with unread bytes resets it, and the client gets an error in place of the response.
# So the response is sent first, and the rest of the body is read and dropped within these limits.
MAX_BYTES = 512 * 1024 * 1024
MAX_SECONDS = 10.0
_READ_TIMEOUT_SECONDS = 2.0
_STEP_BYTES = 256 * 1024


def register(app: Flask) -> None:
    """Reads all bodies through `BodyStream`. Drains that of a refused request after its response was sent."""
    app.before_request(_check_body)
    app.after_request(_drain_afterwards)


def _check_body() -> None:
    request.environ["wsgi.input"] = BodyStream(request.environ)


def _drain_afterwards(response: Response) -> Response:
    if response.status_code >= 400 and (request.content_length or request.environ.get("HTTP_TRANSFER_ENCODING")):
        environ = request.environ
        response.call_on_close(lambda: drain(environ))
    return response


def drain(environ: dict[str, Any]) -> None:
    """Reads and drops the rest of a request's body, until its end or one of the limits."""
    connection = environ.get("gunicorn.socket")
    if connection is None:
        return
    deadline = time.monotonic() + MAX_SECONDS
    connection.settimeout(_READ_TIMEOUT_SECONDS)
    try:
        try:
            _drop(environ["wsgi.input"].read, deadline)
        except Refusal:
            # Where the body ends is unknown, so no further request can follow on this connection. The client learns
            # that the response is complete, and all that it still sends is dropped.
            connection.shutdown(socket.SHUT_WR)
            _drop(connection.recv, deadline)
    except OSError:
        # The client closed the connection or sends nothing more, so it does not wait for the response.
        return
    finally:
        if connection.fileno() != -1:
            connection.settimeout(None)


def _drop(read: Callable[[int], bytes], deadline: float) -> None:
    remaining = MAX_BYTES
    while remaining > 0 and time.monotonic() < deadline and (data := read(_STEP_BYTES)):
        remaining -= len(data)
