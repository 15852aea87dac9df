"""Runtime `libtorch`: AOTInductor packages run from C++, without Python's torch. `make libtorch` builds it.

Importing this package loads nothing of libtorch; `detectors.runtimes.libtorch.detector` does.
"""

from pathlib import Path


def version() -> str:
    """Of the libtorch that stands in `lib`. Raises OSError where it is not built."""
    return (Path(__file__).parent / "lib" / "VERSION").read_text().strip()
