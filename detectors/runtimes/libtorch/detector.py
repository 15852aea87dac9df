"""The detector of the runtime `libtorch`."""

import json
from collections.abc import Sequence
from typing import Any
from zipfile import BadZipFile

from detectors.base import Answers, Detector
from detectors.errors import ModelUnusable, lacking
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
                raise ValueError("it takes a batch of pictures of one size: resize must be letterbox or stretch")
            require_runnable(entry.file, binding.VERSION, self.device, entry.input)
            self._model = binding.Model(str(entry.file), threads)
            places = _places(json.loads(self._model.output_spec()))
            self._wanted = [_place(name, places) for name in entry.output.wanted]
        except (RuntimeError, ValueError, OSError, LookupError, BadZipFile) as error:
            raise ModelUnusable(f"Model {entry.name}: {entry.file} can't be loaded: {error}") from error

    def _infer(self, batch: Batch) -> Answers:
        assert not isinstance(batch, list)  # which `_load` refuses
        outputs = self._model.run(batch)
        return [outputs[place] for place in self._wanted]


def _places(spec: Sequence[Any]) -> list[int | str]:
    """What the outputs are called, one after the other as the package gives them: by key where the program returned a
    dictionary, otherwise by position. Raises ValueError where they are nested deeper.

    spec: the version of the format, and a tree of nodes with `type`, `context` and `children_spec`.
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


def _place(name: int | str, places: Sequence[int | str]) -> int:
    if name not in places:
        raise LookupError(lacking("output", name, places))
    return places.index(name)
