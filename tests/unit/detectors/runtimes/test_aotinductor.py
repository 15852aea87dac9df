"""A package for another machine is refused by every runtime that takes packages, before its code is run."""

import json
import zipfile
from pathlib import Path

import pytest

from detectors.catalogue import Input, ModelEntry
from detectors.digest import digest_of
from detectors.errors import ModelUnusable
from tests.conftest import DetectorProcesses


@pytest.mark.parametrize("runtime", ["pytorch", pytest.param("libtorch", marks=pytest.mark.libtorch)])
@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({"BOXQUEUE_TORCH": "1.0.0"}, "PyTorch 1.0.0 compiled it, and this is 2."),
        ({"BOXQUEUE_INSTRUCTIONS": "avx9000 sse4_2"}, "a processor with avx9000, which this one lacks"),
        ({"AOTI_DEVICE_KEY": "cuda"}, "compiled for cuda, not for cpu"),
        (
            {"BOXQUEUE_PICTURES": "uint8 64 × 32 NHWC"},
            "for uint8 64 × 32 NHWC, but its entry says float32 32 × 32 NCHW",
        ),
        (None, "it is no AOTInductor package"),
    ],
)
def test_a_package_for_another_machine_is_refused(
    detector_processes: DetectorProcesses,
    tmp_path: Path,
    metadata: dict[str, str] | None,
    sentence: str,
    runtime: str,
) -> None:
    file = tmp_path / "package.pt2"
    with zipfile.ZipFile(file, "w") as package:
        if metadata is not None:
            package.writestr(
                "package/data/aotinductor/model/x_metadata.json", json.dumps({"AOTI_DEVICE_KEY": "cpu", **metadata})
            )
        package.writestr("package/version", "1")
    entry = ModelEntry(
        name="foreign", runtime=runtime, format="aotinductor", file=file, sha256=digest_of(file), labels=("a",),
        input=Input(width=32, height=32),
    )  # fmt: skip

    with pytest.raises(ModelUnusable, match=sentence):
        detector_processes[runtime].detect(entry, [])
