"""The body of a request that gunicorn received. It is read whole, or the request is refused."""

from typing import Any

from gunicorn.http.errors import NoMoreData, ParseException  # type: ignore[import-untyped]

from wire.problems import Refusal


class BodyStream:
    """Reads a request's body from gunicorn, in place of its `wsgi.input`."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self._input = environ["wsgi.input"]
        self._missing = int(environ.get("CONTENT_LENGTH") or 0)
        codings = environ.get("HTTP_TRANSFER_ENCODING", "").lower().replace(" ", "").split(",")
        self._refusal = None if {"", "identity", "chunked"}.issuperset(codings) else _compressed()

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; all that are left if it is negative. Fewer than `size` only at the end.

        Raises `Refusal` if the chunks are malformed or compressed, or if the connection ends before the body does. Then
        it also does so at every further call.
        """
        if self._refusal is None:
            try:
                return self._read(size)
            except Refusal as refusal:
                self._refusal = refusal
        raise self._refusal

    def _read(self, size: int) -> bytes:
        try:
            data: bytes = self._input.read(size)
        except NoMoreData as error:
            raise _incomplete() from error
        except ParseException as error:
            raise Refusal(
                400,
                "malformed_chunks",
                f"The chunked body can't be read: {error}. Send it with well-formed chunks, or with Content-Length.",
            ) from error
        self._missing -= len(data)
        # gunicorn ends a body of known length without an error if the connection ends.
        if self._missing > 0 and (size < 0 or len(data) < size):
            raise _incomplete()
        return data


def _compressed() -> Refusal:
    # gunicorn accepts gzip in Transfer-Encoding, but does not decode it.
    detail = "A compressed Transfer-Encoding is not supported. Send the body in plain chunks, or with Content-Length."
    return Refusal(501, "unsupported_transfer_encoding", detail)


def _incomplete() -> Refusal:
    return Refusal(400, "incomplete_body", "The connection ended before the whole body had arrived. Send it again.")
