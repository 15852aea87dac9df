"""The plan of a worker, made before Celery starts: models, devices, number of children and threads."""

import logging
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectors.catalogue import ModelEntry
from detectors.errors import ModelUnusable
from detectors.machine import usable_cores
from detectors.runtimes.devices import choose_device
from detectors.runtimes.registry import REMOTE_RUNTIMES, framework_version, registered, require
from engine.model_registry import ModelRegistry
from jobs.build import describe
from jobs.settings import Settings
from jobs.tables import new_id

log = logging.getLogger(__name__)

# The process that lists the devices of a framework prints this before each name. Frameworks print other lines too.
_DEVICE_PREFIX = "device "


@dataclass(frozen=True)
class Plan:
    """What the worker serves, and with which processes. Children get it as JSON in Celery's configuration."""

    worker_id: str
    runtime: str
    models: Mapping[str, ModelEntry]
    """The models that this worker serves, by name."""
    devices: tuple[str, ...]
    """The devices of the children, in turn: `cpu`, one per GPU, or `remote` for models on model servers."""
    children: int
    threads: int
    """Threads of the framework in each child."""
    versions: Mapping[str, str]
    """Of Boxqueue, Python and the framework: name -> version."""

    @property
    def digests(self) -> dict[str, str]:
        """Name -> version of each model."""
        return {name: entry.digest for name, entry in self.models.items()}

    @property
    def device(self) -> str:
        return ", ".join(dict.fromkeys(self.devices))

    def to_json(self) -> dict[str, Any]:
        models = {name: entry.model_dump(mode="json") for name, entry in self.models.items()}
        return {**self.__dict__, "models": models, "versions": dict(self.versions)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Plan":
        models = {name: ModelEntry.model_validate(entry) for name, entry in document["models"].items()}
        return cls(**{**document, "models": models, "devices": tuple(document["devices"])})


def make_plan(settings: Settings, runtime: str) -> Plan:
    """Makes the plan of a worker for this runtime.

    Raises `CatalogueError`, `DeviceUnavailable`, or `ModelUnusable` if the runtime is not installed or none of its
    models can be served.
    """
    require(runtime)
    models = ModelRegistry(settings, runtime).models
    if not models:
        files = ", ".join(map(str, settings.catalogue))
        raise ModelUnusable(f"{files} has no usable model for the runtime {runtime}; add one.")
    devices = _devices(settings.device, runtime)
    cores = usable_cores()
    on_cpu = devices[0] in ("cpu", *REMOTE_RUNTIMES)
    children = settings.children if isinstance(settings.children, int) else (cores if on_cpu else len(devices))
    # On the CPU many processes are faster than one with many threads, because decoding, inference and writing overlap.
    threads = settings.threads if isinstance(settings.threads, int) else max(1, cores // children)
    return Plan(new_id(), runtime, models, devices, children, threads, _versions(settings, runtime))


def _devices(wanted: str, runtime: str) -> tuple[str, ...]:
    """The devices that the children use. Raises `DeviceUnavailable`."""
    if runtime in REMOTE_RUNTIMES:
        return (runtime,)
    if wanted == "cpu" or (wanted == "auto" and not _has_gpu()):
        return ("cpu",)
    # In another process, because the parent of the pool must not have a framework or a CUDA context in memory.
    process = subprocess.run(
        [sys.executable, "-m", "worker.plan", runtime], capture_output=True, text=True, check=False, timeout=120
    )
    lines = process.stdout.splitlines()
    available = [line.removeprefix(_DEVICE_PREFIX) for line in lines if line.startswith(_DEVICE_PREFIX)]
    if process.returncode:
        log.error("the devices of %s could not be listed: %s", runtime, process.stderr.strip()[-500:])
    if wanted in ("auto", "cuda") and available:
        return tuple(available)
    return (choose_device(wanted, available),)


def _has_gpu() -> bool:
    """Whether there is a GPU driver. It avoids loading a framework, which takes seconds."""
    return any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg"))


def _versions(settings: Settings, runtime: str) -> dict[str, str]:
    """The versions of Boxqueue and its build, of Python and of the framework."""
    build = describe(settings)
    versions = {"boxqueue": build.pop("version"), **build, "python": platform.python_version()}
    versions |= dict(filter(None, [framework_version(runtime)]))
    return {name: value for name, value in versions.items() if value}


if __name__ == "__main__":
    for device in registered()[sys.argv[1]].load().devices():
        sys.stdout.write(f"{_DEVICE_PREFIX}{device}\n")
