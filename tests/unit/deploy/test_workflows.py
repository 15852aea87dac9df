"""The workflows of GitHub Actions: valid, safe, and of the same commands that a developer has."""

import re
import subprocess

import pytest

from jobs.settings import ROOT
from tests.manifests import commands, tool, workflows

FOLDER = ROOT / ".github" / "workflows"
every_workflow = pytest.mark.parametrize("name", workflows())


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_they_are_there() -> None:
    assert workflows().keys() == {"ci.yml", "images.yml", "release.yml"}


@every_workflow
def test_it_is_a_workflow(name: str) -> None:
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.github-workflows", str(FOLDER / name))


@every_workflow
def test_zizmor_finds_nothing(name: str) -> None:
    run(tool("zizmor"), "--offline", "--no-progress", "--persona=pedantic", str(FOLDER / name))


@every_workflow
def test_actions_are_pinned_by_digest_with_their_version_beside_it(name: str) -> None:
    for used in re.findall(r"uses: (.+)", (FOLDER / name).read_text()):
        assert re.fullmatch(r"\$/\.github/workflows/\S+|\S+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used), used


@every_workflow
def test_nobody_has_rights_that_he_was_not_given(name: str) -> None:
    workflow = workflows()[name]

    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert "permissions" in job
        assert "timeout-minutes" in job or "uses" in job


@every_workflow
def test_every_make_target_that_it_calls_is_there(name: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))

    assert set(re.findall(r"^\s*make ([a-z-]+)", commands(workflows()[name]), re.MULTILINE)) <= targets


def test_all_checks_run_before_anything_is_released() -> None:
    called = commands(workflows()["ci.yml"])
    jobs = workflows()["release.yml"]["jobs"]

    assert {"make lint", "make test", "make test-isolation"} <= set(called.splitlines())
    assert (jobs["release"]["needs"], jobs["images"]["needs"]) == ("images", "ci")
