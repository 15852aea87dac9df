"""How long a step took, as the timings of an answer state it."""

import time


def ms_since(started: float) -> float:
    """Milliseconds, to the tenth, since a moment of `time.perf_counter()`."""
    return round((time.perf_counter() - started) * 1000, 1)
