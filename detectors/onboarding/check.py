"""`python -m detectors.onboarding.check NAME`: loads a model as a worker would, and runs it.

It prints what the model takes, what it gives, and what it costs in time and memory.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy.typing as npt

from detectors.base import Answers, Detector, choose_device
from detectors.catalogue import ModelEntry
from detectors.errors import ModelUnusable
from detectors.onboarding import command
from detectors.pictures.decode import decode
from detectors.pictures.drawing import annotate
from detectors.pictures.preprocess import Batch, to_tensor
from detectors.runtimes.registry import ELSEWHERE, registered, require

ALONE, BATCHES = 9, 5
"""Times that a picture, and a full batch, are run to tell the median."""


class Found(NamedTuple):
    """A detection as it is shown and drawn: the box in pixels of the picture."""

    label: str
    class_id: int
    score: float
    x1: float
    y1: float
    x2: float
    y2: float

    def shown(self) -> dict[str, Any]:
        """As over HTTP."""
        return {
            "label": self.label,
            "class_id": self.class_id,
            "score": self.score,
            "box": [self.x1, self.y1, self.x2, self.y2],
        }


def runtime_here(runtime: str, wanted: str) -> tuple[type[Detector], str]:
    """The class of a runtime's detectors, and the device for `wanted`: auto, cpu, cuda or cuda:N; of one that asks
    a server its own name.

    Raises `ModelUnusable` where the runtime is not there, `DeviceUnavailable`.
    """
    require(runtime)
    detector_class = registered()[runtime].load()
    return detector_class, runtime if runtime in ELSEWHERE else choose_device(wanted, detector_class.devices())


def check(entry: ModelEntry, wanted: str, threads: int, picture: Path | None, drawn: Path | None) -> dict[str, Any]:
    """Runs the entry's model on a picture, a blank one without `picture`. With `drawn`, writes it with its boxes there,
    under the ending that fits what it is. Detections are those that a request gets which names no `min_score`.

    Times are milliseconds a picture, decoding left out. Raises `DetectorError`.
    """
    detector_class, device = runtime_here(entry.runtime, wanted)
    started = time.perf_counter()
    detector = detector_class(entry, device=device, threads=threads)
    loaded = time.perf_counter()
    detector.warm_up()
    warm = time.perf_counter()
    data = _read(picture) if picture else None
    decoded = decode(data, entry.input) if data else None
    pixels = decoded.pixels if decoded else detector.blank()
    alone = _milliseconds(ALONE, lambda: detector.detect([pixels]))
    together = _milliseconds(BATCHES, lambda: detector.detect([pixels] * detector.batch_size)) / detector.batch_size
    (detections,) = detector.detect([pixels])
    least = entry.defaults.min_score or 0.0
    found = [
        Found(entry.labels[class_id], class_id, round(score, 4), *box)
        for class_id, score, box in zip(
            detections.class_ids.tolist(),
            detections.scores.tolist(),
            (decoded.whole(detections.boxes) if decoded else detections.boxes).tolist(),
            strict=True,
        )
        if score >= least
    ]
    if data and drawn:
        shown, media_type = annotate(data, found)
        drawn = drawn.with_suffix(f".{media_type.partition('/')[2]}")
        _write(drawn, shown)
    batch = to_tensor([pixels], entry.input)
    return {
        "model": entry.name,
        "runtime": entry.runtime,
        "format": entry.format,
        "file": entry.place,
        "digest": entry.digest,
        "device": device,
        "threads": threads,
        "load_ms": round((loaded - started) * 1000, 1),
        "warm_up_ms": round((warm - loaded) * 1000, 1),
        "alone_ms": round(alone, 2),
        "batch_size": detector.batch_size,
        "batch_ms": round(together, 2),
        "input": _described(batch),
        "outputs": dict(zip(map(str, entry.output.wanted), map(_described, detector.answers(batch)), strict=True)),
        "detections": [one.shown() for one in found] if data else None,
        "drawn": str(drawn) if data and drawn else None,
    }


def _read(picture: Path) -> bytes:
    try:
        return picture.read_bytes()
    except OSError as error:
        raise ModelUnusable(f"The picture {picture} can't be read: {error.strerror}.") from error


def _write(file: Path, data: bytes) -> None:
    try:
        file.write_bytes(data)
    except OSError as error:
        raise ModelUnusable(f"{file} can't be written: {error.strerror}.") from error


def _milliseconds(times: int, work: Callable[[], object]) -> float:
    spans = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        spans.append(time.perf_counter() - started)
    return median(spans) * 1000


def _described(array: npt.NDArray[Any] | list[npt.NDArray[Any]] | Batch | Answers) -> str:
    """Type and shape: `float32 1 × 100 × 4`."""
    if isinstance(array, list):
        return f"{len(array)} of {_described(array[0])}"
    return f"{array.dtype} {' × '.join(map(str, array.shape))}"  # type: ignore[union-attr]


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and prints the report as JSON. Returns the exit code."""
    options = _parser().parse_args(arguments)

    def work() -> dict[str, Any]:
        entry = command.catalogue_of(options).get(options.name)
        return check(entry, options.device, options.threads, options.picture, options.drawn)

    return command.answer(work)


def _parser() -> argparse.ArgumentParser:
    parser = command.parser(
        "detectors.onboarding.check", "Load a model, run it, and tell what it takes, gives and costs."
    )
    command.add_device(parser)
    parser.add_argument("--picture", type=Path, metavar="FILE", help="what to look at; else a blank one")
    parser.add_argument("--drawn", type=Path, metavar="FILE", help="where the picture goes with its boxes drawn")
    return parser


if __name__ == "__main__":
    sys.exit(main())
