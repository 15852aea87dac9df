"""How much memory this process has, as Linux tells it."""

import os
from contextlib import suppress
from pathlib import Path


def resident_bytes() -> int:
    """What it has now."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def peak_bytes() -> int:
    """The most that it had since `forget_peak`, or since its start."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


def forget_peak() -> None:
    """Where a sandbox forbids it, the peak stays: too high, never too low."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
