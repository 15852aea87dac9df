"""Runs a model in this process as a worker does, and collects its detections."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from detectors.base import Detector
from detectors.catalogue import ModelEntry
from detectors.errors import DetectionFailed, ModelUnusable, PictureError
from detectors.pictures.decode import decode
from detectors.runtimes.registry import registered, require
from training.boxes import Box
from training.evaluate.display import UpdateProgress
from training.evaluate.scores import Predictions


@dataclass(frozen=True)
class Failure:
    """A picture that failed, with the error. A picture without detections is no failure."""

    file: Path
    code: str
    message: str


@dataclass
class Results:
    """`found` has the detections of each picture, in the order of the pictures: none for a picture in `failed`."""

    found: list[Predictions] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    milliseconds: float | None = None
    """Mean time for one picture, decoding and model, on one core. None if it was not measured."""


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


def run_locally(detector: Detector, files: Sequence[Path], update: UpdateProgress) -> Results:
    """Runs the detector on one picture after the other. The results have all detections above its floor score."""
    results = Results()
    seconds = 0.0
    for number, file in enumerate(files, start=1):
        data = file.read_bytes()
        started = time.perf_counter()
        try:
            decoded = decode(data, detector.entry.input)
            (detections,) = detector.detect([decoded.pixels])
        except (PictureError, DetectionFailed) as error:
            results.failed.append(Failure(file, error.code, str(error)))
            results.found.append([])
            update(number, "")
            continue
        seconds += time.perf_counter() - started
        # Decoding may have reduced a large picture, so the boxes are scaled to its original size.
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
