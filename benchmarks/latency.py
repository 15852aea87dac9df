"""One picture through an idle service over HTTP, compared with decoding and the model alone on the same bytes.

python -m benchmarks.latency [--model cards-pytorch] [--rounds 60] [--pictures FOLDER]
"""

import statistics
import time
from pathlib import Path

from benchmarks.arguments import new_parser
from benchmarks.models.bare import load
from benchmarks.models.pictures import pictures
from benchmarks.service import Service, service
from detectors.base import Detector
from detectors.pictures.decode import decode


def detector_milliseconds(detector: Detector, data: bytes) -> float:
    """Decodes the picture and runs the model, without the service."""
    started = time.perf_counter()
    detector.detect([decode(data, detector.entry.input).pixels])
    return (time.perf_counter() - started) * 1000


def service_milliseconds(running: Service, model: str, data: bytes) -> float:
    """Sends the picture and waits for the result in the same request."""
    started = time.perf_counter()
    response = running.http.post(
        "/v1/jobs", data={"model": model, "cache": "false"}, files={"image": data}, headers={"Prefer": "wait=30"}
    )
    taken = (time.perf_counter() - started) * 1000
    if response.status_code != 200 or response.json()["status"] != "succeeded":
        raise SystemExit(f"The picture did not succeed: {response.status_code} {response.text[:300]}")
    return taken


def main() -> None:
    parser = new_parser("latency", __doc__)
    parser.add_argument("--model", default="cards-pytorch")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--pictures", type=Path)
    arguments = parser.parse_args()
    with pictures(arguments.pictures, arguments.rounds) as files, service() as running:
        detector = load(arguments.model, threads=1)  # A child of the service also has one thread.
        running.warm_up(arguments.model, files[0].read_bytes())
        rounds = []
        for path in files:
            data = path.read_bytes()
            rounds.append((detector_milliseconds(detector, data), service_milliseconds(running, arguments.model, data)))
    model, total = (statistics.median(column) for column in zip(*rounds, strict=True))
    slow = statistics.quantiles([taken for _, taken in rounds], n=20)[-1]
    report = [
        f"model alone     {model:7.1f} ms  (median of {len(rounds)})",
        f"end to end      {total:7.1f} ms  (95th percentile {slow:.1f} ms)",
        f"1.5 × + 50 ms   {1.5 * model + 50:7.1f} ms  the limit: {'held' if total <= 1.5 * model + 50 else 'MISSED'}",
    ]
    print("\n".join(report))


if __name__ == "__main__":
    main()
