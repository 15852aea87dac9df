"""A tiny model with known answers, in every format. Each function runs in the process of a framework.

The model reads only the top left pixel. Its red, green and blue (0..255) are the scores (0..1) of three boxes. If the
pixel is magenta, the scores are NaN.
"""

from pathlib import Path
from typing import Any

import numpy as np

SIZE = 32
BOXES = np.array([[4, 8, 20, 24], [0, 0, 32, 32], [16, 2, 30, 6]], np.float32)
"""x1, y1, x2, y2 in pixels of the input; classes 0, 1, 2."""
MAGENTA = (255, 0, 255)


def write(kind: str, path: Path, batch: int | None = None, *any_size: bool) -> None:
    """Writes the model. `batch`: its fixed number of pictures, None for any. SavedModels may take any picture size."""
    kinds = {
        "pt2": _pt2,
        "aotinductor": _aotinductor,
        "torchscript": _torchscript,
        "saved_model": _saved_model,
        "frozen_graph": _frozen_graph,
        "onnx": _onnx,
    }
    kinds[kind](path, batch, *any_size)


def write_named_package(path: Path) -> None:
    """Writes the model as an AOTInductor package whose output is a dictionary: scores, boxes and classes."""
    import torch

    class Named(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tiny = _module()

        def forward(self, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
            boxes, scores, classes = self.tiny(pictures)
            return {"scores": scores, "boxes": boxes, "classes": classes}

    _compile(Named().eval(), path)


def write_odd_package(path: Path) -> None:
    """Writes a package with odd answers. Red, green and blue of the top left pixel, from 0 to 255, become scores from 0
    to 2: of the first box, of one far outside the picture, and of one whose coordinates are NaN."""
    import torch

    class Odd(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            boxes = np.stack([BOXES[0], BOXES[1] + 400, np.full(4, np.nan, np.float32)])
            self.boxes = torch.nn.Buffer(torch.from_numpy(boxes))

        def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            scores = pictures[:, 0, 0].to(torch.float32) / 127.5
            n = pictures.shape[0]
            return self.boxes.expand(n, -1, -1), scores, torch.arange(3).expand(n, -1)

    _compile(Odd().eval(), path)


def _onnx(path: Path, batch: int | None, *any_size: bool) -> None:
    from tests.onnx_models import write_tiny

    write_tiny(path, batch, *any_size)


def _pt2(path: Path, batch: int | None) -> None:
    _export(_module(), path, batch)


def _export(module: Any, path: Path, batch: int | None) -> None:
    import torch

    example = torch.zeros(batch or 2, SIZE, SIZE, 3, dtype=torch.uint8)
    dimension = None if batch else torch.export.Dim("batch", min=1, max=64)
    torch.export.save(torch.export.export(module, (example,), dynamic_shapes=({0: dimension},)), path)


def _aotinductor(path: Path, _: None) -> None:
    _compile(_module(), path)


def _compile(module: Any, path: Path) -> None:
    from detectors.catalogue import Input, ModelEntry
    from detectors.onboarding.compile import compile_package

    _export(module, path.with_suffix(".program"), None)
    entry = ModelEntry(
        name="tiny",
        runtime="pytorch",
        format="pt2",
        file=path.with_suffix(".program"),
        sha256="0" * 64,
        labels=("red", "green", "blue"),
        input=Input(width=SIZE, height=SIZE, layout="NHWC", dtype="uint8"),
    )
    compile_package(entry, path.with_suffix(".pt2"), portable=False)
    path.with_suffix(".pt2").rename(path)  # the compiler needs that ending, the file does not


def _torchscript(path: Path, _: None) -> None:
    import torch

    torch.jit.script(_module()).save(str(path))


def write_columns(path: Path) -> None:
    """Writes another model as TorchScript. Its input is n × 3 × height × width in 0..1.

    Its output is a dictionary: the same boxes, and for each box the logits of three classes and, in the last column, of
    the background. The darker red, green or blue of the top left pixel is, the more likely is the first, second or
    third box."""
    import torch

    class Columns(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.boxes = torch.nn.Buffer(torch.from_numpy(BOXES))
            self.weight = torch.nn.Buffer(torch.eye(3)[:, :, None, None])

        def forward(self, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
            pixel = torch.nn.functional.conv2d(pictures, self.weight)[:, :, 0, 0]
            logits = torch.diag_embed(13 - 8 * pixel) - 9
            n = pictures.shape[0]
            return {"boxes": self.boxes.expand(n, -1, -1), "logits": torch.nn.functional.pad(logits, [0, 1])}

    torch.jit.script(Columns().eval()).save(str(path))


def _module() -> Any:
    import torch

    class Tiny(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.boxes = torch.nn.Buffer(torch.from_numpy(BOXES))
            self.magenta = torch.nn.Buffer(torch.tensor(MAGENTA))

        def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            pixel = pictures[:, 0, 0].to(torch.float32)
            strange = (pixel == self.magenta).all(dim=1, keepdim=True)
            scores = torch.where(strange, float("nan"), pixel / 255)
            n = pictures.shape[0]
            return self.boxes.expand(n, -1, -1), scores, torch.arange(3, device=pictures.device).expand(n, -1)

    return Tiny().eval()


def _saved_model(path: Path, batch: int | None, any_size: bool = False) -> None:
    from detectors.runtimes.tensorflow import configure, tf

    configure("cpu", threads=1)
    size = None if any_size else SIZE
    spec = tf.TensorSpec([batch, size, size, 3], tf.uint8, "input_tensor")
    model = tf.Module()
    # A variable, as most have: it must live as long as the detector.
    model.full = tf.Variable(255.0)
    signature = tf.function(lambda input_tensor: _answer(input_tensor, model.full), [spec], autograph=False)
    tf.saved_model.save(model, str(path), signatures={"serving_default": signature})


def _frozen_graph(path: Path, batch: int | None) -> None:
    from detectors.runtimes.tensorflow import configure, tf

    configure("cpu", threads=1)
    with tf.Graph().as_default() as graph:
        pictures = tf.compat.v1.placeholder(tf.uint8, [batch, SIZE, SIZE, 3], "image_tensor")
        for name, output in _answer(pictures, 255.0).items():
            tf.identity(output, name)
    path.write_bytes(graph.as_graph_def().SerializeToString())


def _answer(pictures: Any, full: Any) -> dict[str, Any]:
    """Outputs of the Object Detection API: three rows that count, then one row of padding."""
    from detectors.runtimes.tensorflow import tf

    pixel = tf.cast(pictures[:, 0, 0], tf.float32)
    strange = tf.reduce_all(tf.equal(pixel, tf.constant(MAGENTA, tf.float32)), axis=1, keepdims=True)
    scores = tf.where(strange, float("nan"), pixel / full)
    n = tf.shape(pictures)[0]
    boxes = np.concatenate([BOXES[:, [1, 0, 3, 2]] / SIZE, np.full((1, 4), np.nan, np.float32)])
    return {
        "detection_boxes": tf.tile(tf.constant(boxes, tf.float32)[None], [n, 1, 1]),
        "detection_scores": tf.concat([scores, tf.fill([n, 1], 1.0)], axis=1),
        "detection_classes": tf.tile(tf.constant([[1.0, 2.0, 3.0, 1.0]]), [n, 1]),
        "num_detections": tf.fill([n], 3.0),
    }
