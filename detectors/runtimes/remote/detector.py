"""Runtime `remote`: models on a model server, over HTTP. It needs no ML framework."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from detectors.base import Answers, Detector
from detectors.catalogue import ModelEntry
from detectors.catalogue.model_server import ModelServer
from detectors.errors import DetectionFailed, DetectorError, ModelUnavailable, RetryableError
from detectors.pictures.preprocess import Batch, Pixels
from detectors.postprocess import Detections
from detectors.runtimes.remote.connection import Connection
from detectors.runtimes.remote.open_inference import OpenInference
from detectors.runtimes.remote.tf_serving import TensorFlowServing


class ServedModel(Protocol):
    """A model on a server, by one of the protocols. Thread-safe. Both methods raise `DetectorError`."""

    def require_ready(self) -> None:
        """Raises if the server says that the model is not ready, or does not answer."""

    def infer(self, batch: Any) -> Answers:
        """The server's outputs for n pictures, which are an array or a list of arrays."""


Protocols = dict[str, Callable[[Connection, ModelEntry, ModelServer], ServedModel]]
PROTOCOLS: Protocols = {"oip": OpenInference, "tf_serving": TensorFlowServing}
# The most requests for one picture. A suspect is preceded by a probe, and is sent in a batch and then alone. Each of
# these three may need three requests: the request itself, a check whether the model is ready, and a blank picture.
MAX_REQUESTS_PER_PICTURE = 9


class RemoteDetector(Detector):
    """Asks a model server, with several requests at once. Thread-safe.

    An HTTP status does not show the cause of an error: servers answer 500 for a picture that the model can't process,
    and for a GPU that failed. So after every error the server gets a blank picture. If that fails too, the server has
    an outage, and `ModelUnavailable` is raised. If it succeeds, an error in the server's answer was caused by the
    picture. The cause of a `ServerOutage` stays open: a short outage of the server, or the picture.
    """

    formats = frozenset(PROTOCOLS)

    @classmethod
    def devices(cls) -> list[str]:
        return []

    def _load(self, threads: int) -> None:
        server = self.entry.server
        assert server is not None  # the catalogue checks that these formats have one
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
                suspicion = error.suspicion if isinstance(error, RetryableError) else error
                raise ModelUnavailable(outage, suspicion=suspicion) from error
            raise

    def works(self) -> bool:
        """True: an error of the server does not break this process."""
        return True

    def require_available(self) -> None:
        try:
            self.detect([self.blank()])
        except DetectorError as outage:
            raise ModelUnavailable(outage) from outage

    def time_limit(self, pictures: int, picture_seconds: float) -> float:
        waiting = MAX_REQUESTS_PER_PICTURE * self._server.timeout_s
        return super().time_limit(pictures, picture_seconds + waiting)

    def close(self) -> None:
        self._pool.shutdown(wait=False)
        self._connection.close()

    def _infer(self, batch: Batch) -> Answers:
        # Tensors of different sizes do not fit into one request; files do.
        together = not isinstance(batch, list) or self._server.encoding == "png"
        size = (self._server.request_size or len(batch)) if together else 1
        parts = [batch[start : start + size] for start in range(0, len(batch), size)]
        return _join(parts, list(self._pool.map(self._infer_part, parts)))

    def _infer_part(self, part: Batch) -> Answers:
        if isinstance(part, list) and self._server.encoding == "tensor":
            part = part[0][None]
        return self._model.infer(part)


def _join(parts: Sequence[Batch], answers: Sequence[Answers]) -> Answers:
    """The outputs for all pictures. Raises `DetectionFailed` if an answer has more or fewer pictures than its request,
    even if the sum is right: the answers would belong to other pictures."""
    for part, outputs in zip(parts, answers, strict=True):
        lengths = {len(output) for output in outputs}
        if lengths != {len(part)}:
            raise DetectionFailed(f"The server answered for {sorted(lengths)} pictures, but got {len(part)}.")
    return [[row for output in outputs for row in output] for outputs in zip(*answers, strict=True)]
