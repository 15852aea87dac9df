"""No child process is left when the process that started it ends."""

import subprocess
import sys
from pathlib import Path

import psutil

from tests.services.waiting import wait_for

# A parent that adopts orphans; a child that ends at once; a grandchild that ignores SIGTERM.
GRANDCHILD = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
CHILD = f"""
import subprocess, sys
started = subprocess.Popen([sys.executable, "-c", {GRANDCHILD!r}], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
started.stdout.read(1)
print(started.pid)
"""
PARENT = f"""
import subprocess, sys
from cli.local.processes import adopt_orphans, end_descendants

adopt_orphans()
child = subprocess.run([sys.executable, "-c", {CHILD!r}], capture_output=True, text=True, check=True)
end_descendants(0.3, lambda: False)
print(child.stdout)
"""


def test_an_orphan_that_ignores_sigterm_is_killed() -> None:
    done = subprocess.run([sys.executable, "-c", PARENT], capture_output=True, text=True, check=True, timeout=120)

    assert not psutil.pid_exists(int(done.stdout))


def test_the_supervisor_ends_with_its_parent(tmp_path: Path) -> None:
    configuration = tmp_path / "supervisord.conf"
    configuration.write_text(
        f"[supervisord]\nlogfile={tmp_path}/log\npidfile={tmp_path}/pid\nminfds=64\nminprocs=1\n"
        "[program:sleep]\ncommand=/bin/sleep 60\n"
    )
    start = (
        "import os, subprocess, sys, time\n"
        "arguments = [sys.executable, '-m', 'cli.local.supervisor_process']\n"
        f"subprocess.Popen([*arguments, {str(configuration)!r}, str(os.getpid())])\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", start])
    wait_for(lambda: len(psutil.Process(parent.pid).children(recursive=True)) == 2, "the supervised program")
    family = psutil.Process(parent.pid).children(recursive=True)

    parent.kill()
    parent.wait()

    _, left = psutil.wait_procs(family, timeout=60)
    assert left == []
