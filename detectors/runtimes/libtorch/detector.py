"""The detector of the runtime `libtorch`."""

import json
from collections.abc import Sequence
from typing import Any, cast
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from detectors.base import Answers, Detector
from detectors.errors import ModelUnusable, describe_missing
from detectors.pictures.preprocess import Batch
from detectors.runtimes.aotinductor import require_runnable
from detectors.runtimes.libtorch import binding


class LibTorchDetector(Detector):
    """Runs a package that takes a batch of any size, on the CPU."""

    formats = frozenset({"aotinductor"})

    @classmethod
    def devices(cls) -> list[str]:
        return []

    def _load(self, threads: int) -> None:
        entry = self.entry
        try:
            if entry.input.resize == "none":
                raise ValueError("a package takes pictures of one size: resize must be letterbox or stretch")
            if entry.input.dtype == "float16":
                raise ValueError("a package takes uint8 or float32: compile it for one of these")
            require_runnable(entry.file, binding.VERSION, self.device, entry.input)
            self._model = binding.Model(str(entry.file), threads)
            names = _output_names(json.loads(self._model.output_spec()))
            self._wanted = [_index_of(name, names) for name in entry.output.wanted]
        except (RuntimeError, ValueError, OSError, LookupError, BadZipFile) as error:
            raise ModelUnusable(f"Model {entry.name}: {entry.file} can't be loaded: {error}") from error

    def _infer(self, batch: Batch) -> Answers:
        assert not isinstance(batch, list)  # `_load` refuses such entries
        # `_load` refuses float16, which `Batch` allows too.
        outputs = self._model.run(cast("npt.NDArray[np.uint8] | npt.NDArray[np.float32]", batch))
        return [outputs[index] for index in self._wanted]


def _output_names(spec: Sequence[Any]) -> list[int | str]:
    """The names of the outputs in the package's order: keys if the program returns a dictionary, otherwise positions.

    spec: the version of the format, and a tree of nodes with `type`, `context` and `children_spec`. Raises ValueError
    if the outputs are nested deeper.
    """
    _, tree = spec
    outputs = tree["children_spec"]
    if tree["type"] is None:
        return [0]
    if any(output["type"] is not None for output in outputs):
        raise ValueError("its outputs are neither a tensor nor a tuple or dictionary of tensors")
    if tree["type"] == "builtins.dict":
        return list(json.loads(tree["context"]))
    return list(range(len(outputs)))


def _index_of(name: int | str, names: Sequence[int | str]) -> int:
    if name not in names:
        raise LookupError(describe_missing("output", name, names))
    return names.index(name)
