"""The workflows of GitHub Actions: valid, safe, with the same commands as on a developer's machine."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from jobs.settings import ROOT
from tests.manifests import commands, tool, workflows

FOLDER = ROOT / ".github" / "workflows"
every_workflow = pytest.mark.parametrize("name", workflows())


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflows_exist() -> None:
    assert workflows().keys() == {"ci.yml", "images.yml", "release.yml"}


@every_workflow
def test_a_workflow_matches_the_schema_of_github(name: str) -> None:
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.github-workflows", str(FOLDER / name))


@every_workflow
def test_zizmor_finds_nothing(name: str) -> None:
    run(tool("zizmor"), "--offline", "--no-progress", "--persona=pedantic", str(FOLDER / name))


@every_workflow
def test_actions_are_pinned_by_digest_with_their_version_beside_it(name: str) -> None:
    for used in re.findall(r"uses: (.+)", (FOLDER / name).read_text()):
        assert re.fullmatch(r"\$/\.github/workflows/\S+|\S+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used), used


@every_workflow
def test_every_job_lists_its_permissions_and_a_timeout(name: str) -> None:
    workflow = workflows()[name]

    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert "permissions" in job
        assert "timeout-minutes" in job or "uses" in job


@every_workflow
def test_every_make_target_of_a_workflow_exists(name: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))

    assert set(re.findall(r"^\s*make ([a-z-]+)", commands(workflows()[name]), re.MULTILINE)) <= targets


def test_all_checks_run_before_anything_is_released() -> None:
    called = commands(workflows()["ci.yml"])
    jobs = workflows()["release.yml"]["jobs"]

    assert {"make test", "make test-slow"} <= set(called.splitlines())
    assert (jobs["release"]["needs"], jobs["images"]["needs"]) == ("images", "ci")


def would_run(folder: Path, job: str) -> tuple[str, list[str]]:
    """The commands of a job in ci.yml, with make replaced by the commands that it would run in a clean clone."""
    workflow = workflows()["ci.yml"]
    for name in ("Makefile", "pyproject.toml", "requirements", "docker"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    steps = [step["run"] for step in workflow["jobs"][job]["steps"] if "run" in step]
    [made] = [step for step in steps if step.startswith("make ")]
    environment = {"PATH": os.environ["PATH"], "CI": "true", **workflow["env"]}
    asked = ["make", "--dry-run", "CXX=true", *made.split()[1:]]
    done = subprocess.run(asked, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    lines = done.stdout.replace("\\\n", " ").splitlines()
    return "\n".join(steps[: steps.index(made)]), lines


def position(lines: list[str], *words: str) -> int:
    """The position of the only command with all these words."""
    [found] = [number for number, line in enumerate(lines) if all(word in line for word in words)]
    return found


def test_the_job_of_the_quick_tests_installs_only_what_they_need(tmp_path: Path) -> None:
    _, lines = would_run(tmp_path, "test")

    assert position(lines, "-r requirements/dev.txt") < position(lines, "-m pytest", '-m "not slow"')
    assert not [line for line in lines if "cmake" in line or ".venv-isolation" in line]


def test_the_job_of_the_slow_tests_installs_what_they_need(tmp_path: Path) -> None:
    before, lines = would_run(tmp_path, "test-slow")

    tests = position(lines, "-m pytest", "-m slow")
    [isolated] = re.findall(r"ISOLATED := \$\(foreach name,([\w ]+),", (ROOT / "Makefile").read_text())
    # Without these, tests are skipped on a developer's machine and fail in CI.
    assert {"g++", "libjpeg-dev", "libpng-dev"} <= set(before.split())
    assert position(lines, "cmake --install") < tests
    for kind in isolated.split():
        assert position(lines, "uv pip install", f".venv-isolation/{kind}/", "--require-hashes") < tests
