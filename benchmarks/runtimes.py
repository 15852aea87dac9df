"""Milliseconds a picture of every model in the catalogue whose runtime is installed, side by side in one run.

    python -m benchmarks.runtimes [--threads 1 2] [--rounds 7] [--pictures FOLDER]

Each model is loaded in a process of its own for each number of threads; they take turns, one at a time, with one
picture at a time and with full batches. Decoding is not counted; resizing, the model and reading its answers are.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bare import load
from benchmarks.pictures import pictures
from detectors.catalogue import Catalogue
from detectors.preprocess import decode
from detectors.runtimes import installed_runtimes
from jobs.settings import Settings

PICTURES = 32


class Contestant:
    """A model with so many threads, loaded and warm, in a process of its own."""

    def __init__(self, model: str, threads: int, files: Sequence[Path]) -> None:
        self.name = f"{model}, {threads} thread{'s' if threads > 1 else ''}"
        self.measured: dict[str, list[float]] = {"one": [], "batch": []}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.runtimes", "--contestant", model, str(threads), *map(str, files)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._heard()

    def run(self) -> None:
        """One round of each kind."""
        for kind, measured in self.measured.items():
            assert self._process.stdin is not None
            self._process.stdin.write(f"{kind}\n")
            self._process.stdin.flush()
            measured.append(float(self._heard()))

    def end(self) -> None:
        self._process.communicate()

    def _heard(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} did not answer")
        return line


def contestant(model: str, threads: int, files: Sequence[str]) -> None:
    """A process that is asked for rounds: a line with the kind in, a line with milliseconds a picture out."""
    detector = load(model, threads)
    images = [decode(Path(file).read_bytes(), detector.entry.input).pixels for file in files]
    sys.stdout.write("warm\n")
    sys.stdout.flush()
    for line in sys.stdin:
        size = 1 if line.strip() == "one" else detector.batch_size
        started = time.perf_counter()
        for start in range(0, len(images), size):
            detector.detect(images[start : start + size])
        sys.stdout.write(f"{(time.perf_counter() - started) * 1000 / len(images)}\n")
        sys.stdout.flush()


def main() -> None:
    if sys.argv[1:2] == ["--contestant"]:
        contestant(sys.argv[2], int(sys.argv[3]), sys.argv[4:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pictures", type=Path)
    given = parser.parse_args()
    entries = Catalogue.load(*Settings.load().catalogue).entries.values()
    names = [entry.name for entry in entries if entry.runtime in installed_runtimes()]
    with pictures(given.pictures, PICTURES) as files:
        contestants = [Contestant(name, threads, files) for threads in given.threads for name in names]
        for _ in range(given.rounds):
            for each in contestants:
                each.run()
        for each in contestants:
            each.end()
    print(f"{'ms a picture (median of ' + str(given.rounds) + ' rounds)':34} {'one':>7} {'batch':>7}")
    for each in contestants:
        one, batch = (statistics.median(each.measured[kind]) for kind in ("one", "batch"))
        print(f"{each.name:34} {one:7.1f} {batch:7.1f}")


if __name__ == "__main__":
    main()
