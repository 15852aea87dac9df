"""Batches: of a fixed size, and the best size for a model whose entry says `batch_size = "auto"`."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.errors import DetectorError
from detectors.machine import peak_bytes, reset_peak, resident_bytes

MAX_BATCH_SIZE = 64
"""Larger batches are no faster on any device, and a worker keeps all pictures of a claim in memory."""
MAX_TIME_RATIO = 0.95
"""A batch twice as large has to take less than this share of the time per picture."""
TRIAL_SECONDS = 0.3
"""Each batch size runs for this long, and at least twice."""


def in_batches_of(
    size: int | None, batch: npt.NDArray[Any], run: Callable[[npt.NDArray[Any]], Sequence[npt.NDArray[Any]]]
) -> list[npt.NDArray[Any]]:
    """The outputs of a model for a batch of n pictures. `size`: the number of pictures that the model takes at a time;
    None if it takes any number. `run`: returns the outputs for a batch that it takes, each an array of n × …"""
    size = size or len(batch)
    parts = []
    for start in range(0, len(batch), size):
        chunk = batch[start : start + size]
        # The last batch is filled up, and the filling is cut off again below.
        filled = np.concatenate([chunk, np.repeat(chunk[-1:], size - len(chunk), axis=0)])
        parts.append([output[: len(chunk)] for output in run(filled)])
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def find_batch_size(detect: Callable[[int], object], memory_limit: int | None) -> int:
    """The power of two, at most `MAX_BATCH_SIZE`, from which on larger batches hardly save time per picture.

    `detect` runs the model on a batch of that many pictures. For two or more it may raise `DetectorError`: the model
    has a smaller fixed batch, or the GPU's memory is too small. `memory_limit`, in bytes: a batch size is not tried if
    this process would then use more, estimated from the growth at half the size.
    """
    detect(1)  # first-time work; an error here is not about the batch size
    before = resident_bytes()
    best, fastest = 1, _seconds_per_picture(detect, 1)
    while best < MAX_BATCH_SIZE:
        growth = peak_bytes() - before
        if memory_limit is not None and before + 2 * growth > memory_limit:
            break
        try:
            seconds = _seconds_per_picture(detect, 2 * best)
        except DetectorError:
            break
        if seconds > MAX_TIME_RATIO * fastest:
            break
        best, fastest = 2 * best, seconds
    return best


def _seconds_per_picture(detect: Callable[[int], object], pictures: int) -> float:
    """The shortest time of a batch, divided by its pictures. Afterwards `peak_bytes` is the peak of these runs."""
    reset_peak()  # an earlier model may have needed more
    until = time.perf_counter() + TRIAL_SECONDS
    spans: list[float] = []
    while len(spans) < 2 or time.perf_counter() < until:
        started = time.perf_counter()
        detect(pictures)
        spans.append(time.perf_counter() - started)
    return min(spans) / pictures
