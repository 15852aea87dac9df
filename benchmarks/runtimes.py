"""The bundled weights in every format: whether all detect the same, and milliseconds per picture, measured in one run.

    python -m benchmarks.runtimes [--threads 1 2] [--rounds 7] [--pictures FOLDER]

Each format is loaded in its own process for each number of threads. The processes run in turn, first one picture at a
time, then full batches. The time is that of resizing, the model and postprocessing, without decoding. On the sample
pictures, all formats must detect what the exported program detects. The table shows the greatest difference of a side
of a box (in pixels of its picture) and of a score, and the number of detections that are not shared. Exit code 1 if
there are any.

Formats that are not in the catalogue are made first, which takes one or two minutes and a C++ compiler. The runtime
libtorch and an environment with KServe are needed: `make test-isolation` makes both.
"""

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

from benchmarks.arguments import new_parser
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
    "cards-onnx": "ONNX",
    SERVED: "exported program in KServe",
}
SAMPLES = [path for path in sorted((ROOT / "samples").iterdir()) if path.suffix in SUFFIXES]


class FormatProcess:
    """One format with a number of threads, loaded and warm in its own process."""

    def __init__(self, model: str, threads: int, files: Sequence[Path], catalogue: Path) -> None:
        self.model, self.threads = model, threads
        self.measured: dict[str, list[float]] = {"one": [], "batch": []}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.runtimes", "--serve", model, str(threads), *map(str, files)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "BOXQUEUE_CATALOGUE": str(catalogue), "BOXQUEUE_MODEL_ALIASES": ""},
        )
        self._read_line()

    def run(self) -> None:
        """Runs one round with single pictures and one with batches."""
        for kind, measured in self.measured.items():
            measured.append(float(self._ask(kind)))

    def found(self) -> list[Detections]:
        """The detections on the samples."""
        return [
            Detections(
                np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(kinds, np.int64)
            )
            for boxes, scores, kinds in json.loads(self._ask("found"))
        ]

    def median(self, kind: str) -> float:
        """The median of the milliseconds per picture. `kind`: `one` or `batch`."""
        return statistics.median(self.measured[kind])

    def end(self) -> None:
        self._process.communicate()

    def _ask(self, command: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self._read_line()

    def _read_line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"The process of {self.model} has ended.")
        return line


def serve(model: str, threads: int, files: Sequence[str]) -> None:
    """The loop of a format's process. For a line `one` or `batch`, it writes the milliseconds per picture of a round.
    For a line `found`, it writes the detections on the samples as JSON."""
    detector = load(model, threads)
    images = [decode(Path(file).read_bytes(), detector.entry.input).pixels for file in files]
    sys.stdout.write("warm\n")
    sys.stdout.flush()
    for line in sys.stdin:
        command = line.strip()
        if command == "found":
            answer = json.dumps(found(detector))
        else:
            size = 1 if command == "one" else detector.batch_size
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


def report(processes: Sequence[FormatProcess]) -> int:
    """Prints the table. Returns the number of detections that the formats do not share with the exported program."""
    exported = {each.threads: each for each in processes if each.model == EXPORTED}
    expected = exported[processes[0].threads].found()
    wrong = 0
    print(
        f"{'':40} {'pixels':>8} {'score':>8} {'ms, one':>8} {'ratio':>6} {'ms, batch':>9} {'ratio':>6} {'unshared':>8}"
    )
    for each in processes:
        detected = each.found()
        unshared = sum(map(len, starmap(differences, zip(expected, detected, strict=True))))
        pixels, score = np.max(list(starmap(furthest, zip(expected, detected, strict=True))), axis=0)
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
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], int(sys.argv[3]), sys.argv[4:])
        return 0
    parser = new_parser("runtimes", __doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pictures", type=Path)
    arguments = parser.parse_args()
    require("libtorch")
    if not kserve.PYTHON.exists():
        raise SystemExit("KServe is missing: `make test-isolation` makes its environment.")
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="boxqueue-formats-"))
        files = stack.enter_context(pictures(arguments.pictures, PICTURES))
        catalogue = write_formats(Path(folder))
        url = stack.enter_context(kserve.served(Path(folder) / "kserve.log"))
        with catalogue.open("a") as file:
            # As PNG files: KServe reads them faster than tensors.
            file.write(kserve.entry(SERVED, url, "tf_serving", 'encoding = "png"'))
        # The server always has one thread, so it is measured only once.
        pairs = [(name, n) for n in arguments.threads for name in FORMATS if n == 1 or name != SERVED]
        processes = [FormatProcess(name, n, files, catalogue) for name, n in pairs]
        for _ in range(arguments.rounds):
            for each in processes:
                each.run()
        wrong = report(processes)
        for each in processes:
            each.end()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
