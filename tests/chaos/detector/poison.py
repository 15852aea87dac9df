"""A runtime for the chaos run only: a picture's colour says what it answers, or what becomes of the process.

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
from tests.chaos.pictures import REDS, SLOW, answer

SECONDS = float(os.environ.get("CHAOS_PICTURE_SECONDS", "0.03"))
SLOW_SECONDS = 0.5
MEGABYTES_EATEN = 300
MOST_FOUND = 3


def _raise() -> None:
    raise RuntimeError("this picture can't be looked at")


def _eat() -> None:
    eaten = np.ones(MEGABYTES_EATEN * 2**20, np.uint8)
    time.sleep(60)
    del eaten


DEEDS: dict[int, Callable[[], None]] = {
    REDS["segfault"]: lambda: os.kill(os.getpid(), signal.SIGSEGV),
    REDS["hang"]: lambda: time.sleep(600),
    REDS["eat"]: _eat,
    REDS["raise"]: _raise,
    REDS["kill"]: lambda: os.kill(os.getpid(), signal.SIGKILL),
}


class PoisonDetector(Detector):
    """Answers by the colour of the picture's first pixel."""

    formats = frozenset({"none"})

    @classmethod
    def devices(cls) -> list[str]:
        return []

    def _load(self, threads: int) -> None:
        """There is nothing to load."""

    def _infer(self, batch: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        boxes = np.zeros((len(batch), MOST_FOUND, 4))
        scores = np.zeros((len(batch), MOST_FOUND))
        classes = np.zeros((len(batch), MOST_FOUND), int)
        for row, picture in enumerate(batch):
            red, green, blue = picture[0, 0].tolist()
            DEEDS.get(red, lambda: None)()
            time.sleep(SLOW_SECONDS if red == REDS[SLOW] else SECONDS)
            for rank, (class_id, score, box) in enumerate(answer((red, green, blue))):
                boxes[row, rank], scores[row, rank], classes[row, rank] = box, score, class_id
            if red == REDS["nan"]:
                scores[row] = float("nan")
        return boxes, scores, classes
