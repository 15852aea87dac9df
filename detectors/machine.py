"""The cores and the memory that this process may use, and the memory that it uses."""

import os
from contextlib import suppress
from pathlib import Path

import psutil


def usable_cores() -> int:
    """Cores that this process may use: its CPU affinity, limited by the quota of its control group (a container)."""
    cores = len(os.sched_getaffinity(0))
    version_1 = [*_control_group("cpu/cpu.cfs_quota_us"), *_control_group("cpu/cpu.cfs_period_us")]
    quota, period = _control_group("cpu.max") or version_1 or [-1, 1]
    return cores if quota < 0 else max(1, min(cores, quota // period))


def usable_memory() -> int:
    """Bytes of memory that this process may use: all of the machine, limited by its control group (a container)."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    [limit] = _control_group("memory.max") or _control_group("memory/memory.limit_in_bytes") or [-1]
    return machine if limit < 0 else min(machine, limit)


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


def _control_group(file: str) -> list[int]:
    """The numbers in a file of this process's control group, -1 for no limit; empty if the file is not there."""
    try:
        words = (Path("/sys/fs/cgroup") / file).read_text().split()
    except OSError:
        return []
    return [-1 if word == "max" else int(word) for word in words]
