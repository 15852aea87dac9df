"""Bodies that a refusal leaves unread: they are taken off the connection, so that the client gets to read why."""

import time
from typing import Any

from flask import Flask, Response, request

# A server that closes a connection with bytes on it resets it, and the client finds a broken pipe in place of the
# answer. So the answer goes out first, and what the client goes on sending is thrown away, within these limits.
MOST_BYTES = 512 * 1024 * 1024
MOST_SECONDS = 10.0
_SILENCE_SECONDS = 2.0
_STEP_BYTES = 256 * 1024


def register(app: Flask) -> None:
    """Lets every refused request with a body end in good order."""
    app.after_request(_afterwards)


def _afterwards(response: Response) -> Response:
    if response.status_code >= 400 and (request.content_length or request.environ.get("HTTP_TRANSFER_ENCODING")):
        environ = request.environ
        response.call_on_close(lambda: discard(environ))
    return response


def discard(environ: dict[str, Any]) -> None:
    """Reads what is left of a request's body and drops it, until its end or one of the limits."""
    until, left = time.monotonic() + MOST_SECONDS, MOST_BYTES
    connection = environ.get("gunicorn.socket")
    if connection is not None:
        connection.settimeout(_SILENCE_SECONDS)
    try:
        while left > 0 and time.monotonic() < until:
            data = environ["wsgi.input"].read(_STEP_BYTES)
            if not data:
                return
            left -= len(data)
    except OSError:
        # The client is gone or silent: nobody is left to read the answer.
        return
    finally:
        if connection is not None and connection.fileno() != -1:
            connection.settimeout(None)
