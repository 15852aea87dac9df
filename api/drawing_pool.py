"""Draws boxes on pictures in processes of their own, because decoding may take much memory and time.

`detectors/pictures/drawing_process.py` is what runs in them.
"""

import logging
import queue
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress

from detectors.errors import (
    PictureError,
    PictureTooCostly,
    PictureUndecodable,
    PictureUnknownFormat,
    PictureUnsupported,
)
from detectors.machine import usable_memory
from detectors.pictures.drawing import Row
from detectors.pictures.drawing_process import read_message, write_message
from jobs.errors import DrawingBusy
from jobs.settings import ROOT

log = logging.getLogger(__name__)

DRAW_SECONDS = 15.0
"""After it, the process that draws a picture is killed."""
WAIT_SECONDS = 5.0
"""A request waits this long for a free process."""
_LEAST_BYTES, _MOST_BYTES = 192 * 2**20, 2 * 2**30

_ERRORS = {
    error.code: error for error in (PictureTooCostly, PictureUndecodable, PictureUnknownFormat, PictureUnsupported)
}


class DrawingPool:
    """One or two processes, which start with the first picture. Thread-safe.

    Together they may take half of the memory of this machine or container, at most 2 GB each.
    """

    def __init__(
        self, *, api_threads: int, draw_seconds: float = DRAW_SECONDS, memory_bytes: int | None = None
    ) -> None:
        """`memory_bytes`: the most memory of all processes together."""
        half = memory_bytes or usable_memory() // 2
        count = 2 if half >= 4 * _LEAST_BYTES else 1
        self.process_bytes = min(_MOST_BYTES, max(_LEAST_BYTES, half // count))
        self._draw_seconds = draw_seconds
        # More requests than this are refused at once. Three quarters of the threads may be waiting for jobs, and one
        # has to stay free.
        self._places = threading.BoundedSemaphore(max(1, min(4 * count, api_threads // 4 - 1)))
        self._free: queue.LifoQueue[_Process] = queue.LifoQueue()
        for _ in range(count):
            self._free.put(_Process(self.process_bytes, draw_seconds))

    def draw(self, read: Callable[[], bytes], rows: Sequence[Row]) -> tuple[bytes, str]:
        """The picture with its boxes, and its media type, as `annotate` makes them.

        `read` returns the bytes of the picture. It is called when a process is free: requests that wait or are refused
        take no memory for a picture.

        Raises `DrawingBusy` if other pictures are being drawn, or a `PictureError`: also `PictureTooCostly` if the
        process had to be killed.
        """
        if not self._places.acquire(blocking=False):
            raise DrawingBusy("Many pictures are being drawn now.")
        try:
            try:
                process = self._free.get(timeout=WAIT_SECONDS)
            except queue.Empty:
                raise DrawingBusy("Other pictures are being drawn now.") from None
            try:
                return process.draw(read(), rows)
            finally:
                self._free.put(process)
        finally:
            self._places.release()

    def close(self) -> None:
        """Ends the processes that draw nothing now. The others end when this process does."""
        with suppress(queue.Empty):
            while True:
                self._free.get(block=False).end()


class _Process:
    """A process that is started when it is needed, and again after it has ended. Not thread-safe."""

    def __init__(self, memory_bytes: int, draw_seconds: float) -> None:
        self._memory_bytes = memory_bytes
        self._draw_seconds = draw_seconds
        self._running: subprocess.Popen[bytes] | None = None
        self._ending: Callable[[], object] | None = None

    def draw(self, data: bytes, rows: Sequence[Row]) -> tuple[bytes, str]:
        running = self._running if self._running and self._running.poll() is None else self._start()
        assert running.stdin
        assert running.stdout
        # Its end is the end of both pipes.
        deadline = threading.Timer(self._draw_seconds, running.kill)
        deadline.start()
        try:
            write_message(running.stdin, [list(row) for row in rows], data)
            answer, drawn = read_message(running.stdout)
        except (OSError, EOFError) as error:
            self.end()
            log.warning("a process that draws a picture ended: %s", running.returncode)
            raise PictureTooCostly(
                "Drawing the picture takes too much memory or time: take the boxes from `detections`, and draw them "
                "yourself."
            ) from error
        except BaseException:
            # What is left of the answer must not be taken for that to the next picture.
            self.end()
            raise
        finally:
            deadline.cancel()
        if "code" in answer:
            raise _ERRORS.get(answer["code"], PictureError)(answer["message"])
        return drawn, answer["media_type"]

    def _start(self) -> subprocess.Popen[bytes]:
        self.end()
        command = [sys.executable, "-P", "-m", "detectors.pictures.drawing_process"]
        arguments = [str(self._memory_bytes), str(max(1, round(self._draw_seconds)))]
        self._running = subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            # Ctrl-C in a terminal reaches only the API, which finishes its requests.
            process_group=0,
        )
        # Also when nobody has closed the pool.
        self._ending = weakref.finalize(self, _end, self._running)
        return self._running

    def end(self) -> None:
        """Kills the process, if there is one."""
        if self._ending:
            self._ending()
        self._running = self._ending = None


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with suppress(OSError):
                pipe.close()
