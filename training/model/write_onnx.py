"""Writes the network as an ONNX model, and compares its detections with those of PyTorch."""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor

from detectors.catalogue import Input, ModelEntry, Output
from detectors.digest import digest_of
from detectors.postprocess import Detections
from detectors.runtimes.onnx import OnnxDetector
from training.model.layout import DETECTIONS, INPUT_SIZE
from training.model.network import CenterNet, Program
from training.model.parity import differences

INPUT, OUTPUTS = "pictures", ("boxes", "scores", "classes")
OPSET = 18
MAX_LISTED = 10
"""Number of differences that an error message lists."""


def write_onnx(network: CenterNet, file: Path) -> None:
    """Exports the network with its detections for batches of any size. The same network gives the same bytes."""
    program = Program(network, _highest).eval()
    pictures = torch.zeros(2, INPUT_SIZE, INPUT_SIZE, 3, dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PyTorch 2.13 warns of its own code
        raw = Path(folder) / "raw.onnx"
        torch.onnx.export(
            program,
            (pictures,),
            raw,
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64)},),
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
        model = onnx.load(raw)
    _remove_traces(model)
    onnx.checker.check_model(model)
    file.write_bytes(model.SerializeToString(deterministic=True))


def verify(program: Program, file: Path, pictures: Tensor) -> None:
    """Raises RuntimeError if the file, loaded as a worker does, finds other boxes than the program in the pictures,
    uint8 [n, 512, 512, 3]."""
    entry = ModelEntry(
        name=file.name,
        runtime="onnx",
        format="onnx",
        file=file,
        sha256=digest_of(file),
        labels=tuple(map(str, range(len(program.network.state_dict()["heat.bias"])))),
        input=Input(width=INPUT_SIZE, height=INPUT_SIZE, layout="NHWC", dtype="uint8"),
        output=Output(boxes="boxes", scores="scores", classes="classes", floor_score=0),
    )
    found = OnnxDetector(entry, device="cpu", threads=1).detect(list(pictures.numpy()))
    with torch.no_grad():
        expected = [Detections(*map(np.asarray, one)) for one in zip(*program(pictures), strict=True)]
    lines = [
        f"picture {number}, {line}"
        for number, (one, other) in enumerate(zip(expected, found, strict=True))
        for line in differences(one, other)
    ]
    if lines:
        raise RuntimeError("\n".join([f"{file.name} differs from its network:", *lines[:MAX_LISTED]]))


def _highest(scores: Tensor) -> Tensor:
    # ONNX's TopK takes the first of equal scores first: https://onnx.ai/onnx/operators/onnx__TopK.html
    return torch.topk(scores, DETECTIONS, dim=1, sorted=True).indices


def _remove_traces(model: onnx.ModelProto) -> None:
    """Removes what the exporter notes about the source of each node: it has paths of this machine."""
    del model.metadata_props[:]
    graphs = [model.graph, *model.functions]
    for graph in graphs:
        del graph.metadata_props[:]
        for node in graph.node:
            del node.metadata_props[:]
            node.doc_string = ""
        for value in (*graph.value_info, *getattr(graph, "input", ()), *getattr(graph, "output", ())):
            if not isinstance(value, str):
                del value.metadata_props[:]
                value.doc_string = ""
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
        tensor.doc_string = ""
    model.graph.doc_string = model.doc_string = ""
