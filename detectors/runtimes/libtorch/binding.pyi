"""The Python module that binding.cpp is built to."""

from typing import Any

import numpy as np
import numpy.typing as npt

VERSION: str
"""The version of libtorch."""

class Model:
    """A package in memory, on the CPU. Every error of libtorch is a RuntimeError."""

    def __init__(self, file: str, threads: int) -> None:
        """Loads a package, which runs its code. `threads`: number of libtorch's threads in this process."""

    def run(self, pictures: npt.NDArray[np.uint8] | npt.NDArray[np.float32]) -> list[npt.NDArray[Any]]:
        """A contiguous batch in the package's layout and type -> its outputs, flattened, in the package's order.

        Other threads run meanwhile. Raises TypeError if an output has a type that NumPy does not have.
        """

    def output_spec(self) -> str:
        """How the outputs are nested: JSON of torch.utils._pytree.treespec_dumps."""
