"""An exported program that can't be loaded says why, and what to do."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from detectors.catalogue import Input, ModelEntry
from detectors.digest import digest_of
from detectors.errors import ModelUnusable
from tests import tiny_models
from tests.conftest import DetectorProcesses


@pytest.fixture
def program(detector_processes: DetectorProcesses, tmp_path: Path) -> Path:
    detector_processes["pytorch"].run(tiny_models.write, "pt2", tmp_path / "tiny.pt2")
    return tmp_path / "tiny.pt2"


def rewritten(program: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """The file as another version of PyTorch would have written it."""
    with zipfile.ZipFile(program) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    (graph,) = (name for name in parts if name.endswith("models/model.json"))
    document = json.loads(parts[graph])
    change(document)
    with zipfile.ZipFile(program, "w") as archive:
        for name, data in {**parts, graph: json.dumps(document).encode()}.items():
            archive.writestr(name, data)


def refused(processes: DetectorProcesses, file: Path) -> str:
    entry = ModelEntry(
        name="tiny", runtime="pytorch", format="pt2", file=file, sha256=digest_of(file), labels=("a", "b", "c"),
        input=Input(width=tiny_models.SIZE, height=tiny_models.SIZE, layout="NHWC", dtype="uint8"),
    )  # fmt: skip
    with pytest.raises(ModelUnusable) as caught:
        processes["pytorch"].detect(entry, [])
    return str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document["schema_version"].update(major=5),
        lambda document: document["graph_module"]["graph"]["nodes"][0].update(
            target="torch.ops.aten.of_tomorrow.default"
        ),
        lambda document: document.pop("range_constraints"),
    ],
    ids=["another schema", "an unknown operator", "a field that is not there"],
)
def test_the_error_names_both_versions_of_pytorch(
    detector_processes: DetectorProcesses, program: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    rewritten(program, lambda document: document.update(torch_version="2.99.0"))
    rewritten(program, change)

    message = refused(detector_processes, program)

    assert (
        f"tiny: {program} can't be loaded: PyTorch 2.99.0 exported it, and this is PyTorch {torch.__version__}"
        in message
    )
    assert "export it again" in message


@pytest.mark.parametrize("kind", ["weights", "a pickle of a model", "text"])
def test_a_file_that_is_no_exported_program_is_refused(
    detector_processes: DetectorProcesses, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / "tiny.pt2"
    if kind == "text":
        file.write_text("no program")
    else:
        torch.save({"weight": torch.zeros(1)} if kind == "weights" else torch.nn.ReLU(), file)

    assert "it is no exported program" in refused(detector_processes, file)
