"""Calls that fail before they work."""

from collections.abc import Callable
from typing import Any


def faulty(call: Callable[..., Any], *faults: Exception) -> Callable[..., Any]:
    """Wraps `call`: each of the first calls raises one of `faults`, and later calls work."""
    left = list(faults)

    def run(*arguments: Any, **named: Any) -> Any:
        if left:
            raise left.pop(0)
        return call(*arguments, **named)

    return run
