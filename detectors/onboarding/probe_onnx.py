"""Opens ONNX models to find their inputs and outputs, which the files state, and what their metadata declare."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detectors.onboarding.declared import Size, of_folder, of_metadata
from detectors.onboarding.probe import (
    DEFAULT_BATCH_SIZE,
    OBJECT_DETECTION_API_NAMES,
    ONE_BY_ONE,
    Key,
    Outputs,
    Program,
    input_of,
    own_size_input,
)
from detectors.pictures.preprocess import Batch
from detectors.runtimes.onnx import ERRORS, NUMPY_TYPES, describe_shape, open_session


def open_program(file: Path, _: str, size: Size | None, device: str, threads: int) -> Program:
    """Loads a model. Raises ValueError if it takes no pictures or can't be loaded."""
    if file.suffix != ".onnx":
        raise ValueError("it is an ONNX model, so its name must end in .onnx: rename it")
    try:
        session = open_session(file, device, threads)
    except ERRORS as error:
        raise ValueError(str(error)) from error
    declared = of_metadata(session.get_modelmeta().custom_metadata_map) or of_folder(file)
    tensor, size_name = _choose_inputs(session.get_inputs())
    sides = [side if isinstance(side, int) and side > 0 else None for side in tensor.shape]
    takes_one = len(sides) == 3
    shape = [1, *sides] if takes_one else sides
    dtype = NUMPY_TYPES.get(tensor.type, tensor.type)
    names = [output.name for output in session.get_outputs()]
    if set(names) >= OBJECT_DETECTION_API_NAMES and shape[1:] == [None, None, 3]:
        into = own_size_input(dtype, size)
    elif takes_one and shape[1:] in ([3, None, None], [None, None, 3]):  # like torchvision's detectors
        into = own_size_input(dtype, size, "NCHW" if shape[1] == 3 else "NHWC")
    else:
        into = input_of(shape, dtype, size or (declared.size if declared and None in shape[1:] else None))
    if len(session.get_inputs()) > 1:
        into = into.model_copy(update={"name": tensor.name, "size_name": size_name})

    def run_once(batch: Any) -> dict[Key, Any]:
        feeds = {tensor.name: batch}
        if size_name is not None:
            feeds[size_name] = np.array([[into.width, into.height]] * len(batch), np.int64)
        try:
            outputs = session.run(None, feeds)
        except ERRORS as error:
            raise ValueError(str(error)) from error
        return {name: output for name, output in zip(names, outputs, strict=True) if isinstance(output, np.ndarray)}

    def run(batch: Batch) -> Outputs:
        if takes_one:
            answers = [run_once(picture) for picture in batch]
            return {name: np.stack([answer[name] for answer in answers]) for name in answers[0]}
        if isinstance(batch, list):
            answers = [run_once(picture[None]) for picture in batch]
            return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}
        return run_once(batch)

    return Program(run, [into], _batches(shape[0]), declared)


def _choose_inputs(inputs: Sequence[Any]) -> tuple[Any, str | None]:
    """The input for the pictures, and the name of one for their sizes if there is one. Raises ValueError."""
    described = ", ".join(f"{one.name} {one.type} {describe_shape(one.shape)}" for one in inputs)
    pictures = [one for one in inputs if len(one.shape) in (3, 4)]
    if len(pictures) != 1:
        raise ValueError(f"it takes {described}, and not just one batch of pictures")
    others = [one for one in inputs if one is not pictures[0]]
    sizes = [one for one in others if one.type == "tensor(int64)" and len(one.shape) == 2 and one.shape[1] == 2]
    if others != sizes or len(sizes) > 1:
        raise ValueError(
            f"it takes {described}; besides pictures, only their sizes can be given to it, int64 n × 2. Export it "
            "without the other inputs"
        )
    return pictures[0], sizes[0].name if sizes else None


def _batches(fixed: int | None) -> list[tuple[int, int]]:
    """The batches to try. A model with a fixed batch gets that many pictures at a time, whatever `batch_size` says."""
    if fixed is None:
        return [(2, DEFAULT_BATCH_SIZE), ONE_BY_ONE]  # some exports say that any number fits, and take only one
    return [(fixed, DEFAULT_BATCH_SIZE if DEFAULT_BATCH_SIZE % fixed == 0 else fixed)]
