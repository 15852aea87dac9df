"""What a worker will do, settled before its Celery parent starts: models, devices, children, threads."""

import logging
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectors.base import choose_device
from detectors.catalogue import Catalogue
from detectors.errors import ModelUnusable
from detectors.runtimes import framework_version, registered, require
from jobs.settings import Settings
from jobs.tables import new_id

log = logging.getLogger(__name__)

# What a process that asks a framework for its devices prints before their names, so that a framework's own noise
# on stdout is not taken for one.
_MARK = "device "


@dataclass(frozen=True)
class Plan:
    """Plain data: it travels to the spawned children inside Celery's configuration."""

    worker_id: str
    runtime: str
    models: Mapping[str, str]
    """Name -> digest of the models that this worker serves."""
    devices: tuple[str, ...]
    """What the children run on, in turn: `cpu`, or one per GPU."""
    children: int
    threads: int
    """Framework threads a child."""
    versions: Mapping[str, str]

    @property
    def device(self) -> str:
        return ", ".join(dict.fromkeys(self.devices))

    def to_json(self) -> dict[str, Any]:
        return {**self.__dict__, "models": dict(self.models), "versions": dict(self.versions)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "Plan":
        return cls(**{**plain, "devices": tuple(plain["devices"])})


def make_plan(settings: Settings, runtime: str) -> Plan:
    """Raises `CatalogueError`, `DeviceUnavailable`, or `ModelUnusable` where the runtime is not here or none of its
    models can be served."""
    catalogue = Catalogue.load(*settings.catalogue, aliases=settings.model_aliases, cache=settings.data / "models")
    require(runtime)
    models = {}
    for name, entry in catalogue.of_runtime(runtime).items():
        try:
            entry.verify()
            models[name] = entry.digest
        except ModelUnusable as error:
            log.error("%s It is not served.", error)
    if not models:
        files = ", ".join(map(str, settings.catalogue))
        raise ModelUnusable(f"{files} has no usable model for the runtime {runtime}.")
    devices = _devices(settings.device, runtime)
    cores = usable_cores()
    on_cpu = devices == ("cpu",)
    children = settings.children if isinstance(settings.children, int) else (cores if on_cpu else len(devices))
    # Many small processes beat one with many threads on the CPU: decoding, writing and the model overlap.
    threads = settings.threads if isinstance(settings.threads, int) else max(1, cores // children)
    return Plan(new_id(), runtime, models, devices, children, threads, _versions(runtime))


def usable_cores() -> int:
    """Cores that this process may use: its affinity, and the quota of its control group (a container's limit)."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))


def usable_memory() -> int:
    """Bytes of memory that this process may use: the machine's, or the limit of its control group."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return machine
    return machine if limit == "max" else min(machine, int(limit))


def _devices(wanted: str, runtime: str) -> tuple[str, ...]:
    """The devices that the children use. Raises `DeviceUnavailable`."""
    if wanted == "cpu" or (wanted == "auto" and not _has_gpu()):
        return ("cpu",)
    # In a process of its own: the parent of the pool must not carry a framework, nor a CUDA context.
    asked = subprocess.run(
        [sys.executable, "-m", "worker.plan", runtime], capture_output=True, text=True, check=False, timeout=120
    )
    available = [line.removeprefix(_MARK) for line in asked.stdout.splitlines() if line.startswith(_MARK)]
    if asked.returncode:
        log.error("asking %s for its devices failed: %s", runtime, asked.stderr.strip()[-500:])
    if wanted in ("auto", "cuda") and available:
        return tuple(available)
    return (choose_device(wanted, available),)


def _has_gpu() -> bool:
    """Whether a driver is there at all; asking a framework would cost seconds at every start."""
    return any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg"))


def _versions(runtime: str) -> dict[str, str]:
    return dict(filter(None, [("python", platform.python_version()), framework_version(runtime)]))


if __name__ == "__main__":
    for found in registered()[sys.argv[1]].load().devices():
        sys.stdout.write(f"{_MARK}{found}\n")
