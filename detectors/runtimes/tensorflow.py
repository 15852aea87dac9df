"""Runtime `tensorflow`: SavedModels and TF1 frozen graphs on CPU or GPU."""

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.base import Answers, Detector
from detectors.errors import DetectionFailed, DeviceUnavailable, ModelUnusable, lacking
from detectors.pictures.preprocess import Batch


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Leaves out what native code tells on stderr while it is imported, but for errors.

    TF_CPP_MIN_LOG_LEVEL does not hold for what is said before TensorFlow's log is set up.
    """
    chatter = re.compile(rb"[IW]\d{4} |WARNING: All log messages before absl::InitializeLog")
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            said.seek(0)
            os.write(2, b"".join(line for line in said if not chatter.match(line)))


# Read when TensorFlow is imported: 2 leaves errors. Whoever wants to see more sets it himself.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
with _without_chatter():
    import tensorflow as tf
    from google.protobuf.message import DecodeError
tf.get_logger().setLevel("ERROR")

SIGNATURE = "serving_default"
Run = Callable[[tf.Tensor], list[tf.Tensor]]
Loaded = tuple[Run, tf.TensorSpec, list[str]]
"""A function, what it takes (with the name that this has), and the names of what it gives."""


class TensorFlowDetector(Detector):
    """Runs a signature of a SavedModel, or a frozen graph between named tensors.

    One whose batch dimension is fixed is run on that many pictures at a time. The device and the threads are those of
    the process: what is loaded first settles them.
    """

    formats = frozenset({"saved_model", "frozen_graph"})

    @classmethod
    def devices(cls) -> list[str]:
        return [f"cuda:{index}" for index in range(len(tf.config.list_physical_devices("GPU")))]

    def _load(self, threads: int) -> None:
        try:
            settle(self.device, threads)
        except RuntimeError as error:
            raise ModelUnusable(
                f"Model {self.entry.name}: this process runs TensorFlow on another device or with another number of "
                f"threads already: {error}"
            ) from error
        load = LOADERS[self.entry.format]
        name = self.entry.input.name
        try:
            # Outputs are wanted by name: the positions that a catalogue has by default mean nothing to TensorFlow.
            self._run_batch, spec, _ = load(
                str(self.entry.file), name, [str(wanted) for wanted in self.entry.output.wanted]
            )
        except (tf.errors.OpError, RuntimeError, ValueError, TypeError, LookupError, OSError) as error:
            raise ModelUnusable(f"Model {self.entry.name}: {self.entry.file} can't be loaded: {error}") from error
        self._fixed_batch = self._check_input(spec)

    def _check_input(self, spec: tf.TensorSpec) -> int | None:
        """The batch size that the model insists on, if any. Raises `ModelUnusable` where it can't take the entry's
        input."""
        into = self.entry.input
        if spec.dtype.name != into.dtype:
            raise ModelUnusable(f"Model {self.entry.name} takes {spec.dtype.name}, but its entry says {into.dtype}.")
        size = [None, None] if into.resize == "none" else [into.height, into.width]
        wanted = [None, *size, 3] if into.layout == "NHWC" else [None, 3, *size]
        if not spec.shape.is_compatible_with(wanted):
            raise ModelUnusable(
                f"Model {self.entry.name} takes {spec.shape}, but its entry says {into.layout}, {into.width} × "
                f"{into.height}."
            )
        fixed: int | None = None if spec.shape.rank is None else spec.shape[0]
        return fixed

    def _infer(self, batch: Batch) -> Answers:
        if isinstance(batch, list):  # in their own sizes, so one by one
            answers = [self._run_all(picture[None]) for picture in batch]
            return [[output[0] for output in outputs] for outputs in zip(*answers, strict=True)]
        return self._run_all(batch)

    def _run_all(self, batch: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        size = self._fixed_batch or len(batch)
        parts = []
        try:
            for start in range(0, len(batch), size):
                chunk = batch[start : start + size]
                # The last pictures of a batch of a fixed size: filled up, and cut off again.
                filled = np.concatenate([chunk, np.repeat(chunk[-1:], size - len(chunk), axis=0)])
                outputs = self._run_batch(tf.constant(filled))
                parts.append([output.numpy()[: len(chunk)] for output in outputs])
        except tf.errors.OpError as error:
            raise DetectionFailed(f"The model {self.entry.name} raised: {error.message}") from error
        return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def settle(device: str, threads: int) -> None:
    """Gives this process its device and its threads. Raises `DeviceUnavailable`, or RuntimeError where TensorFlow
    works already, and with others."""
    gpus = tf.config.list_physical_devices("GPU")
    index = None if device == "cpu" else int(device.partition(":")[2])
    if index is not None and index >= len(gpus):
        raise DeviceUnavailable(f"TensorFlow sees no {device} here.")
    for gpu in gpus:
        # On demand; otherwise the first process takes all of the GPU's memory.
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.set_visible_devices([] if index is None else [gpus[index]], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def _saved_model(path: str, name: str | None, outputs: list[str] | None) -> Loaded:
    """A SavedModel's default signature, or its only one, as a function of its input. Without `outputs`, it gives all.
    Raises `ValueError`."""
    model = tf.saved_model.load(path)
    called = _one_of("signature", None if len(model.signatures) == 1 else SIGNATURE, model.signatures)
    signature = model.signatures[called]
    inputs = signature.structured_input_signature[1]
    chosen = _one_of("input", name, inputs)
    given = list(signature.structured_outputs) if outputs is None else outputs
    for output in given:
        _one_of("output", output, signature.structured_outputs)

    def run(batch: tf.Tensor) -> list[tf.Tensor]:
        # By way of the model: a signature alone does not keep its variables alive.
        answer = model.signatures[called](**{chosen: batch})
        return [answer[output] for output in given]

    return run, tf.TensorSpec(inputs[chosen].shape, inputs[chosen].dtype, chosen), given


def _frozen_graph(path: str, name: str | None, outputs: list[str] | None) -> Loaded:
    """A frozen graph from its input to its outputs as one function. Without `outputs`, it gives what none of its own
    operations takes. Raises `ValueError`."""
    graph = tf.compat.v1.GraphDef()
    with open(path, "rb") as file:
        try:
            graph.ParseFromString(file.read())
        except DecodeError as error:
            raise ValueError(f"it is no graph: {error}") from error
    operations = {node.name: node for node in graph.node}
    placeholders = [node.name for node in graph.node if node.op == "Placeholder"]
    chosen = _one_of("input", name and name.removesuffix(":0"), placeholders)
    given = _ends(graph) if outputs is None else outputs
    for output in given:
        _one_of("output", output.partition(":")[0], operations)
    wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph, name=""), [])
    fed = wrapped.graph.as_graph_element(f"{chosen}:0")
    fetched = [wrapped.graph.as_graph_element(output if ":" in output else f"{output}:0") for output in given]
    return wrapped.prune(fed, fetched), tf.TensorSpec(fed.shape, fed.dtype, chosen), given


def _ends(graph: Any) -> list[str]:
    """The operations of a graph whose results no other one takes."""
    taken = {name.removeprefix("^").partition(":")[0] for node in graph.node for name in node.input}
    no_results = ("Placeholder", "Const", "NoOp", "Assert")
    return [node.name for node in graph.node if node.name not in taken and node.op not in no_results]


LOADERS = {"saved_model": _saved_model, "frozen_graph": _frozen_graph}


def _one_of(what: str, name: str | None, known: Any) -> str:
    """The name, or the only one where none was given. Raises `ValueError` which lists the known ones."""
    names = list(known)
    if name is None and len(names) == 1:
        return str(names[0])
    if name is None or name not in names:
        raise ValueError(lacking(what, name, names))
    return name
