"""gunicorn's threaded worker, as `python -m api` runs it."""

import json
import logging
from http import HTTPStatus
from types import FrameType
from typing import Any

from gunicorn.http import errors  # type: ignore[import-untyped]
from gunicorn.util import write_nonblock  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from api.service import EXTENSION
from wire.problems import MEDIA_TYPE, problem_json

log = logging.getLogger(__name__)

# Errors of gunicorn that are not the client's.
_OWN_ERRORS = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName, errors.ConfigurationProblem)
# Error -> status and code. Others are 400.
_REFUSALS = {
    errors.LimitRequestLine: (414, "address_too_long"),
    errors.ExpectationFailed: (417, "expectation_failed"),
    errors.LimitRequestHeaders: (431, "headers_too_large"),
    errors.UnsupportedTransferCoding: (501, "unsupported_transfer_encoding"),
}


class ServerWorker(ThreadWorker):  # type: ignore[misc]
    """Answers what is no HTTP request with a problem document. When it stops, it ends all long polling, and the idle
    processes that draw pictures."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        service = self.app.wsgi().extensions[EXTENSION]
        service.long_polling.close()
        service.drawing.close()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Sends the response to a request whose first line or headers can't be read. gunicorn's own is HTML."""
        if not isinstance(exc, errors.ParseException) or isinstance(exc, _OWN_ERRORS):
            super().handle_error(req, client, addr, exc)
            return
        status, code = _REFUSALS.get(type(exc), (400, "malformed_request"))
        log.info("unreadable request %d %s %r", status, code, str(exc))
        detail = f"The HTTP request can't be read: {exc}. Correct the client, or the proxy in front of the service."
        if status == 414:
            detail = f"The address is too long: {exc}. Send large options such as metadata in a form."
        body = json.dumps(problem_json(status, code, detail))
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nConnection: close\r\nContent-Type: {MEDIA_TYPE}\r\n"
        try:
            write_nonblock(client, f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        except OSError:
            # The client is gone, so nobody waits for the response.
            return
