"""The bundled weights in every format: whether all find the same, and milliseconds a picture, side by side in one run.

    python -m benchmarks.runtimes [--threads 1 2] [--rounds 7] [--pictures FOLDER]

Each format is loaded in a process of its own for each number of threads; they take turns, one at a time, with one
picture at a time and with full batches. Decoding is not counted; resizing, the model and reading its answers are. On
the sample pictures all have to find what the exported program finds; the greatest difference is told, of a side of a
box in pixels of its picture and of a score, and how many they do not share. Exits with 1 where there are any.

The formats that are not in the catalogue are made first, which takes a minute or two and a C++ compiler. The runtime
libtorch and an environment with KServe have to be there: `make test-isolation` makes both.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import starmap
from pathlib import Path

import numpy as np

from benchmarks.models import kserve
from benchmarks.models.bare import load
from benchmarks.models.formats import write_formats
from benchmarks.models.pictures import SUFFIXES, pictures
from detectors.base import Detector
from detectors.pictures.decode import decode
from detectors.postprocess import Detections
from detectors.runtimes.registry import require
from jobs.settings import ROOT
from training.model.parity import differences, furthest

PICTURES = 32
EXPORTED, SERVED = "cards-pytorch", "cards-served"
FORMATS = {
    "cards-unfolded": "exported program, not folded",
    EXPORTED: "exported program",
    "cards-torchscript": "TorchScript",
    "cards-compiled": "AOTInductor",
    "cards-libtorch": "AOTInductor, from C++",
    "cards-tensorflow": "SavedModel",
    "cards-raw": "SavedModel, renamed and raw",
    "cards-frozen": "frozen graph",
    SERVED: "exported program in KServe",
}
SAMPLES = [path for path in sorted((ROOT / "samples").iterdir()) if path.suffix in SUFFIXES]


class Contestant:
    """A format with so many threads, loaded and warm, in a process of its own."""

    def __init__(self, model: str, threads: int, files: Sequence[Path], catalogue: Path) -> None:
        self.model, self.threads = model, threads
        self.measured: dict[str, list[float]] = {"one": [], "batch": []}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.runtimes", "--contestant", model, str(threads), *map(str, files)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "BOXQUEUE_CATALOGUE": str(catalogue), "BOXQUEUE_MODEL_ALIASES": ""},
        )
        self._heard()

    def run(self) -> None:
        """One round of each kind."""
        for kind, measured in self.measured.items():
            measured.append(float(self._asked(kind)))

    def found(self) -> list[Detections]:
        """What it finds on the samples."""
        return [
            Detections(
                np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(kinds, np.int64)
            )
            for boxes, scores, kinds in json.loads(self._asked("found"))
        ]

    def median(self, kind: str) -> float:
        """Milliseconds a picture."""
        return statistics.median(self.measured[kind])

    def end(self) -> None:
        self._process.communicate()

    def _asked(self, what: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        return self._heard()

    def _heard(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.model} did not answer")
        return line


def contestant(model: str, threads: int, files: Sequence[str]) -> None:
    """A process that is asked for rounds: a line with the kind in, a line with milliseconds a picture out. Asked what
    it has `found` on the samples, it tells as JSON."""
    detector = load(model, threads)
    images = [decode(Path(file).read_bytes(), detector.entry.input).pixels for file in files]
    sys.stdout.write("warm\n")
    sys.stdout.flush()
    for line in sys.stdin:
        asked = line.strip()
        if asked == "found":
            answer = json.dumps(found(detector))
        else:
            size = 1 if asked == "one" else detector.batch_size
            started = time.perf_counter()
            for start in range(0, len(images), size):
                detector.detect(images[start : start + size])
            answer = str((time.perf_counter() - started) * 1000 / len(images))
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def found(detector: Detector) -> list[tuple[list[list[float]], list[float], list[int]]]:
    """Boxes, scores and class ids of each sample."""
    images = [decode(file.read_bytes(), detector.entry.input).pixels for file in SAMPLES]
    return [(one.boxes.tolist(), one.scores.tolist(), one.class_ids.tolist()) for one in detector.detect(images)]


def report(contestants: Sequence[Contestant]) -> int:
    """Prints the table. Returns how many detections the formats do not share with the exported program."""
    exported = {each.threads: each for each in contestants if each.model == EXPORTED}
    expected = exported[contestants[0].threads].found()
    wrong = 0
    print(
        f"{'':40} {'pixels':>8} {'score':>8} {'ms, one':>8} {'ratio':>6} {'ms, batch':>9} {'ratio':>6} {'unshared':>8}"
    )
    for each in contestants:
        given = each.found()
        unshared = sum(map(len, starmap(differences, zip(expected, given, strict=True))))
        pixels, score = np.max(list(starmap(furthest, zip(expected, given, strict=True))), axis=0)
        one, batch = each.median("one"), each.median("batch")
        base = exported[each.threads]
        name = f"{FORMATS[each.model]}, {each.threads} thread{'s' if each.threads > 1 else ''}"
        print(
            f"{name:40} {pixels:8.4f} {score:8.6f} {one:8.1f} {one / base.median('one'):6.2f} "
            f"{batch:9.1f} {batch / base.median('batch'):6.2f} {unshared:8}"
        )
        wrong += unshared
    return wrong


def main() -> int:
    """Returns the exit code."""
    if sys.argv[1:2] == ["--contestant"]:
        contestant(sys.argv[2], int(sys.argv[3]), sys.argv[4:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pictures", type=Path)
    given = parser.parse_args()
    require("libtorch")
    if not kserve.PYTHON.exists():
        raise SystemExit("KServe is missing: make test-isolation makes its environment")
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="boxqueue-formats-"))
        files = stack.enter_context(pictures(given.pictures, PICTURES))
        catalogue = write_formats(Path(folder))
        url = stack.enter_context(kserve.served(Path(folder) / "kserve.log"))
        with catalogue.open("a") as file:
            # As files: KServe reads them faster than it reads tensors.
            file.write(kserve.entry(SERVED, url, "tf_serving", 'encoding = "png"'))
        # The server has one thread, whatever whoever asks it has.
        pairs = [(name, n) for n in given.threads for name in FORMATS if n == 1 or name != SERVED]
        contestants = [Contestant(name, n, files, catalogue) for name, n in pairs]
        for _ in range(given.rounds):
            for each in contestants:
                each.run()
        wrong = report(contestants)
        for each in contestants:
            each.end()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
