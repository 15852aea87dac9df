"""The contract of a detector, and all the work that runtimes have in common."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from detectors.catalogue import Input, ModelEntry, Output
from detectors.errors import DetectionFailed, DeviceUnavailable, ModelUnusable
from detectors.preprocess import Pixels, content_size, to_tensor

Floats = npt.NDArray[np.float32]
# A class id that no label has.
NO_CLASS = -1


@dataclass(frozen=True, slots=True)
class Detections:
    """What a model found in one picture, sorted by score, highest first."""

    boxes: Floats
    """k × 4: x1, y1, x2, y2 in pixels of the picture that was given, inside of it, x1 ≤ x2 and y1 ≤ y2."""
    scores: Floats
    """k, each 0 to 1, at least the entry's floor score."""
    class_ids: npt.NDArray[np.int64]
    """k, indices into the entry's labels."""


class Detector(ABC):
    """A model in memory. Not thread-safe; one per worker process.

    A runtime fills in `devices`, `_load` and `_infer`. Raises `ModelUnusable` where the model can't be loaded.
    """

    formats: ClassVar[frozenset[str]]
    """Values of an entry's `format` that this runtime takes."""

    def __init__(self, entry: ModelEntry, *, device: str, threads: int, batch_size: int | None = None) -> None:
        if entry.format not in self.formats:
            raise ModelUnusable(
                f"Model {entry.name}: the runtime {entry.runtime} takes {', '.join(sorted(self.formats))}, "
                f"not the format {entry.format!r}."
            )
        entry.verify()
        self.entry = entry
        self.device = device
        self.batch_size = batch_size or entry.batch_size
        self._load(threads)

    @classmethod
    @abstractmethod
    def devices(cls) -> list[str]:
        """Accelerators that the framework can use here, best first: `cuda:0`, …; empty where there is only the CPU."""

    @abstractmethod
    def _load(self, threads: int) -> None:
        """Loads the model of `self.entry` onto `self.device` for `threads` CPU threads. Raises `ModelUnusable`."""

    @abstractmethod
    def _infer(self, batch: npt.NDArray[Any]) -> Sequence[npt.NDArray[Any]]:
        """Runs the model on n pictures, in the entry's layout and type: boxes n × k × 4, scores n × k, class ids
        n × k, as the model writes them; and where the entry names a count, how many of each k count, n."""

    @property
    def _wanted(self) -> list[int | str]:
        """Which of the model's outputs `_infer` returns, in its order."""
        output = self.entry.output
        count = [] if output.count is None else [output.count]
        return [output.boxes, output.scores, output.classes, *count]

    def detect(self, images: Sequence[Pixels]) -> list[Detections]:
        """Finds the objects in RGB pictures (uint8, H×W×3 each, any sizes): one `Detections` each, in order.

        Raises `DetectionFailed` where the model raises, or what comes out makes no sense.
        """
        found: list[Detections] = []
        for start in range(0, len(images), self.batch_size):
            chunk = images[start : start + self.batch_size]
            boxes, scores, classes = self._run(to_tensor(chunk, self.entry.input))
            found += [self._read(*one) for one in zip(chunk, boxes, scores, classes, strict=True)]
        return found

    def warm_up(self) -> None:
        """Runs the model on blank pictures, alone and as a full batch, so that no job pays for first-time work."""
        blank = np.full((self.entry.input.height, self.entry.input.width, 3), 255, np.uint8)
        self.detect([blank])
        self.detect([blank] * self.batch_size)

    def works(self) -> bool:
        """Whether the model still answers at all: looks at a blank picture."""
        try:
            self.detect([np.full((self.entry.input.height, self.entry.input.width, 3), 255, np.uint8)])
        except Exception:  # noqa: BLE001 - a detector may be anybody's
            return False
        return True

    def _run(self, batch: npt.NDArray[Any]) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
        try:
            boxes, scores, classes, *count = self._infer(batch)
        except (RuntimeError, ValueError, TypeError, LookupError) as error:
            raise DetectionFailed(f"The model {self.entry.name} raised: {error}") from error
        n, k = len(batch), scores.shape[-1]
        if boxes.shape != (n, k, 4) or scores.shape != (n, k) or classes.shape != (n, k):
            raise DetectionFailed(
                f"The model {self.entry.name} gave boxes {boxes.shape}, scores {scores.shape} and classes "
                f"{classes.shape} for {n} pictures."
            )
        boxes, scores, classes = boxes.astype(np.float32), scores.astype(np.float32), classes.astype(np.float64)
        for counted in count:
            if counted.size != n or not np.isfinite(counted).all():
                raise DetectionFailed(f"The model {self.entry.name} counted {counted} rows for {n} pictures.")
            # What lies behind the count is filling, whatever stands there.
            filling = np.arange(k) >= counted.reshape(n, 1)
            boxes[filling], scores[filling], classes[filling] = 0, 0, NO_CLASS
        if not np.isfinite(classes).all():
            raise DetectionFailed(f"The model {self.entry.name} gave classes that are not finite.")
        return boxes, scores, classes.astype(np.int64) - self.entry.output.first_class

    def _read(self, image: Pixels, boxes: Floats, scores: Floats, classes: npt.NDArray[np.int64]) -> Detections:
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise DetectionFailed(f"The model {self.entry.name} gave numbers that are not finite.")
        if self.entry.output.activation == "sigmoid":
            scores = (1 / (1 + np.exp(-scores))).astype(np.float32)
        kept = np.flatnonzero((scores >= self.entry.output.floor_score) & (classes >= 0))
        unlabelled = classes[kept][classes[kept] >= len(self.entry.labels)]
        if unlabelled.size:
            # Left out in silence, a list of labels that is too short would look like "nothing found".
            raise DetectionFailed(
                f"The model {self.entry.name} found class {unlabelled[0]}, but its entry has labels for 0 to "
                f"{len(self.entry.labels) - 1} only."
            )
        # Stable, so that equal scores keep the model's own order.
        kept = kept[np.argsort(-scores[kept], kind="stable")]
        boxes = to_picture(boxes[kept], image.shape[1], image.shape[0], self.entry.input, self.entry.output)
        return Detections(boxes, scores[kept], classes[kept])


