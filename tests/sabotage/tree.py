"""Copies of the working tree, and pytest in them."""

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from jobs.settings import ROOT

# A test that hangs has failed; none that is named here takes a tenth of it.
LONGEST_SECONDS = 120
# What says that the sabotage broke the code and not the promise.
OF_BROKEN_CODE = ("SyntaxError", "ImportError", "ModuleNotFoundError", "NameError", "UnboundLocalError")


def files_of_the_tree() -> list[Path]:
    """What belongs to the working tree, committed or not, relative to it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = [os.fsdecode(name) for name in listed.stdout.split(b"\0") if name]
    return [Path(name) for name in names if (ROOT / name).is_file()]


def copy_tree(files: Iterable[Path], to: Path) -> None:
    """Copies these files of the working tree."""
    made: set[Path] = set()
    for file in files:
        target = to / file
        if target.parent not in made:
            target.parent.mkdir(parents=True, exist_ok=True)
            made.add(target.parent)
        shutil.copy(ROOT / file, target)


def environment_of(tree: Path) -> dict[str, str]:
    """The environment in which Python imports what the tree has, and not what is installed."""
    # What pytest and its plugins tell their own processes is not meant for a pytest of its own.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return inherited | {"PYTHONPATH": str(tree), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


@dataclass(frozen=True, slots=True)
class Run:
    """What became of tests."""

    exit_code: int
    passed: int
    skipped: int
    failures: tuple[str, ...]
    """Of tests that failed: the first line of why."""
    errors: tuple[str, ...]
    """Of tests that could not be run."""
    output: str


def run_tests(tree: Path, tests: Iterable[str], *, stop_at_first: bool = True) -> Run:
    """Runs tests of a copy, on the modules of the copy."""
    # Plugins cost as much as a test does, so only those are loaded that the tests of this project use. What the project
    # lets pytest do besides (several processes, say) is left out as well.
    plugins = ["pytest_timeout", *(["xdist.plugin"] if find_spec("xdist") else [])]
    options = [argument for plugin in plugins for argument in ("-p", plugin)]
    options += ["-o", "addopts=--import-mode=importlib --strict-markers --strict-config", "-p", "no:cacheprovider"]
    options += ["-q", "--timeout", str(LONGEST_SECONDS), *(["-x"] if stop_at_first else [])]
    # Short, and not below the copy: the address of a Unix socket has no room for much more.
    with TemporaryDirectory(prefix="boxqueue-", ignore_cleanup_errors=True) as folder:
        report = Path(folder) / "report.xml"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, f"--basetemp={folder}/tests", f"--junitxml={report}", *tests],
            cwd=tree,
            env=environment_of(tree),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        # pytest writes it: nobody else's XML is read here.
        cases = list(ET.parse(report).iter("testcase")) if report.exists() else []
    failures, errors, skipped = (
        tuple(str(found.get("message")) for case in cases for found in case.iter(kind))
        for kind in ("failure", "error", "skipped")
    )
    passed = sum(len(case.findall("*")) == 0 for case in cases)
    return Run(done.returncode, passed, len(skipped), failures, errors, done.stdout)
