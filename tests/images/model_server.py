"""The bundled program behind the Open Inference Protocol v2, in a container of worker-pytorch, for worker-remote."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import torch

PORT = 8080
MODEL = "cards"
program = torch.export.load("/app/weights/cards.pt2").module()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._send({})

    def do_POST(self) -> None:
        (tensor,) = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["inputs"]
        pictures = np.array(tensor["data"], np.uint8).reshape(tensor["shape"])
        with torch.inference_mode():
            found = program(torch.from_numpy(pictures))
        outputs = [_output(*pair) for pair in zip(("boxes", "scores", "classes"), found, strict=False)]
        self._send({"model_name": MODEL, "outputs": outputs})

    def _send(self, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _output(name: str, tensor: torch.Tensor) -> dict[str, Any]:
    array = tensor.numpy()
    datatype = "FP32" if array.dtype.kind == "f" else "INT64"
    return {"name": name, "shape": list(array.shape), "datatype": datatype, "data": array.ravel().tolist()}


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", PORT), Handler).serve_forever()
