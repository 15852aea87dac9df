"""How many pictures a model takes at once, where its entry leaves that to be found: `batch_size = "auto"`."""

import time
from collections.abc import Callable

from detectors.errors import DetectorError
from detectors.memory import forget_peak, peak_bytes, resident_bytes

MOST = 64
"""More gain nothing anywhere, and all pictures of a claim are in memory at once."""
WORTH = 0.95
"""Twice as many at once have to take less than this share of the time for each."""
SECONDS = 0.3
"""So long each number is tried, but at least twice."""


def find_batch_size(detect: Callable[[int], object], memory_limit: int | None) -> int:
    """The power of two, up to MOST, from which on more pictures at once are hardly faster for each.

    `detect` runs the model on so many. It may raise `DetectorError` from two on: for more than a model of a fixed
    size takes, or than fit into a GPU's memory. No number is tried with which this process would grow beyond
    `memory_limit`, bytes, if pictures need as much as they did at half of it.
    """
    detect(1)  # first-time work, and what fails here is not for being too many
    before = resident_bytes()
    best, fastest = 1, _seconds_each(detect, 1)
    while best < MOST:
        growth = peak_bytes() - before
        if memory_limit is not None and before + 2 * growth > memory_limit:
            break
        try:
            seconds = _seconds_each(detect, 2 * best)
        except DetectorError:
            break
        if seconds > WORTH * fastest:
            break
        best, fastest = 2 * best, seconds
    return best


def _seconds_each(detect: Callable[[int], object], pictures: int) -> float:
    """A picture's part of the shortest time that so many took. The peak of the memory is theirs afterwards."""
    forget_peak()  # what an earlier model needed must not count
    until = time.perf_counter() + SECONDS
    spans: list[float] = []
    while len(spans) < 2 or time.perf_counter() < until:
        started = time.perf_counter()
        detect(pictures)
        spans.append(time.perf_counter() - started)
    return min(spans) / pictures
