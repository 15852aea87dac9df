"""The limit that the service is compared with: the same detector over the same files in a bare loop.

`bare_loop` runs it in as many processes and threads as the service's workers have.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detectors.base import Detector
from detectors.catalogue import Catalogue
from detectors.pictures.decode import decode
from detectors.runtimes.registry import registered
from jobs.settings import Settings


@dataclass(frozen=True)
class Loop:
    """The times of a bare loop. `seconds` is the wall time from the common start to the end of the last process."""

    seconds: float
    cpu_seconds: float
    """CPU time of all processes together for reading, decoding and the model."""


def load(model: str, threads: int) -> Detector:
    """Loads a model of the catalogue on the CPU and warms it up."""
    settings = Settings.load()
    entry = Catalogue.load(*settings.catalogue, aliases=settings.model_aliases, cache=settings.data / "models").get(
        model
    )
    detector: Detector = registered()[entry.runtime].load()(entry, device="cpu", threads=threads)
    detector.warm_up()
    return detector


def bare_loop(model: str, files: Sequence[Path], *, processes: int, threads: int) -> Loop:
    """Splits the files among processes. All processes start together when the last one is warm."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.models.bare", model, str(threads), *map(str, files[n::processes])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(processes)
    ]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    started = time.perf_counter()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    results = [json.loads(worker.communicate()[0]) for worker in workers]
    return Loop(max(result["ended"] for result in results) - started, sum(r["cpu"] for r in results))


def main() -> None:
    """One process of a bare loop: writes `warm`, waits for a line, runs, and writes its times as JSON."""
    model, threads, *names = sys.argv[1:]
    detector = load(model, int(threads))
    sys.stdout.write("warm\n")
    sys.stdout.flush()
    sys.stdin.readline()
    cpu = time.process_time()
    for start in range(0, len(names), detector.batch_size):
        batch = [Path(name).read_bytes() for name in names[start : start + detector.batch_size]]
        detector.detect([decode(data, detector.entry.input).pixels for data in batch])
    # perf_counter is the system's monotonic clock, the same in every process.
    sys.stdout.write(json.dumps({"cpu": time.process_time() - cpu, "ended": time.perf_counter()}))


if __name__ == "__main__":
    main()
