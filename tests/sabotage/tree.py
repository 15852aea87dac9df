"""Copies the working tree, and runs pytest in the copies."""

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

# A test that hangs has failed. Each named test takes less than a tenth of this time.
LONGEST_SECONDS = 120
# These errors mean that the sabotage broke the code and not the promise.
OF_BROKEN_CODE = ("SyntaxError", "ImportError", "ModuleNotFoundError", "NameError", "UnboundLocalError")


def files_of_the_tree() -> list[Path]:
    """Relative paths of the files of the working tree, also of those that are not committed."""
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
    """The environment in which Python imports the modules of the tree, not the installed ones."""
    # Variables of pytest and its plugins are meant for their own processes, and would disturb another pytest.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return inherited | {"PYTHONPATH": str(tree), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


@dataclass(frozen=True, slots=True)
class Run:
    """The result of a run of tests."""

    exit_code: int
    passed: int
    skipped: int
    failures: tuple[str, ...]
    """The first line of the reason of each failed test."""
    errors: tuple[str, ...]
    """The same for tests that could not be run."""
    output: str


def run_tests(tree: Path, tests: Iterable[str], *, stop_at_first: bool = True) -> Run:
    """Runs tests of a copy, on the modules of the copy."""
    # Loading a plugin takes as long as a test, so only plugins that the tests need are loaded. The pytest options of
    # the project, such as several processes, are left out too.
    plugins = ["pytest_timeout", *(["xdist.plugin"] if find_spec("xdist") else [])]
    options = [argument for plugin in plugins for argument in ("-p", plugin)]
    options += ["-o", "addopts=--import-mode=importlib --strict-markers --strict-config", "-p", "no:cacheprovider"]
    options += ["-q", "--timeout", str(LONGEST_SECONDS), *(["-x"] if stop_at_first else [])]
    # The path is short and not below the copy, because the address of a Unix socket must be short.
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
        # The XML is safe to parse, because pytest wrote it.
        cases = list(ET.parse(report).iter("testcase")) if report.exists() else []
    failures, errors, skipped = (
        tuple(str(found.get("message")) for case in cases for found in case.iter(kind))
        for kind in ("failure", "error", "skipped")
    )
    passed = sum(len(case.findall("*")) == 0 for case in cases)
    return Run(done.returncode, passed, len(skipped), failures, errors, done.stdout)
