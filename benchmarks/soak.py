"""Many jobs through one worker: does the memory of any process of the service grow?

50,000 small pictures, all different, go over HTTP into batches of one service. Its worker has one child and a model
that costs next to nothing. The resident memory of the child, of its parent and of the API is sampled during the run.
Growth is the memory at the end over the memory after the warm-up, which is the first tenth of the jobs. Exit code 1 if
a process has grown by 2 % or more.
"""

import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from PIL import Image
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Table

from benchmarks.arguments import new_parser
from benchmarks.models.tiny_catalogue import FORMATS, write_tiny_catalogue
from benchmarks.service import Service, service

EXAMPLES = """\
  python -m benchmarks.soak                           50,000 jobs
  python -m benchmarks.soak --jobs 5000               shorter
  python -m benchmarks.soak --runtime tensorflow
"""
MAX_GROWTH = 0.02
WARM_UP = 0.1
"""Share of the jobs after which the memory of a process should no longer grow."""
WINDOW = 0.05
"""Share of the jobs in each of the two ranges that are compared: after the warm-up and at the end."""
FILES_PER_REQUEST = 50
MAX_WAITING_JOBS = 1000
JOBS_PER_BATCH = 5000
MIN_JOBS = 2000
POLL_INTERVAL_SECONDS = 0.1
MAX_STALL_SECONDS = 120
console = Console(width=120)


@dataclass
class ProcessMemory:
    """A process and samples of its resident memory. A sample is the number of finished jobs and the bytes."""

    name: str
    process: psutil.Process
    samples: list[tuple[int, int]] = field(default_factory=list)

    def sample(self, done: int) -> None:
        try:
            self.samples.append((done, self.process.memory_info().rss))
        except psutil.NoSuchProcess:
            raise SystemExit(f"The {self.name} has ended.") from None

    def between(self, first: float, last: float) -> float:
        """Median memory in bytes while the number of finished jobs was in this range."""
        return statistics.median(size for done, size in self.samples if first <= done <= last)

    def growth(self, jobs: int) -> float:
        """Growth relative to the memory after the warm-up: 0.01 is 1 %."""
        return self.at_end(jobs) / self.after_warm_up(jobs) - 1

    def after_warm_up(self, jobs: int) -> float:
        return self.between(WARM_UP * jobs, (WARM_UP + WINDOW) * jobs)

    def at_end(self, jobs: int) -> float:
        return self.between((1 - WINDOW) * jobs, jobs)


def service_processes(running: Service, runtime: str) -> list[ProcessMemory]:
    """The worker's child and parent, and the API's processes."""
    found = []
    for process in running.processes():
        words = process.cmdline()
        if words[-2:] == ["worker", runtime]:
            children = [child for child in process.children() if any("spawn_main" in word for word in child.cmdline())]
            found += [ProcessMemory("worker, child", child) for child in children]
            found.append(ProcessMemory("worker, parent", process))
        elif words[-1:] == ["api"]:
            found.append(ProcessMemory("API" if not process.children() else "API, parent", process))
    return found


def picture(number: int) -> bytes:
    """A PNG of 64 × 48 pixels, different for each number."""
    image = Image.new("RGB", (64, 48), (number >> 16 & 255, number >> 8 & 255, number & 255))
    # The top left pixel decides what the tiny model detects.
    image.paste((255, 128, 0), (0, 0, 2, 2))
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def soak(running: Service, model: str, jobs: int, processes: list[ProcessMemory]) -> float:
    """Sends the jobs and samples the memory. Some jobs always wait. Returns the duration in seconds."""
    started = time.monotonic()
    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("jobs", total=jobs)

        def sample(done: int) -> None:
            progress.update(task, completed=done)
            for each in processes:
                each.sample(done)

        for first in range(0, jobs, JOBS_PER_BATCH):
            _batch(running, model, range(first, min(first + JOBS_PER_BATCH, jobs)), sample)
    return time.monotonic() - started


def _batch(running: Service, model: str, numbers: range, sample: Callable[[int], None]) -> None:
    """Sends one batch of these pictures, and waits for it. Calls `sample` with the number of finished jobs."""
    batch = running.http.post("/v1/batches", json={"name": "soak"}).raise_for_status().json()["links"]["self"]
    sent = done = 0
    last_progress = time.monotonic()
    while done < len(numbers):
        if sent < len(numbers) and sent - done < MAX_WAITING_JOBS:
            files = [("image", (f"{n}.png", picture(n))) for n in numbers[sent : sent + FILES_PER_REQUEST]]
            data = {"model": model, "cache": "false"}
            running.http.post(f"{batch}/jobs", data=data, files=files).raise_for_status()
            sent += len(files)
        else:
            time.sleep(POLL_INTERVAL_SECONDS)
        before, state = done, running.http.get(batch).raise_for_status().json()
        done = state["succeeded"]
        if state["failed"]:
            raise SystemExit(f"Jobs have failed: {state}")
        last_progress = time.monotonic() if done > before else last_progress
        if time.monotonic() - last_progress > MAX_STALL_SECONDS:
            raise SystemExit(f"No job finished for {MAX_STALL_SECONDS} s: {state}")
        sample(numbers.start + done)
    running.http.post(f"{batch}/close").raise_for_status()


def show(processes: list[ProcessMemory], jobs: int) -> bool:
    """Prints the table. Returns whether all processes are within the limit."""
    table = Table("", box=SIMPLE, title="resident memory, MB", title_justify="left")
    quarters = (0.25, 0.5, 0.75)
    for heading in ("after warm-up", *(f"{part:.0%}" for part in quarters), "at the end", "growth"):
        table.add_column(heading, justify="right")
    table.add_column(f"limit {MAX_GROWTH:.0%}")
    within_limit = True
    for each in processes:
        middle = [each.between((part - WINDOW / 2) * jobs, (part + WINDOW / 2) * jobs) for part in quarters]
        sizes = [each.after_warm_up(jobs), *middle, each.at_end(jobs)]
        held = each.growth(jobs) < MAX_GROWTH
        within_limit &= held
        growth = f"{each.growth(jobs):+.2%}"
        table.add_row(each.name, *(f"{size / 2**20:.1f}" for size in sizes), growth, "held" if held else "MISSED")
    console.print(table)
    return within_limit


def main() -> None:
    parser = new_parser("soak", __doc__, EXAMPLES)
    parser.add_argument("--jobs", type=int, default=50_000)
    parser.add_argument("--runtime", choices=sorted(FORMATS), default="pytorch")
    arguments = parser.parse_args()
    if arguments.jobs < MIN_JOBS:
        parser.error(f"--jobs: below {MIN_JOBS} there is nothing to compare")
    model = f"tiny-{arguments.runtime}"
    with tempfile.TemporaryDirectory(prefix="boxqueue-tiny-") as folder:
        catalogue = write_tiny_catalogue(Path(folder))
        with service(device="cpu", children="1", catalogue=str(catalogue)) as running:
            running.warm_up(model, picture(0))
            processes = service_processes(running, arguments.runtime)
            seconds = soak(running, model, arguments.jobs, processes)
    console.print(f"{arguments.jobs:,} jobs in {seconds:,.0f} s, {arguments.jobs / seconds:,.0f} a second")
    sys.exit(0 if show(processes, arguments.jobs) else 1)


if __name__ == "__main__":
    main()
