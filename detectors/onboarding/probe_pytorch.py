"""Opens PyTorch's programs to find their input: exported programs state it, of others it is found by trying."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch.export import ExportedProgram

from detectors.catalogue import Input
from detectors.onboarding.declared import Size, of_torchscript
from detectors.onboarding.probe import (
    DEFAULT_BATCH_SIZE,
    ONE_BY_ONE,
    Outputs,
    Program,
    input_of,
    own_size_input,
    require_size,
    usual_scale,
)
from detectors.pictures.preprocess import Batch
from detectors.runtimes.pytorch import (
    Model,
    load_package,
    load_program,
    load_script,
    named_outputs,
    to_device,
    to_numpy,
)

# A dynamic batch is tried first.
CANDIDATE_BATCHES = ((2, DEFAULT_BATCH_SIZE), ONE_BY_ONE)
# Layouts and types in the order of trying. uint8 comes first, because programs that need float32 refuse it.
CANDIDATE_INPUTS: Sequence[tuple[Literal["NHWC", "NCHW"], Literal["uint8", "float32"]]] = (
    ("NHWC", "uint8"),
    ("NCHW", "uint8"),
    ("NHWC", "float32"),
    ("NCHW", "float32"),
)
# If this variable is set, a package checks its input. Otherwise it reads past the end of a tensor that is too small.
CHECK_INPUTS = "AOTI_RUNTIME_CHECK_INPUTS"


def open_program(file: Path, model_format: str, size: Size | None, device: str, threads: int) -> Program:
    """Loads a program. Raises ValueError if it takes no pictures, or RuntimeError and others if it is broken."""
    torch.set_num_threads(threads)
    if model_format == "pt2":
        return _open_exported(load_program(file, device), size, device)
    if model_format == "torchscript":
        script = load_script(file, device)
        if str(script.forward.schema.arguments[1].type) == "List[Tensor]":  # like torchvision's detectors
            into = own_size_input("float32", size, "NCHW")
            return Program(_runner(script, device), [into], [(2, DEFAULT_BATCH_SIZE)])
        declared = of_torchscript(file)
        size = size or (declared.size if declared else None)
        return Program(_runner(script, device), _inputs_to_try(size), CANDIDATE_BATCHES, declared)
    package = _with_input_check(load_package(file, device, None))
    return Program(_runner(package, device), _inputs_to_try(size), CANDIDATE_BATCHES)


def _open_exported(program: ExportedProgram, size: Size | None, device: str) -> Program:
    placeholders = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    inputs = program.graph_signature.user_inputs
    if len(inputs) != 1:
        raise ValueError(
            f"it takes {len(inputs)} inputs, {', '.join(map(str, inputs))}, and not just one batch of pictures"
        )
    tensor = placeholders[str(inputs[0])].meta["val"]
    sides = [side if isinstance(side, int) else None for side in tensor.shape]
    into = input_of(sides, str(tensor.dtype).removeprefix("torch."), size)
    number = sides[0]
    if number is None:
        largest = program.range_constraints[tensor.shape[0].node.expr].upper
        batches = [(2, int(largest) if largest < DEFAULT_BATCH_SIZE else DEFAULT_BATCH_SIZE)]
    elif number == 1:
        batches = [(1, 1)]
    else:
        raise ValueError(f"it takes exactly {number} pictures at a time; export it with a dynamic first dimension")
    return Program(_runner(program.module(), device), [into], batches)


def _inputs_to_try(size: Size | None) -> list[Input]:
    width, height = require_size(size)
    return [
        Input(width=width, height=height, layout=layout, dtype=dtype, scale=usual_scale(dtype))
        for layout, dtype in CANDIDATE_INPUTS
    ]


def _runner(model: Model, device: str) -> Any:
    def run(batch: Batch) -> Outputs:
        with torch.inference_mode():
            outputs = named_outputs(model(to_device(batch, device)))
        return {key: to_numpy(output) for key, output in outputs.items() if _is_output(output)}

    return run


def _is_output(output: Any) -> bool:
    """Whether it is a tensor or a list of tensors; a model may also return None, dictionaries and so on."""
    if isinstance(output, list):
        return all(isinstance(one, torch.Tensor) for one in output)
    return isinstance(output, torch.Tensor)


def _with_input_check(package: Model) -> Model:
    def run(batch: Any) -> Any:
        os.environ[CHECK_INPUTS] = "1"  # the package reads it at its first run only
        try:
            return package(batch)
        finally:
            del os.environ[CHECK_INPUTS]

    return run
