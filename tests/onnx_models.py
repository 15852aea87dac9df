"""ONNX models with known answers, made node by node."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from tests.tiny_models import BOXES, MAGENTA, SIZE


def write_tiny(
    path: Path, batch: int | None = None, any_size: bool = False, *, dtype: str = "uint8", external: bool = False
) -> None:
    """Writes the tiny model of `tests.tiny_models`: its scores are the red, green and blue of the top left pixel.

    `batch`: its fixed number of pictures; None for any. `any_size`: whether it takes pictures of any size. `external`:
    the weights go into a file beside it. With a `dtype` of floats, pixels are 0 to 1.
    """
    side = None if any_size else SIZE
    highest = np.array(255 if dtype == "uint8" else 1, np.float32)
    magenta = np.array(MAGENTA, np.float32) / np.float32(255)
    nodes = [
        helper.make_node("Cast", ["pictures"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Gather", ["floats", "first"], ["row"], axis=1),
        helper.make_node("Gather", ["row", "first"], ["pixel"], axis=1),
        helper.make_node("Div", ["pixel", "highest"], ["plain"]),
        helper.make_node("Equal", ["plain", "magenta"], ["same"]),
        helper.make_node("Cast", ["same"], ["ones"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMin", ["ones"], ["all"], axes=[1], keepdims=1),
        helper.make_node("Cast", ["all"], ["is_magenta"], to=TensorProto.BOOL),
        helper.make_node("Where", ["is_magenta", "nan", "plain"], ["scores"]),
        helper.make_node("Shape", ["plain"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "zero"], ["n"]),
        helper.make_node("Concat", ["n", "of_boxes"], ["boxes_shape"], axis=0),
        helper.make_node("Expand", ["all_boxes", "boxes_shape"], ["boxes"]),
        helper.make_node("Expand", ["all_classes", "sizes"], ["classes"]),
    ]
    constants = {
        "first": np.array(0, np.int64),
        "zero": np.array([0], np.int64),
        "highest": highest,
        "magenta": magenta[None],
        "nan": np.array(np.nan, np.float32),
        "of_boxes": np.array([3, 4], np.int64),
        "all_boxes": BOXES[None],
        "all_classes": np.arange(3)[None],
    }
    outputs = {"boxes": ("float32", [batch, 3, 4]), "scores": ("float32", [batch, 3]), "classes": ("int64", [batch, 3])}
    model = _model(nodes, {"pictures": (dtype, [batch, side, side, 3])}, outputs, constants)
    if external:
        onnx.save_model(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    else:
        path.write_bytes(model.SerializeToString())


def write_constant(
    path: Path,
    outputs: Mapping[str, np.ndarray],
    shape: Sequence[int | None] = (None, 3, 64, 64),
    metadata: Mapping[str, str] | None = None,
    *,
    dtype: str = "float32",
    size_input: str | None = None,
    extra_inputs: Mapping[str, Sequence[int | None]] | None = None,
) -> None:
    """Writes a model that gives every picture the same answer. outputs: of one picture, without its first dimension.

    `size_input`: the name of a second input, int64 n × 2. `extra_inputs`: names and shapes of further ones.
    """
    nodes = [
        helper.make_node("Shape", ["pictures"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "zero"], ["n"]),
    ]
    constants: dict[str, Any] = {"zero": np.array([0], np.int64)}
    for name, array in outputs.items():
        constants |= {f"{name}_one": array[None], f"{name}_sides": np.array(array.shape, np.int64)}
        nodes += [
            helper.make_node("Concat", ["n", f"{name}_sides"], [f"{name}_shape"], axis=0),
            helper.make_node("Expand", [f"{name}_one", f"{name}_shape"], [name]),
        ]
    inputs: dict[str, Any] = {"pictures": (dtype, shape)}
    if size_input is not None:
        inputs[size_input] = ("int64", [None, 2])
    inputs |= {name: ("float32", sides) for name, sides in (extra_inputs or {}).items()}
    model = _model(
        nodes, inputs, {name: (str(one.dtype), [None, *one.shape]) for name, one in outputs.items()}, constants
    )
    helper.set_model_props(model, dict(metadata or {}))
    path.write_bytes(model.SerializeToString())


def write_first_only(path: Path, rows: np.ndarray, metadata: Mapping[str, str]) -> None:
    """Writes a model that takes any number of pictures, and answers only for the first one: zeros for the others."""
    nodes = [
        helper.make_node("Shape", ["pictures"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "index"], ["n"]),
        helper.make_node("Range", ["index", "n", "step"], ["numbers"]),
        helper.make_node("Equal", ["numbers", "index"], ["first"]),
        helper.make_node("Cast", ["first"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["mask", "shape"], ["column"]),
        helper.make_node("Mul", ["column", "rows"], ["output0"]),
    ]
    constants = {
        "index": np.array(0, np.int64),
        "step": np.array(1, np.int64),
        "shape": np.array([-1, 1, 1], np.int64),
        "rows": rows[None],
    }
    inputs, outputs = {"pictures": ("float32", [None, 3, 64, 64])}, {"output0": ("float32", [None, *rows.shape])}
    model = _model(nodes, inputs, outputs, constants)
    helper.set_model_props(model, dict(metadata))
    path.write_bytes(model.SerializeToString())


def write_unbatched(path: Path, outputs: Mapping[str, np.ndarray]) -> None:
    """Writes a model for any number of pictures whose answers have no dimension for the pictures."""
    nodes = [helper.make_node("Identity", [f"{name}_all"], [name]) for name in outputs]
    described = {name: (str(one.dtype), list(one.shape)) for name, one in outputs.items()}
    constants = {f"{name}_all": one for name, one in outputs.items()}
    model = _model(nodes, {"pictures": ("float32", [None, 3, 64, 64])}, described, constants)
    path.write_bytes(model.SerializeToString())


def write_single(path: Path, labels: str = "classes", side: int | None = 64) -> None:
    """Writes a model that takes one picture, 3 × 64 × 64 floats, and gives 2 boxes without a batch dimension. The
    scores are the picture's first two red pixels. `labels`: the name of the output with the class ids. `side`: None for
    pictures of any size."""
    nodes = [
        helper.make_node("Gather", ["picture", "zero"], ["red"], axis=0),
        helper.make_node("Gather", ["red", "zero"], ["row"], axis=0),
        helper.make_node("Slice", ["row", "start", "end"], ["scores"]),
        helper.make_node("Identity", ["two_boxes"], ["boxes"]),
        helper.make_node("Identity", ["two_classes"], [labels]),
    ]
    constants = {
        "zero": np.array(0, np.int64),
        "start": np.array([0], np.int64),
        "end": np.array([2], np.int64),
        "two_boxes": BOXES[:2],
        "two_classes": np.arange(2),
    }
    outputs = {"boxes": ("float32", [2, 4]), "scores": ("float32", [2]), labels: ("int64", [2])}
    model = _model(nodes, {"picture": ("float32", [3, side, side])}, outputs, constants)
    path.write_bytes(model.SerializeToString())


def _model(
    nodes: list[onnx.NodeProto],
    inputs: Mapping[str, tuple[str, Sequence[int | None]]],
    outputs: Mapping[str, tuple[str, Sequence[int | None]]],
    constants: Mapping[str, np.ndarray],
) -> onnx.ModelProto:
    def values(described: Mapping[str, tuple[str, Sequence[int | None]]]) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
            for name, (dtype, shape) in described.items()
        ]

    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "tiny", values(inputs), values(outputs), initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def write_nested(path: Path, location: str) -> None:
    """Writes a model with external data in the graph of a node's attribute. It can't be run: the data is missing."""
    tensor = TensorProto(name="deep", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    inner = helper.make_graph([helper.make_node("Identity", ["deep"], ["out"])], "inner", [], [], [tensor])
    node = helper.make_node("If", ["condition"], ["result"], then_branch=inner, else_branch=inner)
    path.write_bytes(helper.make_model(helper.make_graph([node], "outer", [], [])).SerializeToString())


def read_picture(file: Path) -> Image.Image:
    """A picture in RGB."""
    return Image.open(file).convert("RGB")
