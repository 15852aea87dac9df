"""How much memory this process uses."""

from contextlib import suppress
from pathlib import Path

import psutil


def resident_bytes() -> int:
    """The resident set size of this process now, in bytes."""
    return int(psutil.Process().memory_info().rss)


# psutil 7.2 reports a peak on Windows only, and can't reset one, so these two read and write Linux's own files:
# https://www.kernel.org/doc/html/latest/filesystems/proc.html
def peak_bytes() -> int:
    """The largest resident set size since `reset_peak`, or since the process started, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


def reset_peak() -> None:
    """Starts a new measurement of the peak. Where a sandbox forbids this, the old peak stays: it is too high, never
    too low."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
