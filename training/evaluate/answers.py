"""What a model finds in pictures, when it runs here as a worker runs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from detectors.base import Detector
from detectors.catalogue import ModelEntry
from detectors.errors import DetectionFailed, ModelUnusable, PictureUndecodable
from detectors.pictures.decode import decode
from detectors.runtimes.registry import registered, require
from training.cards.rendering.sheet import Box
from training.evaluate.scores import Found

Show = Callable[[str, int], None]
"""Told what has been done with how many pictures."""


@dataclass(frozen=True)
class Failure:
    """A picture without an answer, which is something else than one in which nothing was found."""

    file: Path
    code: str
    message: str


@dataclass
class Answers:
    """One entry in `found` for each picture, in their order; it is empty for those in `failed`."""

    found: list[Found] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    milliseconds: float | None = None
    """Decoding and the model on one core, the mean over the pictures; None where that was not measured."""


def load(entry: ModelEntry) -> Detector:
    """The entry in its runtime, on one thread of the CPU, warmed up. Raises `ModelUnusable`."""
    require(entry.runtime)
    try:
        kind = registered()[entry.runtime].load()
    except ImportError as error:
        raise ModelUnusable(f"Model {entry.name}: the runtime {entry.runtime} can't be imported: {error}.") from error
    detector: Detector = kind(entry, device="cpu", threads=1)
    detector.warm_up()
    return detector


def answers_here(detector: Detector, files: Sequence[Path], show: Show) -> Answers:
    """Runs the detector over the pictures one by one, from its floor score up."""
    answers = Answers()
    seconds = 0.0
    for number, file in enumerate(files, start=1):
        data = file.read_bytes()
        started = time.perf_counter()
        try:
            decoded = decode(data, detector.entry.input)
            (detections,) = detector.detect([decoded.pixels])
        except (PictureUndecodable, DetectionFailed) as error:
            answers.failed.append(Failure(file, error.code, str(error)))
            answers.found.append([])
            show("looked at", number)
            continue
        seconds += time.perf_counter() - started
        # A large picture may have been decoded smaller than it is.
        x, y = decoded.width / decoded.pixels.shape[1], decoded.height / decoded.pixels.shape[0]
        found: list[tuple[str, float, Box]] = []
        for (x1, y1, x2, y2), certainty, class_id in zip(
            detections.boxes.tolist(), detections.scores.tolist(), detections.class_ids.tolist(), strict=True
        ):
            label = detector.entry.labels[class_id]
            found.append((label, certainty, Box(label, x1 * x, y1 * y, x2 * x, y2 * y)))
        answers.found.append(found)
        show("looked at", number)
    if len(answers.failed) < len(files):
        answers.milliseconds = 1000 * seconds / (len(files) - len(answers.failed))
    return answers
