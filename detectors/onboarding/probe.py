"""Runs a model that has no entry yet on blank pictures, to find its input and outputs. No framework here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt

from detectors.catalogue import FLOATS, FORMAT_DEFAULTS, Input, ModelEntry
from detectors.errors import ModelUnusable
from detectors.onboarding.declared import Declared, Size
from detectors.pictures.preprocess import Batch, to_tensor

DEFAULT_BATCH_SIZE: int = ModelEntry.model_fields["batch_size"].default
"""The batch size of a model that takes any."""
ONE_BY_ONE = (1, 1)
"""The batch to try, and the entry's `batch_size`, of a model for one picture at a time."""
OBJECT_DETECTION_API_NAMES = frozenset({"detection_boxes", "detection_scores", "detection_classes"})
"""Outputs of a model of TensorFlow's Object Detection API."""
Key = int | str
"""The position or the name of an output."""
Outputs = Mapping[Key, npt.NDArray[np.generic] | list[npt.NDArray[np.generic]]]
"""A model's outputs for n pictures: each an array of n × …, or a list of n arrays."""


@dataclass(frozen=True)
class Program:
    """A model in memory."""

    run: Callable[[Batch], Outputs]
    """Raises RuntimeError, ValueError, TypeError or LookupError if the model does not take the batch."""
    inputs: Sequence[Input]
    """The inputs to try, in this order."""
    batches: Sequence[tuple[int, int]]
    """The batches to try: number of pictures, and the entry's `batch_size` if the model takes them."""
    declared: Declared | None = None


@dataclass(frozen=True)
class Probe:
    """What was found about a model."""

    input: Input
    inferred: bool
    """True if the input was found by trying; false if the file states it."""
    batch_size: int
    outputs: Outputs
    declared: Declared | None = None


def probe(file: Path, runtime: str, model_format: str, size: Size | None, device: str, threads: int) -> Probe:
    """Loads a model and runs it on blank pictures. `size`: of its input, if the file does not state it.

    Raises `ModelUnusable`.
    """
    open_program: Callable[..., Program] = import_module(f"detectors.onboarding.probe_{runtime}").open_program
    try:
        program = open_program(file, model_format, size, device, threads)
    except (RuntimeError, ValueError, TypeError, LookupError, OSError) as error:
        raise ModelUnusable(f"{file} can't be examined: {_last_line(error)}") from error
    reason = ""
    one_by_one = program.declared is not None and program.declared.one_by_one
    batches = [ONE_BY_ONE] if one_by_one and ONE_BY_ONE in program.batches else program.batches
    for (pictures, batch_size), into in product(batches, program.inputs):
        blank = np.full((into.height, into.width, 3), 255, np.uint8)
        try:
            returned = program.run(to_tensor([blank] * pictures, into))
        except (RuntimeError, ValueError, TypeError, LookupError) as error:
            reason = _last_line(error)
            continue
        outputs = {key: output for key, output in returned.items() if np.ndim(output) and len(output) == pictures}
        if outputs and pictures > 1 and not _answers_each(program, into):
            reason = "its answer for a picture depends on the other pictures of the batch"
            continue
        if outputs:
            return Probe(into, len(program.inputs) > 1, batch_size, outputs, program.declared)
        reason = (
            f"it returned {describe_outputs(returned)}, and none of these has the number of pictures, {pictures}, "
            "as its first dimension; export it so that each output has one answer for each picture"
        )
    raise ModelUnusable(f"{file} can't be run on blank pictures: {reason}")


def _answers_each(program: Program, into: Input) -> bool:
    """Whether the second of two pictures gets the same answer as alone. Some exports take any number of pictures, and
    answer only for the first one.

    Only large differences count: sums of a batch are rounded otherwise, and a quantised model's steps may differ.
    """
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (into.height, into.width, 3), np.uint8) for _ in range(2)]
    try:
        together = program.run(to_tensor(pictures, into))
        alone = program.run(to_tensor(pictures[1:], into))
    except (RuntimeError, ValueError, TypeError, LookupError):
        return True  # it takes just one number of pictures
    for key, output in alone.items():
        if isinstance(output, np.ndarray) and output.dtype.kind == "f" and len(output) == 1:
            # Sorted, because rows of nearly the same score may change their places.
            one, other = (np.sort(np.asarray(part, np.float64).ravel()) for part in (together[key][1], output[0]))
            if one.shape != other.shape or np.abs(one - other).sum() > 0.5 * np.abs(other).sum():
                return False
    return True


def input_of(shape: Sequence[int | None], dtype: str, size: Size | None, name: str | None = None) -> Input:
    """The entry's input for a model that takes n × height × width × 3 or n × 3 × height × width.

    shape: None stands for any number. Raises ValueError if no batch of pictures fits, or `size` is needed.
    """
    takes = f"it takes {dtype} {' × '.join('any' if side is None else str(side) for side in shape)}"
    if len(shape) != 4 or (shape[1] != 3 and shape[3] not in (3, None)):
        raise ValueError(f"{takes}, which is no batch of pictures with three channels")
    if dtype not in ("uint8", *FLOATS):
        raise ValueError(f"{takes}, but only uint8, {' and '.join(FLOATS)} are supported")
    layout = "NCHW" if shape[1] == 3 else "NHWC"
    height, width = shape[2:] if layout == "NCHW" else shape[1:3]
    if height is None or width is None:
        size = require_size(size)
    elif size not in (None, (width, height)):
        raise ValueError(f"{takes}, which does not fit --size")
    else:
        size = width, height
    return Input(name=name, width=size[0], height=size[1], layout=layout, dtype=dtype, scale=usual_scale(dtype))


def own_size_input(dtype: str, size: Size | None, layout: str = "NHWC", name: str | None = None) -> Input:
    """The input of a model that takes pictures in their own sizes and scales them itself. `size`: the largest one."""
    largest = FORMAT_DEFAULTS["torchvision"]["input"]
    width, height = size or (largest["width"], largest["height"])
    return Input.model_validate(
        {
            "name": name,
            "width": width,
            "height": height,
            "resize": "none",
            "layout": layout,
            "dtype": dtype,
            "scale": usual_scale(dtype),
        }
    )


def require_size(size: Size | None) -> Size:
    """The value of --size. Raises ValueError if it is missing."""
    if size is None:
        raise ValueError("its file does not state the size of its input: add --size WIDTHxHEIGHT")
    return size


def usual_scale(dtype: str) -> float:
    """The usual `scale` of an input: 1 for uint8; for float32 one that brings pixels to 0 … 1."""
    return 1.0 if dtype == "uint8" else 1 / 255


def describe_outputs(outputs: Outputs) -> str:
    """Names and shapes: `boxes 2 × 100 × 4, scores 2 × 100`."""
    return ", ".join(
        f"{key} {len(output)} of {' × '.join(map(str, output[0].shape))}"
        if isinstance(output, list)
        else f"{key} {' × '.join(map(str, output.shape)) or 'a number'}"
        for key, output in outputs.items()
    )


def _last_line(error: Exception) -> str:
    """The last line of an error's message, which is the reason; TorchScript writes the program's code before it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
