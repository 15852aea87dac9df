"""Tests wait for a state, never for a fixed time."""

import time
from collections.abc import Callable

import pytest

# A guard against hangs, not a test of speed: a busy machine may pause for a while.
LONGEST_SECONDS = 180.0


def wait_for(condition: Callable[[], object], what: str, seconds: float = LONGEST_SECONDS) -> None:
    """Polls `condition()` until it is true; fails with `what` after `seconds`."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            pytest.fail(f"{what} did not come within {seconds:g} s")
        time.sleep(0.05)