def to_picture(boxes: Floats, width: int, height: int, into: Input, output: Output) -> Floats:
    """Boxes as the model writes them -> x1, y1, x2, y2 in pixels of a `width` × `height` picture, clipped to it."""
    a, b, c, d = boxes.T
    if output.box_order == "xyxy":
        x1, y1, x2, y2 = a, b, c, d
    elif output.box_order == "yxyx":
        x1, y1, x2, y2 = b, a, d, c
    else:
        x1, y1, x2, y2 = a - c / 2, b - d / 2, a + c / 2, b + d / 2
    corners = np.stack([x1, y1, x2, y2], axis=1)
    if output.coordinates == "normalised":
        corners = corners * np.array([into.width, into.height] * 2, np.float32)
    content_width, content_height = content_size(width, height, into)
    corners = corners * np.array([width / content_width, height / content_height] * 2, np.float32)
    corners = corners.clip(0, np.array([width, height] * 2, np.float32))
    # Corners in the wrong order would be a box of negative size.
    low, high = np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])
    return np.concatenate([low, high], axis=1).astype(np.float32)


def choose_device(wanted: str, available: Sequence[str], child: int = 0) -> str:
    """The device of a worker's n-th child for BOXQUEUE_DEVICE. Raises `DeviceUnavailable`."""
    if wanted == "cpu" or (wanted == "auto" and not available):
        return "cpu"
    if wanted in ("auto", "cuda") and available:
        return available[child % len(available)]
    if wanted in available:
        return wanted
    raise DeviceUnavailable(
        f"BOXQUEUE_DEVICE: {wanted} was asked for, but there is {', '.join(available) or 'no CUDA device'} here. "
        "Use BOXQUEUE_DEVICE=cpu or auto, or check the driver (nvidia-smi) and that the image was built for CUDA."
    )
