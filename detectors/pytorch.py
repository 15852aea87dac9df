"""Runtime `pytorch`: exported programs, compiled or not, TorchScript, torchvision's own models, on CPU or CUDA."""

import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import torch
from torch.export.passes import move_to_device_pass

from detectors.aotinductor import load_package
from detectors.base import Answers, Detector
from detectors.catalogue import ModelEntry
from detectors.errors import ModelUnusable, lacking
from detectors.preprocess import Batch

Model = Callable[[Any], Any]
WRAPPINGS = ("state_dict", "model_state_dict", "model")
"""Where training loops put a model's weights among what else they save."""
PREFIXES = ("module.", "model.")
"""What DataParallel and Lightning put before the names of weights."""
LONGEST = 300
"""Characters of what PyTorch says about weights that do not fit: it names every one of them."""


class PyTorchDetector(Detector):
    """Runs a model that takes a batch of any size, or a list of pictures in their own sizes.

    No file may bring Python code: weights are loaded `weights_only`.
    """

    formats = frozenset({"pt2", "torchscript", "torchvision", "aotinductor"})

    @classmethod
    def devices(cls) -> list[str]:
        return [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []

    def _load(self, threads: int) -> None:
        torch.set_num_threads(threads)
        load = LOADERS[self.entry.format]
        try:
            self._model = load(self.entry, self.device)
        except pickle.UnpicklingError as error:
            raise ModelUnusable(
                f"Model {self.entry.name}: {self.entry.file} holds more than weights, which could be any program; "
                "save only the state dict: torch.save(model.state_dict(), …)."
            ) from error
        except (RuntimeError, ValueError, OSError, LookupError, AssertionError, BadZipFile) as error:
            raise ModelUnusable(f"Model {self.entry.name}: {self.entry.file} can't be loaded: {error}") from error

    def _infer(self, batch: Batch) -> Answers:
        with torch.inference_mode():
            if isinstance(batch, list):
                outputs = self._model([torch.from_numpy(picture).to(self.device) for picture in batch])
            else:
                outputs = self._model(torch.from_numpy(batch).to(self.device))
        return _named(outputs, self.entry.output.wanted)


def _named(outputs: Any, wanted: Sequence[int | str]) -> Answers:
    """These of the outputs: of a tuple by position, of a dictionary by name, of dictionaries for each picture by name.

    Raises LookupError which lists what there is.
    """
    if isinstance(outputs, tuple) and len(outputs) == 2 and isinstance(outputs[1], list):
        outputs = outputs[1]  # a scripted model of torchvision gives (losses, detections)
    if isinstance(outputs, list) and all(isinstance(one, Mapping) for one in outputs):
        return [[_numpy(_of(one, name)) for one in outputs] for name in wanted]
    return [_numpy(_of(outputs, name)) for name in wanted]


def _of(outputs: Any, name: int | str) -> torch.Tensor:
    known = list(outputs) if isinstance(outputs, Mapping) else list(range(len(outputs)))
    if name not in known:
        raise LookupError(lacking("output", name, known))
    found: torch.Tensor = outputs[name]
    return found


def _numpy(tensor: torch.Tensor) -> npt.NDArray[Any]:
    return np.asarray(tensor.detach().cpu())


def _exported_program(entry: ModelEntry, device: str) -> Model:
    program = torch.export.load(entry.file)
    return (program if device == "cpu" else move_to_device_pass(program, device)).module()


def _torchscript(entry: ModelEntry, device: str) -> Model:
    return torch.jit.load(str(entry.file), map_location=device).eval()  # type: ignore[no-any-return,no-untyped-call]


def _torchvision(entry: ModelEntry, device: str) -> Model:
    """One of `torchvision.models.detection` with a state dict. It scales and normalises the pictures itself."""
    from torchvision.models import detection, get_model, list_models  # noqa: PLC0415 - all else works without it

    builders = list_models(module=detection)
    if entry.builder not in builders:
        raise ValueError(f"there is no builder {entry.builder!r}; there are {', '.join(builders)}")
    classes = max(entry.class_ids) + 1  # the first one is the background, or counts as if it were
    model = get_model(entry.builder, weights=None, weights_backbone=None, num_classes=classes)
    try:
        model.load_state_dict(_state_dict(entry))
    except RuntimeError as error:
        told = " ".join(line.strip() for line in str(error).splitlines()[1:])
        raise ValueError(
            f"its weights are not those of {entry.builder} with class ids from 0 to {classes - 1}, as the labels have "
            f"them: {told[:LONGEST]}{'…' * (len(told) > LONGEST)}"
        ) from error
    model.eval().to(device)

    def run(pictures: list[torch.Tensor]) -> Any:
        return model([picture.permute(2, 0, 1).float() / 255 for picture in pictures])

    return run


def _state_dict(entry: ModelEntry) -> dict[str, Any]:
    """The weights of a file, whatever a training loop saved beside and around them. Raises UnpicklingError where
    there is more in it than tensors and plain values."""
    state = torch.load(entry.file, map_location="cpu", weights_only=True)
    for wrapping in WRAPPINGS:
        if isinstance(state, dict) and isinstance(state.get(wrapping), dict):
            state = state[wrapping]
            break
    if not isinstance(state, dict) or not state:
        raise ValueError("it holds no state dict")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): weight for name, weight in state.items()}
    return state


def _aotinductor(entry: ModelEntry, device: str) -> Model:
    return load_package(entry.file, device)


LOADERS = {
    "pt2": _exported_program,
    "torchscript": _torchscript,
    "torchvision": _torchvision,
    "aotinductor": _aotinductor,
}
