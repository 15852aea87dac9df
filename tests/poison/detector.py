"""The detector of the runtime `poison`."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.base import Detector
from tests.poison import UNLOADABLE
from tests.poison.pictures import REDS, SLOW, answer

# The time for each picture.
SECONDS = float(os.environ.get("POISON_SECONDS", "0"))
MEGABYTES_EATEN = 300
MOST_FOUND = 3
KINDS = {red: kind for kind, red in REDS.items()}


def _raise() -> None:
    raise RuntimeError("this picture can't be looked at")


def _eat() -> None:
    eaten = np.ones(MEGABYTES_EATEN * 2**20, np.uint8)
    time.sleep(60)
    del eaten


ACTIONS: dict[str, Callable[[], None]] = {
    "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "hang": lambda: time.sleep(600),
    "eat": _eat,
    "raise": _raise,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
}


class PoisonDetector(Detector):
    """Answers by the colour of the picture's first pixel."""

    formats = frozenset({"none"})
    broken = False

    @classmethod
    def devices(cls) -> list[str]:
        return []

    def _load(self, threads: int) -> None:
        if (self.entry.file.parent / UNLOADABLE).exists():
            raise KeyError("a fault that nobody thought of")

    def _infer(self, batch: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        boxes = np.zeros((len(batch), MOST_FOUND, 4))
        scores = np.zeros((len(batch), MOST_FOUND))
        classes = np.zeros((len(batch), MOST_FOUND), int)
        for row, picture in enumerate(batch):
            red, green, blue = picture[0, 0].tolist()
            kind = KINDS.get(red)
            self.broken |= kind == "break"
            if self.broken:
                raise RuntimeError("unspecified launch failure")
            ACTIONS.get(kind or "", lambda: None)()
            time.sleep(SLOW.get(kind or "", SECONDS))
            for rank, (class_id, score, box) in enumerate(answer((red, green, blue))):
                boxes[row, rank], scores[row, rank], classes[row, rank] = box, score, class_id
            if kind == "nan":
                scores[row] = float("nan")
        return boxes, scores, classes
