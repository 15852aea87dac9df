"""Runs a model in this process, the way a worker runs it, and collects what it finds in pictures."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from detectors.base import Detector
from detectors.catalogue import ModelEntry
from detectors.errors import DetectionFailed, ModelUnusable, PictureUndecodable
from detectors.pictures.decode import decode
from detectors.runtimes.registry import registered, require
from training.boxes import Box
from training.evaluate.display import Update
from training.evaluate.scores import Found


@dataclass(frozen=True)
class Failure:
    """A picture that failed. It has no result, which is not the same as a picture in which nothing was found."""

    file: Path
    code: str
    message: str


@dataclass
class Results:
    """`found` has an entry for each picture, in their order. It is empty for the pictures in `failed`."""

    found: list[Found] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    milliseconds: float | None = None
    """Mean time of a picture for decoding and the model on one core. None if that was not measured."""


def load(entry: ModelEntry) -> Detector:
    """Loads the model in its runtime, on one thread of the CPU, and warms it up. Raises `ModelUnusable`."""
    require(entry.runtime)
    try:
        kind = registered()[entry.runtime].load()
    except ImportError as error:
        raise ModelUnusable(f"Model {entry.name}: the runtime {entry.runtime} can't be imported: {error}.") from error
    detector: Detector = kind(entry, device="cpu", threads=1)
    detector.warm_up()
    return detector


def run_here(detector: Detector, files: Sequence[Path], update: Update) -> Results:
    """Runs the detector on the pictures one by one. The results have every detection from its floor score up."""
    results = Results()
    seconds = 0.0
    for number, file in enumerate(files, start=1):
        data = file.read_bytes()
        started = time.perf_counter()
        try:
            decoded = decode(data, detector.entry.input)
            (detections,) = detector.detect([decoded.pixels])
        except (PictureUndecodable, DetectionFailed) as error:
            results.failed.append(Failure(file, error.code, str(error)))
            results.found.append([])
            update(number, "")
            continue
        seconds += time.perf_counter() - started
        # Decoding may have reduced a large picture.
        x, y = decoded.width / decoded.pixels.shape[1], decoded.height / decoded.pixels.shape[0]
        found: list[tuple[str, float, Box]] = []
        for (x1, y1, x2, y2), certainty, class_id in zip(
            detections.boxes.tolist(), detections.scores.tolist(), detections.class_ids.tolist(), strict=True
        ):
            label = detector.entry.labels[class_id]
            found.append((label, certainty, Box(label, x1 * x, y1 * y, x2 * x, y2 * y)))
        results.found.append(found)
        update(number, "")
    if len(results.failed) < len(files):
        results.milliseconds = 1000 * seconds / (len(files) - len(results.failed))
    return results
