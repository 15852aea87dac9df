"""Runtime `pytorch`: exported programs, AOTInductor packages, TorchScript and torchvision's detectors."""

import json
import pickle
import re
import sys
import zipfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch.export.passes import move_to_device_pass

from detectors.base import Answers, Detector
from detectors.catalogue import Input, ModelEntry
from detectors.errors import ModelUnusable, describe_missing
from detectors.pictures.preprocess import Batch
from detectors.runtimes.aotinductor import require_runnable
from detectors.runtimes.weights import UNSAFE_WEIGHTS, read_weights

Model = Callable[[Any], Any]
T = TypeVar("T")
PRECISIONS = {"half": torch.float16, "bfloat16": torch.bfloat16}
# The file in the archive that holds the graph; the second name is that of PyTorch up to 2.7.
GRAPH_FILE = re.compile(r"(.*/)?models/[^/]+\.json|serialized_exported_program\.json")
MAX_MESSAGE_LENGTH = 300
"""The most characters shown of PyTorch's message about weights that do not fit, because it names all of them."""


class PyTorchDetector(Detector):
    """Runs a model that takes a batch of any size, or a list of pictures in their own sizes.

    State dicts are loaded with `weights_only`, so that they can't run Python code.
    """

    formats = frozenset({"pt2", "torchscript", "torchvision", "aotinductor"})

    @classmethod
    def devices(cls) -> list[str]:
        return [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []

    def _load(self, threads: int) -> None:
        if self.entry.precision != "full" and self.device == "cpu":
            raise ModelUnusable(
                f"Model {self.entry.name}: precision {self.entry.precision} needs CUDA: on a CPU it is slower than "
                "full precision. Leave it out of the entry, or set BOXQUEUE_DEVICE=cuda."
            )
        torch.set_num_threads(threads)
        load = LOADERS[self.entry.format]
        try:
            self._model = load(self.entry, self.device)
        except pickle.UnpicklingError as error:
            raise ModelUnusable(f"Model {self.entry.name}: {self.entry.file} {UNSAFE_WEIGHTS}") from error
        except (RuntimeError, ValueError, OSError, LookupError, AssertionError, zipfile.BadZipFile) as error:
            raise ModelUnusable(f"Model {self.entry.name}: {self.entry.file} can't be loaded: {error}") from error

    def _infer(self, batch: Batch) -> Answers:
        with torch.inference_mode(), in_precision(self.entry.precision, self.device):
            outputs = self._model(to_device(batch, self.device))
        named = named_outputs(outputs)
        for name in self.entry.output.wanted:
            if name not in named:
                raise LookupError(describe_missing("output", name, list(named)))
        return [to_numpy(named[name]) for name in self.entry.output.wanted]


def to_device(batch: Batch, device: str) -> torch.Tensor | list[torch.Tensor]:
    """A batch as PyTorch's tensors on a device."""
    if isinstance(batch, list):
        return [torch.from_numpy(picture).to(device) for picture in batch]
    return torch.from_numpy(batch).to(device)


def in_precision(precision: str, device: str) -> AbstractContextManager[Any]:
    """A context with PyTorch's autocast: convolutions and matrix products run in that precision, and what needs full
    precision, such as non-maximum suppression, keeps it."""
    if precision == "full":
        return nullcontext()
    return torch.autocast(device.partition(":")[0], dtype=PRECISIONS[precision])


def named_outputs(outputs: Any) -> dict[int | str, Any]:
    """A model's outputs by position if it returned a tuple, or by name if it returned a dictionary. If it returned one
    dictionary per picture, each output is a list with one tensor per picture."""
    if isinstance(outputs, torch.Tensor):
        return {0: outputs}
    if isinstance(outputs, tuple) and len(outputs) == 2 and isinstance(outputs[1], list):
        outputs = outputs[1]  # a scripted torchvision model returns (losses, detections)
    if isinstance(outputs, list) and outputs and all(isinstance(one, Mapping) for one in outputs):
        return {name: [one[name] for one in outputs] for name in outputs[0]}
    return dict(outputs) if isinstance(outputs, Mapping) else dict(enumerate(outputs))


def to_numpy(output: Any) -> npt.NDArray[Any] | list[npt.NDArray[Any]]:
    """A tensor or a list of tensors, from any device."""
    return [_to_array(tensor) for tensor in output] if isinstance(output, list) else _to_array(output)


def _to_array(tensor: torch.Tensor) -> npt.NDArray[Any]:
    # NumPy has no bfloat16.
    return np.asarray((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().cpu())


def load_program(file: Path, device: str) -> torch.export.ExportedProgram:
    """The program of a file, on a device. Raises ValueError if it can't be loaded; the message names the version of
    PyTorch that wrote it if this one is another."""
    made_by, operators = _look_into(file)
    if operators:
        register_operators()
    try:
        program = torch.export.load(file)
    except Exception as error:  # a file of another version may raise anything
        if made_by == torch.__version__:
            raise ValueError(f"PyTorch can't read it: {error}") from error
        raise ValueError(
            f"PyTorch {made_by} exported it, and this is PyTorch {torch.__version__}, which can't read it; export it "
            "again with this version"
        ) from error
    return program if device == "cpu" else move_to_device_pass(program, device)


def load_package(file: Path, device: str, input_: Input | None) -> Model:
    """The program of an AOTInductor package. Raises ValueError if it can't run here."""
    require_runnable(file, torch.__version__, device, input_)
    _, _, index = device.partition(":")
    number = int(index) if index else -1
    package: Model = with_operators(lambda: torch._inductor.aoti_load_package(str(file), device_index=number))
    return package


def _look_into(file: Path) -> tuple[str, bool]:
    """The version of PyTorch that wrote a program, and whether it uses operators of torchvision. Raises ValueError if
    the file is no exported program."""
    try:
        with zipfile.ZipFile(file) as archive:
            name = next(name for name in archive.namelist() if GRAPH_FILE.fullmatch(name))
            graph = archive.read(name)
            return str(json.loads(graph)["torch_version"]), b"torch.ops.torchvision." in graph
    except (zipfile.BadZipFile, StopIteration, ValueError, LookupError, TypeError) as error:
        raise ValueError(
            "it is no exported program of torch.export.save; if it is a compiled one, its format is aotinductor"
        ) from error


def _exported_program(entry: ModelEntry, device: str) -> Model:
    return _set_memory_format(load_program(entry.file, device).module(), entry)


def _set_memory_format(module: torch.nn.Module, entry: ModelEntry) -> torch.nn.Module:
    return module.to(memory_format=torch.channels_last) if entry.channels_last else module  # type: ignore[call-overload]


def load_script(file: Path, device: str) -> Any:
    """The TorchScript program of a file, on a device. Raises RuntimeError, or ValueError if it needs operators that are
    not installed."""
    return with_operators(lambda: torch.jit.load(str(file), map_location=device).eval())  # type: ignore[no-untyped-call]


def with_operators(load: Callable[[], T]) -> T:
    """What `load` returns. If it fails for lack of torchvision's operators, such as its non-maximum suppression, it is
    called again with them. Raises ValueError if torchvision is not installed."""
    try:
        return load()
    except Exception as error:
        if "torchvision" not in str(error) or sys.modules.get("torchvision"):
            raise
    register_operators()
    return load()


def register_operators() -> None:
    """Imports torchvision for its operators. Only for programs that use them: it takes memory. Raises ValueError if it
    is not installed."""
    try:
        import torchvision  # noqa: F401, PLC0415 - most programs work without it
    except ImportError as error:
        raise ValueError(
            "it uses operators of torchvision, which is not installed here. Install requirements/pytorch.txt, or build "
            "the image with TORCHVISION=1"
        ) from error


def _torchscript(entry: ModelEntry, device: str) -> Model:
    return load_script(entry.file, device)  # type: ignore[no-any-return]


def _torchvision(entry: ModelEntry, device: str) -> Model:
    """A model of `torchvision.models.detection` with the file's weights. It scales and normalises pictures itself."""
    from torchvision.models import detection, get_model, list_models  # noqa: PLC0415 - the other formats work without it

    builders = list_models(module=detection)
    if entry.builder not in builders:
        raise ValueError(f"there is no builder {entry.builder!r}; there are {', '.join(builders)}")
    classes = max(entry.class_ids) + 1  # class 0 is the background, or counts like it
    model = get_model(entry.builder, weights=None, weights_backbone=None, num_classes=classes)
    try:
        model.load_state_dict(read_weights(entry.file).tensors)
    except RuntimeError as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[1:])
        raise ValueError(
            f"its weights do not fit {entry.builder} with the class ids 0 to {classes - 1} of the entry's labels: "
            f"{reason[:MAX_MESSAGE_LENGTH]}{'…' * (len(reason) > MAX_MESSAGE_LENGTH)}"
        ) from error
    _set_memory_format(model.eval().to(device), entry)

    def run(pictures: list[torch.Tensor]) -> Any:
        return model([picture.permute(2, 0, 1).float() / 255 for picture in pictures])

    return run


def _aotinductor(entry: ModelEntry, device: str) -> Model:
    return load_package(entry.file, device, entry.input)


LOADERS = {
    "pt2": _exported_program,
    "torchscript": _torchscript,
    "torchvision": _torchvision,
    "aotinductor": _aotinductor,
}
