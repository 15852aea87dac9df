"""Makes sure that no child process is left when this process ends (Linux)."""

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
    """From now on a descendant whose parent ends becomes a child of this process, so that it can be found and ended."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent() -> None:
    """From now on this process gets SIGTERM when its parent ends, even if SIGKILL ends the parent."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def reap_orphans(but: int) -> None:
    """Reaps adopted processes that have ended. `but`: a process id that is left to the owner of that child."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid == but:
            return
        os.waitpid(ended.si_pid, os.WNOHANG)


def kill_descendants() -> None:
    """Kills every descendant, and those that start meanwhile."""
    while running := psutil.Process().children(recursive=True):
        for process in running:
            _signal(process, signal.SIGKILL)
        psutil.wait_procs(running, timeout=5)


def end_descendants(seconds: float, at_once: Callable[[], bool]) -> None:
    """Sends SIGTERM to every descendant. Kills those that still run after `seconds` or once `at_once()` is true."""
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
        pass  # it has ended by itself


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
