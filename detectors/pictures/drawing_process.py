"""A process that draws boxes on pictures: `python -m detectors.pictures.drawing_process MEMORY_BYTES CPU_SECONDS`.

It reads requests from stdin and writes responses to stdout. When its parent ends, it ends at once. A picture may come
from anywhere and its decoder may have faults, so the process limits its own memory and CPU time, and its parent may
kill it.
"""

import json
import os
import resource
import select
import struct
import sys
import threading
from typing import IO, Any

from detectors.errors import PictureError
from detectors.machine import resident_bytes
from detectors.pictures.drawing import annotate

_LENGTHS = struct.Struct(">II")
# Room beside the decoded picture: the drawn one, and its encoding.
_MARGIN_BYTES = 48 * 2**20


def write_message(stream: IO[bytes], header: Any, data: bytes = b"") -> None:
    """Writes a JSON value and bytes, each with its length in front."""
    packed = json.dumps(header).encode()
    stream.write(_LENGTHS.pack(len(packed), len(data)))
    stream.write(packed)
    stream.write(data)
    stream.flush()


def read_message(stream: IO[bytes]) -> tuple[Any, bytes]:
    """The JSON value and the bytes of a message. Raises `EOFError` if the stream ends."""
    header_bytes, data_bytes = _LENGTHS.unpack(_read(stream, _LENGTHS.size))
    return json.loads(_read(stream, header_bytes)), _read(stream, data_bytes)


def _read(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def serve(memory_bytes: int, cpu_seconds: int) -> None:
    """Draws until stdin ends. A request has the rows of the detections; its bytes are the picture."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    # Decoders must not write into the responses, neither those in Python nor those in C.
    responses = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            rows, data = read_message(sys.stdin.buffer)
        except EOFError:
            return
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        resource.setrlimit(resource.RLIMIT_CPU, (int(used) + cpu_seconds, resource.RLIM_INFINITY))
        try:
            drawn, media_type = annotate(data, rows, memory_bytes=memory_bytes - _MARGIN_BYTES - resident_bytes())
        except PictureError as error:
            write_message(responses, {"code": error.code, "message": str(error)})
        else:
            write_message(responses, {"media_type": media_type}, drawn)


def _end_with_parent() -> None:
    poll = select.poll()
    # Of no events, it is told only that the other end of the pipe was closed.
    poll.register(sys.stdin, 0)
    poll.poll()
    os._exit(0)


if __name__ == "__main__":
    serve(*map(int, sys.argv[1:]))
