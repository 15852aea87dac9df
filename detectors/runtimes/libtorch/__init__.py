"""Runtime `libtorch`: runs AOTInductor packages from C++, without Python's torch. `make libtorch` builds it.

Importing this package loads nothing of libtorch; `detectors.runtimes.libtorch.detector` does.
"""

from pathlib import Path


def version() -> str:
    """The version of the libtorch in `lib`. Raises OSError if it is not built."""
    return (Path(__file__).parent / "lib" / "VERSION").read_text().strip()
