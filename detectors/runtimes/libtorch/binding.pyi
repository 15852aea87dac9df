"""What binding.cpp gives to Python, once it is built."""

from typing import Any

import numpy as np
import numpy.typing as npt

VERSION: str
"""Of libtorch."""

class Model:
    """A package in memory, on the CPU. Every error of libtorch is a RuntimeError."""

    def __init__(self, file: str, threads: int) -> None:
        """Loads a package. It is code, and it is run. `threads`: of libtorch, in this process."""

    def run(self, pictures: npt.NDArray[np.uint8] | npt.NDArray[np.float32]) -> list[npt.NDArray[Any]]:
        """A batch, contiguous, as the package takes it -> its outputs in its own order, however it nests them.

        Other threads go on meanwhile. Raises TypeError where an output is of a type that NumPy does not have.
        """

    def output_spec(self) -> str:
        """How the outputs are nested: JSON, as torch.utils._pytree.treespec_dumps writes it."""
