"""The Open Inference Protocol v2 over REST: Triton, KServe and MLServer.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md, and for tensors as
bytes https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.catalogue import ModelEntry
from detectors.catalogue.model_server import ModelServer
from detectors.errors import ServerAnswerInvalid, ServerRefused, describe_missing
from detectors.runtimes.remote.connection import Connection, Reply

Array = npt.NDArray[Any]

# The header with the length of the JSON, after which the bytes of the tensors begin.
JSON_LENGTH_HEADER = "Inference-Header-Content-Length"
BINARY_EXTENSION = "binary_tensor_data"
NUMPY_DTYPES = {
    "BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
"""Datatype of the protocol -> NumPy's, in the byte order of the binary extension."""
JSON_TYPE = {"Content-Type": "application/json"}
DATATYPES = {"uint8": "UINT8", "float16": "FP16", "float32": "FP32"}


class OpenInference:
    """A model on a server with this protocol. Thread-safe."""

    def __init__(self, connection: Connection, entry: ModelEntry, server: ModelServer) -> None:
        self._connection = connection
        self._input = entry.input.name
        self._wanted = entry.output.wanted
        self._binary = server.binary
        version = f"/versions/{server.version}" if server.version else ""
        self._path = f"/v2/models/{server.model}{version}"

    def require_ready(self) -> None:
        """Raises what `infer` raises if the model is not ready or the server does not answer."""
        self._connection.get(f"{self._path}/ready")

    def infer(self, batch: Array) -> list[Array]:
        """The outputs of `entry.output.wanted` for n pictures, as the server writes them.

        Raises `ServerAnswerInvalid` if they can't be read, and what `Connection.post` raises.
        """
        if self._binary is None:
            self._binary = self._offers_binary()
        tensor: dict[str, Any] = {
            "name": self._input,
            "shape": list(batch.shape),
            "datatype": DATATYPES[batch.dtype.name],
        }
        request: dict[str, Any] = {"inputs": [tensor]}
        if all(isinstance(name, str) for name in self._wanted):
            request["outputs"] = [{"name": name} for name in self._wanted]
        if not self._binary:
            tensor["data"] = batch.ravel().tolist()
            return self._parse(self._connection.post(f"{self._path}/infer", _json(request), JSON_TYPE))
        data = batch.tobytes()
        tensor["parameters"] = {"binary_data_size": len(data)}
        request["parameters"] = {"binary_data_output": True}
        header = _json(request)
        headers = {"Content-Type": "application/octet-stream", JSON_LENGTH_HEADER: str(len(header))}
        return self._parse(self._connection.post(f"{self._path}/infer", header + data, headers))

    def _offers_binary(self) -> bool:
        try:
            metadata = json.loads(self._connection.get("/v2").content)
        except (ServerRefused, ValueError):
            return False  # for example from a proxy that lets only some paths through
        return isinstance(metadata, dict) and BINARY_EXTENSION in (metadata.get("extensions") or ())

    def _parse(self, reply: Reply) -> list[Array]:
        try:
            length = int(reply.headers.get(JSON_LENGTH_HEADER, len(reply.content)))
            outputs = json.loads(reply.content[:length])["outputs"]
            arrays: dict[int | str, Array] = {}
            start = length
            for position, output in enumerate(outputs):
                size = (output.get("parameters") or {}).get("binary_data_size")
                dtype = NUMPY_DTYPES[output["datatype"]]
                if size is None:
                    array = np.asarray(output["data"], dtype)  # the protocol allows flat and nested lists
                else:
                    array = np.frombuffer(reply.content[start : start + size], dtype)
                    start += size
                arrays[position] = arrays[output["name"]] = array.reshape(_shape(output))
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
            raise ServerAnswerInvalid(
                f"The answer of {self._path} breaks the Open Inference Protocol: {type(error).__name__}: {error}."
            ) from error
        for name in self._wanted:
            if name not in arrays:
                known = [key for key in arrays if isinstance(key, type(name))]
                raise ServerAnswerInvalid(
                    f"The answer of {self._path} is incomplete; {describe_missing('output', name, known)}."
                )
        return [arrays[name] for name in self._wanted]


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _shape(output: Mapping[str, Any]) -> list[int]:
    shape = [int(length) for length in output["shape"]]
    if any(length < 0 for length in shape):
        # NumPy would replace a negative length by the one that fits.
        raise ValueError(f"{output['name']} has the shape {shape}")
    return shape
