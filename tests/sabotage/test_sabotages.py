"""The named tests of each sabotage fail with it, and pass without it."""

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.settings import ROOT
from tests.conftest import missing
from tests.sabotage.sabotage import Sabotage, sabotages
from tests.sabotage.tree import OF_BROKEN_CODE, copy_tree, environment_of, files_of_the_tree, run_tests

pytestmark = pytest.mark.slow
SABOTAGES = sabotages()
# Without this number, a deleted file of sabotages would go unnoticed.
FEWEST = 85


@pytest.fixture(scope="session")
def files() -> list[Path]:
    return files_of_the_tree()


@pytest.fixture
def tree(files: list[Path], tmp_path: Path) -> Iterator[Path]:
    """A copy of the working tree."""
    tree = tmp_path / "tree"
    copy_tree(files, tree)
    yield tree
    # There are many copies, and each of them is as large as the tree.
    shutil.rmtree(tree)


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.name)
def test_a_sabotage_fails_its_tests(sabotage: Sabotage, tree: Path) -> None:
    sabotage.make(tree)

    run = run_tests(tree, sabotage.tests)

    if run.exit_code == 0 and run.skipped and not run.passed:
        missing(f"What {', '.join(sabotage.tests)} need")
    assert run.exit_code != 0, f"These tests pass although the code is broken: {sabotage.breaks}\n{run.output}"
    assert run.exit_code == 1, run.output
    assert run.failures, f"No test failed, they could not even be run.\n{run.output}"
    assert not run.failures[0].startswith(OF_BROKEN_CODE), f"The code is broken, not the promise.\n{run.output}"


def test_the_named_tests_pass_without_a_sabotage(tree: Path) -> None:
    named = dict.fromkeys(test for sabotage in SABOTAGES for test in sabotage.tests)

    run = run_tests(tree, named, stop_at_first=False)

    assert run.exit_code == 0, run.output
    assert run.passed + run.skipped >= len(named)


def test_the_modules_of_the_copy_are_imported(tree: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = [pattern.rstrip("*") for pattern in project["tool"]["setuptools"]["packages"]["find"]["include"]]
    program = (
        f"import {', '.join(packages)}; print(*({', '.join(f'{name}.__file__' for name in packages)},), sep='\\n')"
    )

    # Tests start processes in this way: neither the current folder nor that of a script is on the path.
    printed = subprocess.run(
        [sys.executable, "-P", "-c", program], env=environment_of(tree), capture_output=True, text=True, check=True
    )

    assert [Path(line) for line in printed.stdout.splitlines()] == [tree / name / "__init__.py" for name in packages]


def test_there_are_enough_sabotages() -> None:
    assert len({sabotage.name for sabotage in SABOTAGES}) == len(SABOTAGES) >= FEWEST
