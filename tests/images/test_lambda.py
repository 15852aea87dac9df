"""The image for AWS Lambda, started as Lambda does: behind a runtime API, with only /tmp writable."""

import json
import time

import pytest

from jobs.settings import ROOT
from tests.conftest import DetectorProcesses
from tests.images.conftest import Table
from tests.images.engine import docker, image
from tests.lambda_runtime import LambdaRuntime, request

PICTURE = (ROOT / "samples" / "lunch-poll.png").read_bytes()
ALONE = ["--network", "host", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"]


def test_a_picture_gets_the_right_boxes(table: Table, detector_processes: DetectorProcesses) -> None:
    expected = detector_processes.shown("cards-pytorch", PICTURE)
    row = table.setdefault("lambda", {})

    started = time.monotonic()
    with LambdaRuntime() as runtime:
        container = docker(
            "run", "--detach", *ALONE, "--env", f"AWS_LAMBDA_RUNTIME_API={runtime.address}", image("lambda")
        )
        try:
            runtime.wait_until_asked(120)
            row["s until it takes events"] = f"{time.monotonic() - started:.1f}"
            answer = runtime.invoke(request(PICTURE))
            row["s to the first answer"] = f"{time.monotonic() - started:.1f}"
            row["MB at most"] = peak_megabytes(container)
        finally:
            docker("rm", "--force", container)

    job = json.loads(answer["body"])
    assert (answer["statusCode"], job["status"]) == (200, "succeeded")
    assert [found["label"] for found in job["detections"]] == [label for label, _ in expected]
    for found, (_, box) in zip(job["detections"], expected, strict=True):
        assert found["box"] == pytest.approx(box, abs=0.1)


def peak_megabytes(container: str) -> str:
    """Resident memory of its only process."""
    status = docker("exec", container, "cat", "/proc/1/status")
    return str(int(status.partition("VmHWM:")[2].split()[0]) >> 10)
