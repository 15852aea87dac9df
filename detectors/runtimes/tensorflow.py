"""Runtime `tensorflow`: SavedModels and TF1 frozen graphs on CPU or GPU."""

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy.typing as npt

from detectors.base import Answers, Detector
from detectors.batching import in_batches_of
from detectors.errors import DetectionFailed, DeviceUnavailable, ModelUnusable, describe_missing
from detectors.pictures.preprocess import Batch


@contextmanager
def _errors_only() -> Iterator[None]:
    """Drops what native code writes to stderr during its import, except errors.

    TF_CPP_MIN_LOG_LEVEL does not apply before TensorFlow has set up its log.
    """
    noise = re.compile(rb"[IW]\d{4} |WARNING: All log messages before absl::InitializeLog")
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            written.seek(0)
            os.write(2, b"".join(line for line in written if not noise.match(line)))


# TensorFlow reads it during its import; 2 means errors only. Set the variable to see more.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
with _errors_only():
    import tensorflow as tf
    from google.protobuf.message import DecodeError
tf.get_logger().setLevel("ERROR")

SIGNATURE = "serving_default"
Run = Callable[[tf.Tensor], list[tf.Tensor]]
Loaded = tuple[Run, tf.TensorSpec, list[str]]
"""A function, its input (with its name), and the names of its outputs."""


class TensorFlowDetector(Detector):
    """Runs a signature of a SavedModel, or a frozen graph between named tensors.

    A model with a fixed batch dimension gets that many pictures at a time. Device and threads apply to the whole
    process: the first model decides them.
    """

    formats = frozenset({"saved_model", "frozen_graph"})

    @classmethod
    def devices(cls) -> list[str]:
        return [f"cuda:{index}" for index in range(len(tf.config.list_physical_devices("GPU")))]

    def _load(self, threads: int) -> None:
        try:
            configure(self.device, threads)
        except RuntimeError as error:
            raise ModelUnusable(
                f"Model {self.entry.name}: this process already runs TensorFlow on another device or with another "
                f"number of threads: {error}"
            ) from error
        load = LOADERS[self.entry.format]
        name = self.entry.input.name
        try:
            # TensorFlow's outputs have names; the catalogue's default positions do not apply.
            self._run_batch, spec, _ = load(
                str(self.entry.file), name, [str(wanted) for wanted in self.entry.output.wanted]
            )
        except (tf.errors.OpError, RuntimeError, ValueError, TypeError, LookupError, OSError) as error:
            raise ModelUnusable(f"Model {self.entry.name}: {self.entry.file} can't be loaded: {error}") from error
        self._fixed_batch = self._check_input(spec)

    def _check_input(self, spec: tf.TensorSpec) -> int | None:
        """The model's fixed batch size, if any. Raises `ModelUnusable` if the entry's input does not fit the model."""
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
        if isinstance(batch, list):  # pictures in their own sizes can only run one by one
            answers = [self._run_all(picture[None]) for picture in batch]
            return [[output[0] for output in outputs] for outputs in zip(*answers, strict=True)]
        return self._run_all(batch)

    def _run_all(self, batch: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        def run(part: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
            return [output.numpy() for output in self._run_batch(tf.constant(part))]

        try:
            return in_batches_of(self._fixed_batch, batch, run)
        except tf.errors.OpError as error:
            raise DetectionFailed(f"The model {self.entry.name} raised: {error.message}") from error


def configure(device: str, threads: int) -> None:
    """Sets the device and the threads of this process. Raises `DeviceUnavailable`, or RuntimeError if TensorFlow
    already runs with other ones."""
    gpus = tf.config.list_physical_devices("GPU")
    index = None if device == "cpu" else int(device.partition(":")[2])
    if index is not None and index >= len(gpus):
        raise DeviceUnavailable(f"TensorFlow finds no {device} on this machine.")
    for gpu in gpus:
        # Without it, the first process takes all of the GPU's memory.
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.set_visible_devices([] if index is None else [gpus[index]], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def _saved_model(path: str, name: str | None, outputs: list[str] | None) -> Loaded:
    """A SavedModel's default or only signature as a function. `outputs`: their names; None for all. Raises
    `ValueError`."""
    model = tf.saved_model.load(path)
    key = _one_of("signature", None if len(model.signatures) == 1 else SIGNATURE, model.signatures)
    signature = model.signatures[key]
    inputs = signature.structured_input_signature[1]
    chosen = _one_of("input", name, inputs)
    names = list(signature.structured_outputs) if outputs is None else outputs
    for output in names:
        _one_of("output", output, signature.structured_outputs)

    def run(batch: tf.Tensor) -> list[tf.Tensor]:
        # Through `model`, which keeps the variables alive; the signature alone does not.
        answer = model.signatures[key](**{chosen: batch})
        return [answer[output] for output in names]

    return run, tf.TensorSpec(inputs[chosen].shape, inputs[chosen].dtype, chosen), names


def _frozen_graph(path: str, name: str | None, outputs: list[str] | None) -> Loaded:
    """A frozen graph as a function. `outputs`: their names; None for all results that no other operation uses. Raises
    `ValueError`."""
    graph = tf.compat.v1.GraphDef()
    with open(path, "rb") as file:
        try:
            graph.ParseFromString(file.read())
        except DecodeError as error:
            raise ValueError(f"it is no graph: {error}") from error
    operations = {node.name: node for node in graph.node}
    placeholders = [node.name for node in graph.node if node.op == "Placeholder"]
    chosen = _one_of("input", name and name.removesuffix(":0"), placeholders)
    names = _final_operations(graph) if outputs is None else outputs
    for output in names:
        _one_of("output", output.partition(":")[0], operations)
    wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph, name=""), [])
    fed = wrapped.graph.as_graph_element(f"{chosen}:0")
    fetched = [wrapped.graph.as_graph_element(output if ":" in output else f"{output}:0") for output in names]
    return wrapped.prune(fed, fetched), tf.TensorSpec(fed.shape, fed.dtype, chosen), names


def _final_operations(graph: Any) -> list[str]:
    """The operations of a graph whose results no other operation uses."""
    used = {name.removeprefix("^").partition(":")[0] for node in graph.node for name in node.input}
    no_results = ("Placeholder", "Const", "NoOp", "Assert")
    return [node.name for node in graph.node if node.name not in used and node.op not in no_results]


LOADERS = {"saved_model": _saved_model, "frozen_graph": _frozen_graph}


def _one_of(what: str, name: str | None, known: Any) -> str:
    """The name, or without one the only known name. Raises `ValueError`, which lists the known names."""
    names = list(known)
    if name is None and len(names) == 1:
        return str(names[0])
    if name is None or name not in names:
        raise ValueError(describe_missing(what, name, names))
    return name
