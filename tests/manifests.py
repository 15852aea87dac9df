"""The manifests of `deploy/` after Kustomize, and the workflows of GitHub Actions."""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from jobs.settings import ROOT
from tests.conftest import missing

OVERLAYS = ("cpu", "gpu", "managed")
COMPONENTS = ("worker-remote", "worker-libtorch")
Manifest = dict[str, Any]


def tool(name: str) -> str:
    """The path of a program: that of the development environment, else one on the PATH."""
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if found is None:
        missing(name)
    assert found is not None
    return found


@cache
def overlay(name: str) -> list[Manifest]:
    """The manifests of an overlay, as `kubectl apply --kustomize` would send them."""
    return rendered(ROOT / "deploy" / "overlays" / name)


def rendered(folder: Path) -> list[Manifest]:
    done = subprocess.run([tool("kubectl"), "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@cache
def worker_manifests() -> dict[str, list[Manifest]]:
    """Name of each worker -> its manifests before Kustomize."""
    files = [
        *(ROOT / "deploy" / "base").glob("worker-*.yaml"),
        *(ROOT / "deploy" / "components").glob("*/worker-*.yaml"),
    ]
    return {file.stem: list(yaml.safe_load_all(file.read_text())) for file in files}


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Name of each Deployment, StatefulSet and Job -> the pod that it makes."""
    makers = of_kind(manifests, "Deployment", "StatefulSet", "Job")
    return {maker["metadata"]["name"]: maker["spec"]["template"]["spec"] for maker in makers}


def workflows() -> dict[str, Manifest]:
    """File name -> workflow of GitHub Actions. YAML reads the key `on` as True."""
    return {file.name: yaml.safe_load(file.read_text()) for file in (ROOT / ".github" / "workflows").glob("*.yml")}


def commands(workflow: Manifest) -> str:
    """All commands of the workflow."""
    steps = [step for job in workflow["jobs"].values() for step in job.get("steps", ())]
    return "\n".join(step["run"] for step in steps if "run" in step)
