"""A process for each framework, as in workers: no process loads two frameworks."""

import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from importlib.metadata import EntryPoint
from multiprocessing import get_context
from typing import Any

import numpy as np

from detectors.base import Detector
from detectors.catalogue import ModelEntry
from detectors.postprocess import Detections
from detectors.runtimes.registry import registered

_loaded: dict[tuple[str, str], Detector] = {}


class DetectorProcess:
    """Runs functions, and the detectors of one runtime, in a process of its own."""

    def __init__(self) -> None:
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Runs a function of a module in the process. Returns its result, or raises its exception."""
        return self._pool.submit(function, *arguments).result(timeout=500)

    def detect(self, entry: ModelEntry, images: Sequence[np.ndarray]) -> list[Detections]:
        """Returns the detections of the entry's detector, which runs on one thread."""
        found: list[Detections] = self.run(_detect, entry, images)
        return found

    def close(self) -> None:
        self._pool.shutdown()


def _detect(entry: ModelEntry, images: Sequence[np.ndarray]) -> list[Detections]:
    key = (str(entry.file), entry.digest)
    if key not in _loaded:
        _loaded[key] = registered()[entry.runtime].load()(entry, device="cpu", threads=1)
    return _loaded[key].detect(images)


def run_module(module: str, arguments: Sequence[str], folder: str) -> tuple[int, str, str]:
    """Runs the `main()` of a module in the folder, like `python -m MODULE`. Returns exit code, stdout and stderr."""
    os.chdir(folder)
    with redirect_stdout(io.StringIO()) as output, redirect_stderr(io.StringIO()) as complained:
        try:
            code = import_module(module).main(arguments)
        except SystemExit as end:
            code = end.code
    return code, output.getvalue(), complained.getvalue()


def class_path(entry_point: str) -> str:
    """Module and name of the class that an entry point loads in this process."""
    loaded = EntryPoint("name", entry_point, "group").load()
    return f"{loaded.__module__}:{loaded.__qualname__}"


def modules(*names: str) -> list[str]:
    """Returns those of the modules that this process has imported."""
    import sys

    return [name for name in names if name in sys.modules]
