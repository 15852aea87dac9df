"""A runtime for tests only: a picture's colour says what becomes of the process that looks at it.

It needs no framework, and it comes in by the entry point that any runtime of a user's own comes in by.
"""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.base import Detector

MEGABYTES_EATEN = 600


def _raise() -> None:
    raise RuntimeError("this picture can't be looked at")


def _eat() -> None:
    eaten = np.ones(MEGABYTES_EATEN * 2**20, np.uint8)
    time.sleep(60)
    del eaten


DEEDS: dict[tuple[int, int, int], Callable[[], None]] = {
    (255, 0, 0): lambda: os.kill(os.getpid(), signal.SIGSEGV),
    (0, 255, 0): lambda: time.sleep(600),
    (0, 0, 255): _eat,
    (255, 255, 0): _raise,
    (255, 0, 255): lambda: os.kill(os.getpid(), signal.SIGKILL),
}
NOT_A_NUMBER = (0, 255, 255)
# After it this process can't look at anything any more, as after a sticky CUDA error.
BREAK = (0, 0, 1)
# Colour -> seconds that such a picture takes.
SLOW = {(128, 128, 128): 0.2, (64, 64, 64): 2.0}


class PoisonDetector(Detector):
    """One box in the middle of every picture that is not poison."""

    formats = frozenset({"none"})

    @classmethod
    def devices(cls) -> list[str]:
        return []

    broken = False

    def _load(self, threads: int) -> None:
        if (self.entry.file.parent / "unloadable").exists():
            raise KeyError("a fault that nobody thought of")

    def _infer(self, batch: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        colours = [tuple(picture[0, 0].tolist()) for picture in batch]
        for colour in colours:
            self.broken |= colour == BREAK
            if self.broken:
                raise RuntimeError("unspecified launch failure")
            if colour in DEEDS:
                DEEDS[colour]()
            time.sleep(SLOW.get(colour, 0.0))
        boxes = np.tile(np.array([[8.0, 8.0, 24.0, 24.0]]), (len(batch), 1, 1))
        scores = np.array([[float("nan") if colour == NOT_A_NUMBER else 0.9] for colour in colours])
        return boxes, scores, np.zeros((len(batch), 1), int)
