"""Processes of this one: that none outlives it, and that none is left when it ends (Linux)."""

import ctypes
import os
import signal
import time
from collections.abc import Callable

import psutil

# From linux/prctl.h.
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """From now on a descendant whose parent dies becomes a child of this process, so that it can be found and ended."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent() -> None:
    """From now on this process gets SIGTERM when the one that started it dies, even by SIGKILL."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def reap_orphans(but: int) -> None:
    """Takes the exit status of adopted processes that have ended. `but`: the child whose owner waits for it itself."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid == but:
            return
        os.waitpid(ended.si_pid, os.WNOHANG)


def kill_descendants() -> None:
    """Ends every descendant at once. Those that appear meanwhile are ended too."""
    while running := psutil.Process().children(recursive=True):
        for process in running:
            _signal(process, signal.SIGKILL)
        psutil.wait_procs(running, timeout=5)


def end_descendants(seconds: float, at_once: Callable[[], bool]) -> None:
    """Asks every descendant to end, and kills what is there after `seconds`, or as soon as `at_once()`."""
    running = psutil.Process().children(recursive=True)
    for process in running:
        _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while running and time.monotonic() < deadline and not at_once():
        running = psutil.wait_procs(running, timeout=0.2)[1]
    kill_descendants()


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        pass  # it ended by itself, which is what was wanted


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
