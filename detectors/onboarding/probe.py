"""Looks at a model that has no entry yet: what it takes, and what it gives for blank pictures. No framework here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt

from detectors.catalogue import Input, ModelEntry
from detectors.errors import ModelUnusable
from detectors.pictures.preprocess import Batch, to_tensor

MOST: int = ModelEntry.model_fields["batch_size"].default
"""Pictures that a model takes at once, where it takes any number of them."""
Size = tuple[int, int]
"""Width, height."""
Key = int | str
"""Of an output: its position or its name."""
Floats = npt.NDArray[np.float32]
Given = Mapping[Key, npt.NDArray[np.generic] | list[npt.NDArray[np.generic]]]
"""What a model gave for n pictures: by key an array of n × …, or a list of n arrays."""


@dataclass(frozen=True)
class Program:
    """A model in memory."""

    run: Callable[[Batch], Given]
    """Raises RuntimeError, ValueError, TypeError or LookupError where the model does not take the batch."""
    inputs: Sequence[Input]
    """What it may take, what is most telling first."""
    batches: Sequence[tuple[int, int]]
    """How many pictures it may take at once: how many to try with, and what its entry then has as `batch_size`."""


@dataclass(frozen=True)
class Seen:
    """What a model was seen to do."""

    input: Input
    guessed: bool
    """Whether it was found by trying; otherwise the model itself says what it takes."""
    batch_size: int
    outputs: Given


def probe(file: Path, runtime: str, model_format: str, size: Size | None, device: str, threads: int) -> Seen:
    """Loads a model and runs it on blank pictures. `size`: of its input, where the file does not say it.

    Raises `ModelUnusable`.
    """
    open_program: Callable[..., Program] = import_module(f"detectors.onboarding.probe_{runtime}").open_program
    try:
        program = open_program(file, model_format, size, device, threads)
    except (RuntimeError, ValueError, TypeError, LookupError, OSError) as error:
        raise ModelUnusable(f"{file} can't be looked at: {_sentence(error)}") from error
    reason = ""
    for (pictures, batch_size), into in product(program.batches, program.inputs):
        try:
            given = program.run(blank(into, pictures))
        except (RuntimeError, ValueError, TypeError, LookupError) as error:
            reason = _sentence(error)
            continue
        outputs = {key: output for key, output in given.items() if np.ndim(output) and len(output) == pictures}
        if outputs:
            return Seen(into, len(program.inputs) > 1, batch_size, outputs)
        reason = f"none of what it gave, {described(given)}, is for {pictures} pictures"
    raise ModelUnusable(f"{file} can't be run on blank pictures: {reason}")


def taken(shape: Sequence[int | None], dtype: str, size: Size | None, name: str | None = None) -> Input:
    """The input of a model that says what it takes: n × height × width × 3, or n × 3 × height × width.

    shape: with None where any number goes. Raises ValueError where no batch of pictures fits, or the size is needed.
    """
    told = f"it takes {dtype} {' × '.join('any' if side is None else str(side) for side in shape)}"
    if len(shape) != 4 or (shape[1] != 3 and shape[3] not in (3, None)):
        raise ValueError(f"{told}, which is no batch of pictures with three channels")
    if dtype not in ("uint8", "float32"):
        raise ValueError(f"{told}, and what it can be fed is uint8 or float32")
    layout = "NCHW" if shape[1] == 3 else "NHWC"
    height, width = shape[2:] if layout == "NCHW" else shape[1:3]
    if height is None or width is None:
        size = needed(size)
    elif size not in (None, (width, height)):
        raise ValueError(f"{told}, which is not what --size says")
    else:
        size = width, height
    return Input(name=name, width=size[0], height=size[1], layout=layout, dtype=dtype, scale=usual_scale(dtype))


def needed(size: Size | None) -> Size:
    """The size that was given. Raises ValueError where none was."""
    if size is None:
        raise ValueError("its file does not say how large its pictures are: --size WIDTHxHEIGHT says it")
    return size


def usual_scale(dtype: str) -> float:
    """By which pixels are multiplied, as most models have it: to 0 … 1 where they are not taken as they are."""
    return 1.0 if dtype == "uint8" else 1 / 255


def blank(into: Input, pictures: int) -> Batch:
    """So many white pictures as an input takes them."""
    return to_tensor([np.full((into.height, into.width, 3), 255, np.uint8)] * pictures, into)


def described(outputs: Given) -> str:
    """Names and shapes: `boxes 2 × 100 × 4, scores 2 × 100`."""
    return ", ".join(
        f"{key} {len(output)} of {' × '.join(map(str, output[0].shape))}"
        if isinstance(output, list)
        else f"{key} {' × '.join(map(str, output.shape)) or 'a number'}"
        for key, output in outputs.items()
    )


def _sentence(error: Exception) -> str:
    """What an error says in the end: TorchScript writes the program's own lines before it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
