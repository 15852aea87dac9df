"""PyTorch's programs, opened to see what they take: an exported one says it, of the others it shows by trying."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch.export import ExportedProgram

from detectors.catalogue import OF_FORMAT, Input
from detectors.onboarding.probe import MOST, Given, Program, Size, needed, taken, usual_scale
from detectors.pictures.preprocess import Batch
from detectors.runtimes.exported_program import load_package, load_program
from detectors.runtimes.pytorch import Model, named_outputs, to_device, to_numpy

ANY_NUMBER = ((2, MOST), (1, 1))
# Layouts and types, by trying. Pixels as they are come first: a program that takes them turns them into numbers itself,
# and the others refuse them.
TRIED: Sequence[tuple[Literal["NHWC", "NCHW"], Literal["uint8", "float32"]]] = (
    ("NHWC", "uint8"),
    ("NCHW", "uint8"),
    ("NHWC", "float32"),
    ("NCHW", "float32"),
)
# A package checks what it is given where this is set; otherwise it reads past the end of what is too small.
CHECK_INPUTS = "AOTI_RUNTIME_CHECK_INPUTS"


def open_program(file: Path, model_format: str, size: Size | None, device: str, threads: int) -> Program:
    """Loads a program. Raises ValueError where it takes no pictures, or RuntimeError and others where it is broken."""
    torch.set_num_threads(threads)
    if model_format == "pt2":
        return _exported(load_program(file, device), size, device)
    if model_format == "torchscript":
        script: Any = torch.jit.load(str(file), map_location=device).eval()  # type: ignore[no-untyped-call]
        if str(script.forward.schema.arguments[1].type) == "List[Tensor]":  # as torchvision's detectors have it
            return Program(_runner(script, device), [_own_sizes(size)], [(2, MOST)])
        return Program(_runner(script, device), _tried(size), ANY_NUMBER)
    return Program(_runner(_checked(load_package(file, device, None)), device), _tried(size), ANY_NUMBER)


def _exported(program: ExportedProgram, size: Size | None, device: str) -> Program:
    placeholders = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    inputs = program.graph_signature.user_inputs
    if len(inputs) != 1:
        raise ValueError(f"it takes {len(inputs)} inputs, {', '.join(map(str, inputs))}, and not one batch of pictures")
    tensor = placeholders[str(inputs[0])].meta["val"]
    sides = [side if isinstance(side, int) else None for side in tensor.shape]
    into = taken(sides, str(tensor.dtype).removeprefix("torch."), size)
    number = sides[0]
    if number is None:
        most = program.range_constraints[tensor.shape[0].node.expr].upper
        batches = [(2, int(most) if most < MOST else MOST)]
    elif number == 1:
        batches = [(1, 1)]
    else:
        raise ValueError(f"it takes exactly {number} pictures at a time: export it with a dynamic first dimension")
    return Program(_runner(program.module(), device), [into], batches)


def _tried(size: Size | None) -> list[Input]:
    width, height = needed(size)
    return [
        Input(width=width, height=height, layout=layout, dtype=dtype, scale=usual_scale(dtype))
        for layout, dtype in TRIED
    ]


def _own_sizes(size: Size | None) -> Input:
    """A list of pictures in their own sizes, which such models scale themselves; at most as large as others are."""
    largest = OF_FORMAT["torchvision"]["input"]
    width, height = size or (largest["width"], largest["height"])
    return Input(width=width, height=height, resize="none", scale=usual_scale("float32"))


def _runner(model: Model, device: str) -> Any:
    def run(batch: Batch) -> Given:
        with torch.inference_mode():
            outputs = named_outputs(model(to_device(batch, device)))
        return {key: to_numpy(output) for key, output in outputs.items() if _is_output(output)}

    return run


def _is_output(output: Any) -> bool:
    """Not so are dictionaries, None and others that a model may give beside its tensors."""
    if isinstance(output, list):
        return all(isinstance(one, torch.Tensor) for one in output)
    return isinstance(output, torch.Tensor)


def _checked(package: Model) -> Model:
    def run(batch: Any) -> Any:
        os.environ[CHECK_INPUTS] = "1"  # read at the first run, for as long as this package is loaded
        try:
            return package(batch)
        finally:
            del os.environ[CHECK_INPUTS]

    return run
