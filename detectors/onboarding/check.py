"""`python -m detectors.onboarding.check NAME`: loads a model as a worker does, and runs it.

It prints the model's input, its outputs, and the time that it takes.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.base import Answers, Detector
from detectors.catalogue import ModelEntry
from detectors.errors import ModelUnusable
from detectors.onboarding import command_line
from detectors.onboarding.hints import hints_about
from detectors.pictures.decode import DecodedPicture, decode
from detectors.pictures.drawing import Row, annotate
from detectors.pictures.preprocess import Batch, Pixels, to_tensor
from detectors.postprocess import postprocess
from detectors.runtimes.devices import load_runtime

SINGLE_RUNS, BATCH_RUNS = 9, 5
"""Runs of which the median time is reported, of one picture and of a full batch."""


def check(entry: ModelEntry, wanted: str, threads: int, picture: Path | None, drawn: Path | None) -> dict[str, Any]:
    """Runs the entry's model on a picture; without `picture` on a blank one. With `drawn`, writes the picture with its
    boxes there. The detections are those of a request without `min_score`.

    Times are milliseconds per picture, without decoding. Raises `DetectorError`.
    """
    detector_class, device = load_runtime(entry.runtime, wanted)
    started = time.perf_counter()
    detector = detector_class(entry, device=device, threads=threads)
    loaded = time.perf_counter()
    detector.warm_up()
    warm = time.perf_counter()
    data = _read(picture) if picture else None
    blank = detector.blank()
    decoded = decode(data, entry.input) if data else DecodedPicture(blank, blank.shape[1], blank.shape[0])
    times = _measure(detector, decoded.pixels)
    found, highest = _detect(detector, decoded)
    if data and drawn:
        drawn = _draw(data, found, drawn)
    batch = to_tensor([decoded.pixels], entry.input)
    return {
        "model": entry.name,
        "runtime": entry.runtime,
        "format": entry.format,
        "file": entry.location,
        "digest": entry.digest,
        "device": device,
        "threads": threads,
        "load_ms": round((loaded - started) * 1000, 1),
        "warm_up_ms": round((warm - loaded) * 1000, 1),
        **times,
        "input": _describe(batch),
        "outputs": dict(zip(map(str, entry.output.wanted), map(_describe, detector.answers(batch)), strict=True)),
        "detections": [_as_json(*row) for row in found] if data else None,
        "hints": hints_about(entry, found, highest, decoded.width, decoded.height) if data else [],
        "drawn": str(drawn) if data and drawn else None,
    }


def _measure(detector: Detector, pixels: Pixels) -> dict[str, float]:
    """The median times per picture in milliseconds, alone and in a full batch, and the batch size."""
    size = detector.batch_size
    return {
        "alone_ms": round(_median_ms(SINGLE_RUNS, lambda: detector.detect([pixels])), 2),
        "batch_size": size,
        "batch_ms": round(_median_ms(BATCH_RUNS, lambda: detector.detect([pixels] * size)) / size, 2),
    }


def _detect(detector: Detector, picture: DecodedPicture) -> tuple[list[Row], float]:
    """The detections of a request without `min_score`, and the highest score, also if it is too low for one."""
    (detections,) = detector.detect([picture.pixels])
    min_score = detector.entry.defaults.min_score or 0.0
    rows: list[Row] = [
        (label, class_id, round(score, 4), x1, y1, x2, y2)
        for label, class_id, score, x1, y1, x2, y2 in detections.rows(picture, detector.entry.labels)
        if score >= min_score
    ]
    if rows:
        return rows, rows[0][2]
    entry = detector.entry
    output = entry.output.model_copy(update={"floor_score": 0.0})
    outputs = [np.asarray(part[0]) for part in detector.answers(to_tensor([picture.pixels], entry.input))]
    height, width = picture.pixels.shape[:2]
    weak = postprocess(entry.model_copy(update={"output": output}), outputs, width, height)
    return [], float(weak.scores.max(initial=0.0))


def _as_json(label: str, class_id: int, score: float, *box: float) -> dict[str, Any]:
    """A detection in the form that HTTP answers have."""
    return {"label": label, "class_id": class_id, "score": score, "box": list(box)}


def _draw(data: bytes, found: Sequence[Row], file: Path) -> Path:
    """Writes the picture with its boxes, with the ending of its format. Returns the path."""
    drawn, media_type = annotate(data, found)
    file = file.with_suffix(f".{media_type.partition('/')[2]}")
    try:
        file.write_bytes(drawn)
    except OSError as error:
        raise ModelUnusable(f"{file} can't be written: {error.strerror}.") from error
    return file


def _read(picture: Path) -> bytes:
    try:
        return picture.read_bytes()
    except OSError as error:
        raise ModelUnusable(f"The picture {picture} can't be read: {error.strerror}.") from error


def _median_ms(runs: int, work: Callable[[], object]) -> float:
    spans = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        spans.append(time.perf_counter() - started)
    return median(spans) * 1000


def _describe(array: npt.NDArray[Any] | list[npt.NDArray[Any]] | Batch | Answers) -> str:
    """Type and shape: `float32 1 × 100 × 4`."""
    if isinstance(array, list):
        return f"{len(array)} of {_describe(array[0])}"
    return f"{array.dtype} {' × '.join(map(str, array.shape))}"  # type: ignore[union-attr]


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and prints the report as JSON. Returns the exit code."""
    options = _parser().parse_args(arguments)
    return command_line.report(
        lambda: check(
            command_line.load_catalogue(options).get(options.name),
            options.device,
            options.threads,
            options.picture,
            options.drawn,
        )
    )


def _parser() -> argparse.ArgumentParser:
    parser = command_line.model_parser(
        "detectors.onboarding.check", "Load a model, run it, and print its input, its outputs and its times."
    )
    command_line.add_device(parser)
    parser.add_argument("--picture", type=Path, metavar="FILE", help="the picture to run it on [a blank one]")
    parser.add_argument("--drawn", type=Path, metavar="FILE", help="where to write the picture with its boxes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
