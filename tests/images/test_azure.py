"""The image for Azure Functions: its custom handler, started directly, with only /tmp writable. Microsoft's host would
need a storage account."""

import json
import time

import httpx
import pytest

from cli.address import free_port
from jobs.settings import ROOT
from tests.conftest import DetectorProcesses
from tests.functions_host import FOLDER, FunctionsHost, listens
from tests.images.conftest import Table
from tests.images.engine import docker, image, inside, inspect
from tests.services.waiting import wait_for

PICTURE = (ROOT / "samples" / "lunch-poll.png").read_bytes()
HANDLER = json.loads((FOLDER / "host.json").read_text())["customHandler"]["description"]
ALONE = ["--network", "host", "--read-only", "--tmpfs", "/tmp", "--security-opt", "no-new-privileges"]


def test_a_picture_gets_the_right_boxes(table: Table, detector_processes: DetectorProcesses) -> None:
    expected = detector_processes.shown("cards-pytorch", PICTURE)
    row = table.setdefault("azure", {})
    port = free_port("127.0.0.1")
    url = f"http://127.0.0.1:{port}"

    started = time.monotonic()
    own = ["--env", f"FUNCTIONS_CUSTOMHANDLER_PORT={port}", image("azure")]
    container = docker("run", "--detach", *ALONE, *own, HANDLER["defaultExecutablePath"], *HANDLER["arguments"])
    try:
        wait_for(lambda: listens(url), "the custom handler", 120)
        row["s until it takes events"] = f"{time.monotonic() - started:.1f}"
        with httpx.Client(base_url=url, timeout=100, trust_env=False) as client:
            returned = FunctionsHost(client).blob("blob", "https://account/in/card.png", "card.png", PICTURE)
        row["s to the first answer"] = f"{time.monotonic() - started:.1f}"
        users = docker("exec", container, "sh", "-c", "grep -h ^Uid: /proc/[0-9]*/status | awk '{print $2}'").split()
    finally:
        docker("rm", "--force", container)

    [content] = returned.outputs.values()
    job = json.loads(content)
    assert job["status"] == "succeeded"
    assert [found["label"] for found in job["detections"]] == [label for label, _ in expected]
    for found, (_, box) in zip(job["detections"], expected, strict=True):
        assert found["box"] == pytest.approx(box, abs=0.1)
    # The init, gunicorn and the command of this test run as root; the process with the model does not.
    assert "10001" in users


def test_the_host_finds_the_functions() -> None:
    environment = dict(pair.split("=", 1) for pair in inspect(image("azure"))["Config"]["Env"])

    listed = inside("azure", "ls", environment["AzureWebJobsScriptRoot"]).split()
    assert {"host.json", "detect", "blob", "queue"} <= set(listed)
