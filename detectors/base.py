"""The contract of a detector, and all the work that runtimes have in common."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from detectors.batching import find_batch_size
from detectors.catalogue import ModelEntry
from detectors.errors import DetectionFailed, DetectorError, ModelUnusable
from detectors.pictures.preprocess import Batch, Pixels, to_tensor
from detectors.postprocess import Detections, postprocess

log = logging.getLogger(__name__)

Answers = Sequence[npt.NDArray[Any] | list[npt.NDArray[Any]]]
"""Outputs of a model for n pictures, each as an array of n × … or as a list of n arrays."""


class Detector(ABC):
    """A model in memory. Not thread-safe, unless the runtime says otherwise.

    A runtime implements `devices`, `_load` and `_infer`. Raises `ModelUnusable` if the model can't be loaded.
    """

    formats: ClassVar[frozenset[str]]
    """Values of an entry's `format` that this runtime takes."""

    def __init__(self, entry: ModelEntry, *, device: str, threads: int, batch_size: int | None = None) -> None:
        if entry.format not in self.formats:
            raise ModelUnusable(
                f"Model {entry.name}: the runtime {entry.runtime} takes {', '.join(sorted(self.formats))}, "
                f"not the format {entry.format!r}."
            )
        self.entry = entry
        self.device = device
        # An entry with 1 is of a model that takes one picture at a time; a setting for all models can't change that.
        wanted = entry.batch_size if entry.batch_size == 1 else batch_size or entry.batch_size
        self._batch_size_is_unknown = wanted == "auto"
        self.batch_size = 1 if wanted == "auto" else wanted
        # Before loading, because some formats are code. Again only if the file was replaced meanwhile.
        stamps = entry.stamps()
        entry.verify()
        self._load(threads)
        if entry.stamps() != stamps:
            entry.verify()

    @classmethod
    @abstractmethod
    def devices(cls) -> list[str]:
        """Accelerators that the framework can use here, best first: `cuda:0`, …; empty if there is only the CPU."""

    @abstractmethod
    def _load(self, threads: int) -> None:
        """Loads the model of `self.entry` onto `self.device` for `threads` CPU threads. Raises `ModelUnusable`."""

    @abstractmethod
    def _infer(self, batch: Batch) -> Answers:
        """Runs the model on n pictures, in the entry's layout and type: one array, or a list of them if their sizes
        differ. Returns the outputs that `entry.output.wanted` lists, in that order and as the model writes them, each
        an array or a list of n: boxes k × 4, scores and class ids k, or scores k × c, and perhaps a count."""

    def detect(self, images: Sequence[Pixels]) -> list[Detections]:
        """Finds the objects in RGB pictures (uint8, H×W×3 each, any sizes): one `Detections` each, in order.

        Raises `DetectionFailed` if the model raises, or if its outputs make no sense. A runtime may raise other
        kinds of `DetectorError`, among them `RetryableError`, which is not the fault of a single picture.
        """
        found: list[Detections] = []
        for start in range(0, len(images), self.batch_size):
            chunk = images[start : start + self.batch_size]
            try:
                outputs = self.answers(to_tensor(chunk, self.entry.input))
            except (RuntimeError, ValueError, TypeError, LookupError) as error:
                raise DetectionFailed(f"The model {self.entry.name} raised: {error}") from error
            lengths = [len(output) for output in outputs]
            if set(lengths) != {len(chunk)}:
                raise DetectionFailed(
                    f"The model {self.entry.name} gave answers for {lengths} pictures, but got {len(chunk)}."
                )
            for image, *answer in zip(chunk, *outputs, strict=True):
                height, width = image.shape[:2]
                found.append(postprocess(self.entry, [np.asarray(part) for part in answer], width, height))
        return found

    def detect_one(self, image: Pixels) -> Detections:
        """Finds the objects in one picture. Any error of a third-party detector becomes a `DetectionFailed`.

        Raises `DetectorError`; a `RetryableError` is not the fault of this picture.
        """
        try:
            return self.detect([image])[0]
        except DetectorError:
            raise
        except Exception as error:
            log.exception("model %s", self.entry.name)
            raise DetectionFailed(f"The detector raised {type(error).__name__}: {error}") from error

    def answers(self, batch: Batch) -> Answers:
        """The outputs of the model for a batch of `to_tensor`, as `_infer` returns them."""
        return self._infer(batch)

    def warm_up(self, memory_limit: int | None = None) -> None:
        """Runs the model on blank pictures, one alone and a full batch, so that no job waits for first-time work.

        If the entry's batch size is `auto`, it is measured now, for a process of at most `memory_limit` bytes.
        """
        if self._batch_size_is_unknown:
            self.batch_size = find_batch_size(self._detect_at_once, memory_limit)
            self._batch_size_is_unknown = False
            return
        for pictures in sorted({1, self.batch_size}):
            self.detect([self.blank()] * pictures)

    def works(self) -> bool:
        """Whether the model in this process still answers. Runs it on a blank picture."""
        try:
            self.detect([self.blank()])
        except Exception:  # noqa: BLE001 - a third-party detector may raise anything
            return False
        return True

    def require_available(self) -> None:  # noqa: B027 - a model in this process has no server
        """Called right before a suspect: a picture that may have stopped the model's server.

        Raises `ModelUnavailable` if the server does not answer, so that the suspect does not count as the cause.
        """

    def time_limit(self, pictures: int, picture_seconds: float) -> float:
        """Seconds that the model may take for this many pictures. After them its process counts as hanging."""
        return picture_seconds * max(1, pictures)

    def close(self) -> None:  # noqa: B027 - most runtimes hold only memory
        """Releases connections and threads. The detector is not used afterwards."""

    def _detect_at_once(self, pictures: int) -> None:
        self.batch_size = pictures
        self.detect([self.blank()] * pictures)

    def blank(self) -> Pixels:
        """A white picture of the size of the model's input: uint8, height × width × 3."""
        return np.full((self.entry.input.height, self.entry.input.width, 3), 255, np.uint8)
