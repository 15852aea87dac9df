"""Runtime `remote`: a model in a server of somebody else's, which is asked over HTTP. It needs no ML framework."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from detectors.base import Answers, Detector
from detectors.catalogue import ModelEntry
from detectors.catalogue.model_server import ModelServer
from detectors.errors import DetectionFailed, DetectorError, ModelUnavailable, NoAnswer
from detectors.pictures.preprocess import Batch, Pixels
from detectors.postprocess import Detections
from detectors.runtimes.remote.connection import Connection
from detectors.runtimes.remote.open_inference import OpenInference
from detectors.runtimes.remote.tf_serving import TensorFlowServing


class AskedModel(Protocol):
    """A model on a server, by one of the protocols. Thread-safe. Both methods raise `DetectorError`."""

    def require_ready(self) -> None:
        """Raises where the server says that the model is not ready, or does not answer."""

    def infer(self, batch: Any) -> Answers:
        """What the server writes for n pictures, one array or a list of them."""


Protocols = dict[str, Callable[[Connection, ModelEntry, ModelServer], AskedModel]]
PROTOCOLS: Protocols = {"oip": OpenInference, "tf_serving": TensorFlowServing}
# Of the time for a request: a picture is asked twice before it is blamed, and after each time the server whether it is
# ready, and a blank one.
REQUESTS_A_PICTURE = 6


class RemoteDetector(Detector):
    """Asks a server, with several requests at once. Thread-safe.

    Raises `ModelUnavailable` in place of any other fault where the server fails a blank picture too: then it is out.
    Where it does not, an answer blames the picture that it was given for. `NoAnswer` blames none by itself: the server
    may have been out and back, or a picture too much for it.
    """

    formats = frozenset(PROTOCOLS)

    @classmethod
    def devices(cls) -> list[str]:
        return []

    def _load(self, threads: int) -> None:
        server = self.entry.server
        assert server is not None  # the catalogue holds that these formats have one
        self.patience_s = REQUESTS_A_PICTURE * server.timeout_s
        self._server = server
        self._connection = Connection(server)
        self._model = PROTOCOLS[self.entry.format](self._connection, self.entry, server)
        self._pool = ThreadPoolExecutor(server.requests, "request")

    def detect(self, images: Sequence[Pixels]) -> list[Detections]:
        try:
            return super().detect(images)
        except DetectorError as error:
            try:
                self._model.require_ready()
                super().detect([self.blank()])
            except DetectorError as outage:
                doubt = error.doubt if isinstance(error, NoAnswer) else error
                raise ModelUnavailable(outage, doubt=doubt) from error
            raise

    def works(self) -> bool:
        """What a server fails is never this process, which so need not end."""
        return True

    def close(self) -> None:
        self._pool.shutdown(wait=False)
        self._connection.close()

    def _infer(self, batch: Batch) -> Answers:
        # Tensors of different sizes do not fit into one request; files do.
        together = not isinstance(batch, list) or self._server.encoding == "png"
        size = (self._server.request_size or len(batch)) if together else 1
        parts = [batch[start : start + size] for start in range(0, len(batch), size)]
        return _joined(parts, list(self._pool.map(self._asked, parts)))

    def _asked(self, part: Batch) -> Answers:
        if isinstance(part, list) and self._server.encoding == "tensor":
            part = part[0][None]
        return self._model.infer(part)


def _joined(parts: Sequence[Batch], answers: Sequence[Answers]) -> Answers:
    """The outputs for all pictures. Raises `DetectionFailed` where a request was answered for more or fewer pictures
    than it had: the sum might be right, and each answer another picture's."""
    for part, outputs in zip(parts, answers, strict=True):
        lengths = {len(output) for output in outputs}
        if lengths != {len(part)}:
            raise DetectionFailed(f"The server answered for {sorted(lengths)} pictures, where {len(part)} were asked.")
    return [[row for output in outputs for row in output] for outputs in zip(*answers, strict=True)]
