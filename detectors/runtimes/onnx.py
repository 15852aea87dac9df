"""Runtime `onnx`: ONNX models with ONNX Runtime, on the CPU or on CUDA."""

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.base import Answers, Detector
from detectors.batching import in_batches_of
from detectors.errors import DetectionFailed, DeviceUnavailable, ModelUnusable, describe_missing
from detectors.pictures.preprocess import Batch

# Read during the import. Without it, ONNX Runtime sends events, and keeps an id of the machine below HOME.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as errors

ERRORS: tuple[type[Exception], ...] = (
    *(one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Exception)),
    *(RuntimeError, ValueError, TypeError),
)
"""What ONNX Runtime raises; its own classes derive from Exception alone."""
LOAD_ERRORS: tuple[type[Exception], ...] = (*ERRORS, LookupError)
# Warnings say, for example, which operators run on the CPU in any case.
ERRORS_ONLY = 3
NUMPY_TYPES = {
    "tensor(uint8)": "uint8", "tensor(float16)": "float16", "tensor(float)": "float32", "tensor(double)": "float64",
    "tensor(int32)": "int32", "tensor(int64)": "int64", "tensor(bool)": "bool",
}  # fmt: skip
CUDA = "CUDAExecutionProvider"

onnxruntime.set_default_logger_severity(ERRORS_ONLY)


class OnnxDetector(Detector):
    """Runs an ONNX model. Other threads run while the model loads and while it works.

    A model with a fixed batch dimension gets that many pictures at a time.
    """

    formats = frozenset({"onnx"})

    @classmethod
    def devices(cls) -> list[str]:
        if CUDA not in onnxruntime.get_available_providers():
            return []
        return [f"cuda:{index}" for index in range(_count_gpus())]

    def _load(self, threads: int) -> None:
        entry = self.entry
        try:
            self._session = open_session(entry.file, self.device, threads)
            names = [output.name for output in self._session.get_outputs()]
            self._wanted = [output_name(wanted, names) for wanted in entry.output.wanted]
            self._input = find_input(self._session, entry.input.name, entry.input.size_name)
        except LOAD_ERRORS as error:
            raise ModelUnusable(f"Model {entry.name}: {entry.file} can't be loaded: {error}") from error
        self._check_input()
        sides = self._input.shape
        self._fixed_batch = sides[0] if len(sides) == 4 and isinstance(sides[0], int) else None
        # A model without a batch dimension takes one picture, and gives its answer without that dimension.
        self._takes_one = len(sides) == 3

    def _check_input(self) -> None:
        """Raises `ModelUnusable` if the entry's input does not fit the model."""
        into, found = self.entry.input, self._input
        dtype = NUMPY_TYPES.get(found.type, found.type)
        if dtype != into.dtype:
            raise ModelUnusable(f"Model {self.entry.name} takes {dtype}, but its entry says {into.dtype}.")
        size: list[int | None] = [None, None] if into.resize == "none" else [into.height, into.width]
        wanted: list[int | None] = [*size, 3] if into.layout == "NHWC" else [3, *size]
        # A free side has a name in place of a number, or nothing.
        sides = [side if isinstance(side, int) else None for side in found.shape[-3:]]
        if len(found.shape) not in (3, 4) or any(
            None not in (side, want) and side != want for side, want in zip(sides, wanted, strict=True)
        ):
            raise ModelUnusable(
                f"Model {self.entry.name} takes {describe_shape(found.shape)}, but its entry says {into.layout}, "
                f"{into.width} × {into.height}."
            )

    def _infer(self, batch: Batch) -> Answers:
        if isinstance(batch, list) or self._takes_one:
            # Pictures in their own sizes can only run one by one.
            answers = [self._run_batch(self._alone(picture)) for picture in batch]
            outputs = [list(output) for output in zip(*answers, strict=True)]
            return outputs if self._takes_one else [[one[0] for one in output] for output in outputs]
        return in_batches_of(self._fixed_batch, batch, self._run_batch)

    def _alone(self, picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return picture if self._takes_one else picture[None]

    def _run_batch(self, batch: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        into = self.entry.input
        feeds = {self._input.name: batch}
        if into.size_name is not None:
            height, width = batch.shape[1:3] if into.layout == "NHWC" else batch.shape[2:]
            feeds[into.size_name] = np.array([[width, height]] * len(batch), np.int64)
        try:
            outputs: list[npt.NDArray[Any]] = self._session.run(self._wanted, feeds)
        except ERRORS as error:
            raise DetectionFailed(f"The model {self.entry.name} raised: {error}") from error
        return outputs


def open_session(file: Path, device: str, threads: int) -> Any:
    """A session for a model, `onnxruntime.InferenceSession`. Raises one of `ERRORS`, or `DeviceUnavailable` if CUDA
    can't be used: ONNX Runtime alone would go on with the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads would take the cores of the other processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = ERRORS_ONLY
    providers: list[Any] = ["CPUExecutionProvider"]
    if device != "cpu":
        if CUDA not in onnxruntime.get_available_providers():
            raise DeviceUnavailable(
                f"ONNX Runtime can't use {device}: this build is for the CPU. Install requirements/onnx-cuda.txt in "
                "place of requirements/onnx.txt."
            )
        providers.insert(0, (CUDA, {"device_id": device.partition(":")[2] or "0"}))
        onnxruntime.preload_dlls()  # the libraries of CUDA and cuDNN that Python's packages bring
    session = onnxruntime.InferenceSession(file, options, providers=providers)
    if device != "cpu" and CUDA not in session.get_providers():
        raise DeviceUnavailable(f"ONNX Runtime can't use {device}: check the driver (nvidia-smi), CUDA and cuDNN.")
    return session


def find_input(session: Any, name: str | None, size_name: str | None = None) -> Any:
    """The input that takes the pictures. Without `name`, it is the only one beside `size_name`. Raises ValueError,
    which lists the inputs, or LookupError."""
    inputs = {one.name: one for one in session.get_inputs()}
    if size_name is not None and size_name not in inputs:
        raise LookupError(describe_missing("input", size_name, list(inputs)))
    others = [one for one in inputs if one != size_name]
    if name is None and len(others) == 1:
        return inputs[others[0]]
    if name is None or name not in inputs:
        raise ValueError(describe_missing("input", name, others))
    if others != [name]:
        raise ValueError(f"it also needs {', '.join(one for one in others if one != name)}")
    return inputs[name]


def output_name(wanted: int | str, names: Sequence[str]) -> str:
    """The name of an output, which an entry gives by its position or its name. Raises LookupError."""
    if isinstance(wanted, int):
        if wanted >= len(names):
            raise LookupError(describe_missing("output", wanted, range(len(names))))
        return names[wanted]
    if wanted not in names:
        raise LookupError(describe_missing("output", wanted, names))
    return wanted


def describe_shape(shape: Sequence[int | str | None]) -> str:
    """A shape with the names of its free sides: `batch × 3 × 640 × 640`."""
    return " × ".join("any" if side is None else str(side) for side in shape) or "a number"


def _count_gpus() -> int:
    """The number of GPUs that CUDA's driver finds; 0 without a driver. ONNX Runtime has no function for it."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value
