"""Runtime `pytorch`: exported programs (`.pt2`) on CPU or CUDA."""

from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import torch
from torch.export.passes import move_to_device_pass

from detectors.base import Detector
from detectors.errors import ModelUnusable


class PyTorchDetector(Detector):
    """Runs a `torch.export` program with a dynamic batch dimension. The file holds no Python code."""

    formats = frozenset({"pt2"})

    @classmethod
    def devices(cls) -> list[str]:
        return [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []

    def _load(self, threads: int) -> None:
        torch.set_num_threads(threads)
        try:
            program = torch.export.load(self.entry.file)
            if self.device != "cpu":
                program = move_to_device_pass(program, self.device)
            self._module = program.module()
        except (RuntimeError, ValueError, OSError, LookupError, AssertionError, BadZipFile) as error:
            raise ModelUnusable(f"Model {self.entry.name}: {self.entry.file} can't be loaded: {error}") from error

    def _infer(self, batch: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        with torch.inference_mode():
            outputs = self._module(torch.from_numpy(batch).to(self.device))
        return [_numpy(outputs[position]) for position in self._wanted]


def _numpy(tensor: torch.Tensor) -> npt.NDArray[Any]:
    return np.asarray(tensor.detach().cpu())
