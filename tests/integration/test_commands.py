"""The commands that start processes: what they do with arguments that they do not have."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("module", ["api", "jobs.migrate", "worker", "worker.health", "worker.sweep"])
def test_a_command_that_gets_an_unknown_argument_shows_its_usage(module: str, tmp_path: Path) -> None:
    environment = {"BOXQUEUE_DATA": str(tmp_path)}
    command = [sys.executable, "-m", module, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"usage: python -m {module}")
    assert not list(tmp_path.iterdir())
