"""The files that images are built from: the build context, and that all Dockerfiles agree."""

import json
import re
from pathlib import Path

import pytest

from jobs.settings import ROOT

DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
# Clouds start, check and end these functions.
FUNCTIONS = {"lambda": ["python", "-m", "awslambdaric"], "azure": ["tini", "--"]}
# Microsoft's Functions host has to run as root; the process that reads pictures drops root itself.
AS_ROOT = ("azure",)
every_dockerfile = pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.stem)


def copied(file: Path) -> set[str]:
    """The paths that a Dockerfile copies from the checkout."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", file.read_text(), re.MULTILINE)
    return {source for line in lines for source in line.split()[:-1]}


def arguments(file: Path) -> dict[str, str]:
    """Name -> default of the build arguments."""
    return dict(re.findall(r'^ARG (\w+)="?([^"\n]*)"?$', file.read_text(), re.MULTILINE))


def test_the_builder_gets_what_the_images_copy_and_nothing_else() -> None:
    first, *others = (line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#")
    let_in = {line.removeprefix("!") for line in others if line.startswith("!")}

    assert first == "*"
    assert let_in == {source.split("/")[0] for file in DOCKERFILES for source in copied(file)}


def test_copied_files_are_under_version_control() -> None:
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}

    assert not {source for file in DOCKERFILES for source in copied(file)} & ignored


@every_dockerfile
def test_every_build_argument_is_in_the_image_metadata(file: Path) -> None:
    options = re.findall(r'(?:BUILD_OPTIONS|build-options)="(.*)"', file.read_text())
    separate = {"COMMIT_SHA", "BRANCH_NAME", "BUILD_DATE"}

    assert options == [options[0]] * 2
    assert re.findall(r"(\w+)=\$\{\1\}", options[0]) == [name for name in arguments(file) if name not in separate]
    assert separate <= arguments(file).keys()


@every_dockerfile
def test_a_dockerfile_has_a_user_an_init_and_a_health_check(file: Path) -> None:
    final = file.read_text().rpartition("\nFROM ")[2]
    entrypoint = json.dumps(FUNCTIONS.get(file.stem, ["tini", "--"]))

    assert f"\nENTRYPOINT {entrypoint}\n" in final
    assert ("\nUSER 10001:10001\n" in final) == (file.stem not in AS_ROOT)
    assert ("\nHEALTHCHECK " in final) == (file.stem not in FUNCTIONS)


@every_dockerfile
def test_the_bake_file_has_every_dockerfile(file: Path) -> None:
    bake = (ROOT / "docker" / "bake.hcl").read_text()

    blocks = dict(re.findall(r"^((?:target|group) \S+) {\n(.*?)^}", bake, re.MULTILINE | re.DOTALL))
    assert f'"docker/{file.name}"' in blocks[f'target "{file.stem}"']
    assert f'"{file.stem}"' in blocks['group "default"']


def test_the_makefile_passes_every_build_argument_on() -> None:
    makefile = (ROOT / "Makefile").read_text()

    for file in DOCKERFILES:
        for name in arguments(file):
            assert re.search(rf"\b{name}\b", makefile)
