"""The bundled model in KServe's Python server. Runs in `.venv-isolation/kserve`, which has KServe and PyTorch.

`python kserve_server.py PORT cards.pt2` serves it as `cards` by the Open Inference Protocol v2, and by KServe's own
protocol v1, which is the REST of TensorFlow Serving.
"""

import base64
import io
import sys
from typing import Any

import numpy as np
import torch
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.utils.utils import generate_uuid
from PIL import Image

OUTPUTS = {"boxes": "FP32", "scores": "FP32", "classes": "INT64"}


class Cards(Model):
    """Takes uint8 pictures n × h × w × 3, or PNG files in base64."""

    def __init__(self, file: str) -> None:
        super().__init__("cards")
        self._program = torch.export.load(file).module()
        self.ready = True

    def predict(self, payload: Any, headers: object = None, response_headers: object = None) -> Any:
        if isinstance(payload, InferRequest):
            tensors = []
            for name, array in self._run(payload.inputs[0].as_numpy()).items():
                tensors.append(InferOutput(name, list(array.shape), OUTPUTS[name]))
                tensors[-1].set_data_from_numpy(array, binary_data=True)
            return InferResponse(generate_uuid(), self.name, tensors)
        found = self._run(np.stack([pixels(row["image"]) for row in payload["instances"]]))
        rows = zip(*(array.tolist() for array in found.values()), strict=True)
        return {"predictions": [dict(zip(found, row, strict=True)) for row in rows]}

    def _run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            outputs = self._program(torch.from_numpy(np.array(batch)))
        return {name: output.numpy() for name, output in zip(OUTPUTS, outputs, strict=True)}


def pixels(value: Any) -> np.ndarray:
    """RGB uint8 of a picture that comes as a tensor or as a file."""
    if isinstance(value, dict):
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(value["b64"]))))
    return np.array(value, np.uint8)


if __name__ == "__main__":
    torch.set_num_threads(1)
    ModelServer(http_port=int(sys.argv[1]), enable_grpc=False, workers=1).start([Cards(sys.argv[2])])
