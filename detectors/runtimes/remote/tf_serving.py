"""The REST API of TensorFlow Serving, which is also KServe's protocol v1: rows in, predictions out.

https://www.tensorflow.org/tfx/serving/api_rest
"""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from detectors.catalogue import ModelEntry
from detectors.catalogue.model_server import ModelServer
from detectors.errors import ServerAnswerInvalid, ServerUnavailable, describe_missing
from detectors.runtimes.remote.connection import Connection

Array = npt.NDArray[Any]


class TensorFlowServing:
    """A model on a server with this API. Thread-safe."""

    def __init__(self, connection: Connection, entry: ModelEntry, server: ModelServer) -> None:
        self._connection = connection
        self._entry = entry
        self._server = server
        version = f"/versions/{server.version}" if server.version else ""
        self._path = f"/v1/models/{server.model}{version}"

    def require_ready(self) -> None:
        """Raises `ServerUnavailable` if the requested version is not ready, or what `infer` raises."""
        try:
            status = json.loads(self._connection.get(self._path).content)
            # KServe sends `ready` in place of the states.
            states = [one["state"] for one in status.get("model_version_status", ())]
            ready = status.get("ready", True)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise ServerAnswerInvalid(f"The status of {self._path} can't be read: {error}.") from error
        if not ready or (states and "AVAILABLE" not in states):
            raise ServerUnavailable(f"{self._path} is not ready: {', '.join(map(str, states)) or 'no details'}.")

    def infer(self, batch: Array | Sequence[Array]) -> list[list[Array]]:
        """The outputs of `entry.output.wanted` for n pictures, each a list of n arrays.

        Raises `ServerAnswerInvalid` if they can't be read, and what `Connection.post` raises.
        """
        rows = [_png(picture) if self._server.encoding == "png" else picture.tolist() for picture in batch]
        name = self._entry.input.name
        request: dict[str, Any] = {"instances": rows if name is None else [{name: row} for row in rows]}
        if self._server.signature:
            request["signature_name"] = self._server.signature
        content = json.dumps(request, separators=(",", ":")).encode()
        reply = self._connection.post(f"{self._path}:predict", content, {"Content-Type": "application/json"})
        try:
            predictions = json.loads(reply.content)["predictions"]
            return [[self._parse(row, str(wanted)) for row in predictions] for wanted in self._entry.output.wanted]
        except (ValueError, TypeError, LookupError, OverflowError) as error:
            raise ServerAnswerInvalid(f"The predictions of {self._path} can't be read: {error}.") from error

    def _parse(self, row: Mapping[str, Any], name: str) -> Array:
        if not isinstance(row, Mapping) or name not in row:
            raise LookupError(describe_missing("output", name, list(row) if isinstance(row, Mapping) else []))
        array = np.asarray(row[name])
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{name} has values that are no numbers")
        if array.size:
            return array
        # In JSON an empty list is the same for all shapes.
        output = self._entry.output
        columns = max(self._entry.class_ids) + 1 + (output.background == "last")
        shapes = {output.boxes: (0, 4), output.class_scores: (0, columns)}
        return array.reshape(shapes.get(name, (0,)))


def _png(picture: npt.NDArray[np.uint8]) -> dict[str, str]:
    """An RGB picture (uint8, H×W×3) as a PNG file in base64, which loses nothing."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=1)
    return {"b64": base64.b64encode(file.getvalue()).decode("ascii")}
