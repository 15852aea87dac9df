"""Reads the rest of a refused request's body, so that the client can read the response."""

import time
from typing import Any

from flask import Flask, Response, request

# A server that closes a connection with unread bytes resets it, and the client gets an error in place of the response.
# So the response is sent first, and the rest of the body is read and dropped within these limits.
MAX_BYTES = 512 * 1024 * 1024
MAX_SECONDS = 10.0
_READ_TIMEOUT_SECONDS = 2.0
_STEP_BYTES = 256 * 1024


def register(app: Flask) -> None:
    """Drains the body of every refused request after its response was sent."""
    app.after_request(_drain_afterwards)


def _drain_afterwards(response: Response) -> Response:
    if response.status_code >= 400 and (request.content_length or request.environ.get("HTTP_TRANSFER_ENCODING")):
        environ = request.environ
        response.call_on_close(lambda: drain(environ))
    return response


def drain(environ: dict[str, Any]) -> None:
    """Reads and drops the rest of a request's body, until its end or one of the limits."""
    deadline, remaining = time.monotonic() + MAX_SECONDS, MAX_BYTES
    connection = environ.get("gunicorn.socket")
    if connection is not None:
        connection.settimeout(_READ_TIMEOUT_SECONDS)
    try:
        while remaining > 0 and time.monotonic() < deadline:
            data = environ["wsgi.input"].read(_STEP_BYTES)
            if not data:
                return
            remaining -= len(data)
    except OSError:
        # The client closed the connection or sends nothing more, so it does not wait for the response.
        return
    finally:
        if connection is not None and connection.fileno() != -1:
            connection.settimeout(None)
