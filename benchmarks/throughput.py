"""Pictures through the service, compared with a bare loop of the same detector over the same files, in turn.

    python -m benchmarks.throughput [--model cards-pytorch] [--count 500] [--rounds 3] [--pictures FOLDER]

The ratio is the service's pictures per second over the bare loop's, both on all cores; a service without any cost
would have 1.0. The second figure varies less: CPU time of all the service's processes minus that of the bare loop, per
picture.
"""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.arguments import new_parser
from benchmarks.models.bare import bare_loop
from benchmarks.models.pictures import pictures
from benchmarks.service import Service, service
from detectors.machine import usable_cores

FILES_PER_REQUEST = 32


def ingest(running: Service, model: str, files: Sequence[Path]) -> tuple[float, float]:
    """Sends a batch of these files. Returns the seconds until all have finished, and the service's CPU seconds."""
    cpu, started = running.cpu_seconds(), time.perf_counter()
    batch = running.http.post("/v1/batches", json={"name": "benchmark"}).raise_for_status().json()["links"]["self"]
    for start in range(0, len(files), FILES_PER_REQUEST):
        parts = [("image", (path.name, path.read_bytes())) for path in files[start : start + FILES_PER_REQUEST]]
        data = {"model": model, "cache": "false"}
        running.http.post(f"{batch}/jobs", data=data, files=parts).raise_for_status()
    running.http.post(f"{batch}/close").raise_for_status()
    while (state := running.http.get(batch).raise_for_status().json())["finished_at"] is None:
        time.sleep(0.2)
    if state["succeeded"] != len(files):
        raise SystemExit(f"Not every picture succeeded: {state}")
    taken = time.perf_counter() - started
    return taken, running.cpu_seconds() - cpu


def _speed(name: str, seconds: float, cpu_seconds: float, count: int) -> str:
    return f"{name} {count / seconds:.1f}/s and {cpu_seconds * 1000 / count:.1f} ms of CPU a picture"


def main() -> None:
    parser = new_parser("throughput", __doc__)
    parser.add_argument("--model", default="cards-pytorch")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=Path)
    arguments = parser.parse_args()
    cores = usable_cores()
    ratios, overheads = [], []
    with pictures(arguments.pictures, arguments.count) as files, service(device="cpu") as running:
        running.warm_up(arguments.model, files[0].read_bytes())
        for number in range(arguments.rounds):
            loop = bare_loop(arguments.model, files, processes=cores, threads=1)
            seconds, cpu = ingest(running, arguments.model, files)
            ratios.append(loop.seconds / seconds)
            overheads.append((cpu - loop.cpu_seconds) * 1000 / len(files))
            print(
                f"round {number + 1}: {_speed('bare loop', loop.seconds, loop.cpu_seconds, len(files))}, "
                f"{_speed('service', seconds, cpu, len(files))}, ratio {ratios[-1]:.3f}",
                flush=True,
            )
    print(
        f"{len(files)} pictures, {cores} cores: ratio {statistics.median(ratios):.3f}, "
        f"{statistics.median(overheads):.2f} ms CPU a picture outside decoding and the model (medians)"
    )


if __name__ == "__main__":
    main()
