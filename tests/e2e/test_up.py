"""`boxqueue up` with real services: it serves, it restarts crashed processes, and it leaves no process behind.

The tests run in their order and share a running service if they can, because starting two frameworks takes long.
"""

import json
import os
import socket
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image

from jobs.settings import ROOT
from tests import catalogues
from tests.picture_files import png_of
from tests.services.environment import environment, free_port
from tests.services.programs import Start, Up, python
from tests.services.waiting import wait_for

pytestmark = pytest.mark.slow
WEIGHTS = ROOT / "weights"
BUNDLED: dict[str, catalogues.Entry] = tomllib.loads((WEIGHTS / "catalogue.toml").read_text())


class Shared:
    """Services that run one after the other, with the same folder and port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._started: list[Up] = []

    def up(self, model: str = "cards-pytorch") -> Up:
        """The running service, whatever its model. If none runs, a new one whose alias `cards` is this model."""
        if not self._started or self._started[-1].status() is not None:
            up = Up(
                self._folder / f"{len(self._started)}.log",
                data=self._folder / "data",
                port=self._port,
                model_aliases=f"cards={model}",
                lease_seconds=3,
                sweep_seconds=1,
            )
            self._started.append(up)
            up.wait_until_up()
        return self._started[-1]

    def close(self) -> None:
        for up in self._started:
            up.end()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    shared = Shared(tmp_path_factory.mktemp("up"))
    yield shared
    shared.close()


@pytest.fixture
def white(tmp_path: Path) -> bytes:
    Image.new("RGB", (200, 120), "white").save(tmp_path / "white.png")
    return (tmp_path / "white.png").read_bytes()


@pytest.fixture
def pytorch_alone(tmp_path: Path) -> Path:
    """A catalogue with models of one framework."""
    entry = BUNDLED["cards-pytorch"]
    alone = {"cards-pytorch": entry | {"file": str(WEIGHTS / entry["file"])}}
    return catalogues.write(tmp_path / "catalogue.toml", alone)


def test_up_serves_and_a_second_up_says_why_it_cannot_start(
    shared: Shared, start: Start, white: bytes, tmp_path: Path
) -> None:
    up = shared.up()
    with up.client() as client:
        assert client.detect("cards-pytorch", white)["status"] == "succeeded"

    same_folder, same_port = start(data=up.data), start(data=tmp_path / "other", port=up.port)

    assert (same_folder.wait(), same_port.wait()) == (1, 1)
    assert f"(process {up.pid}) uses the data folder" in same_folder.output
    assert "is taken" in same_port.output


def test_a_crashed_process_is_started_again(shared: Shared, white: bytes) -> None:
    up = shared.up()

    for words in ("-m worker pytorch", "redis-server"):
        up.kill_program(words)

    with up.client() as client:
        assert client.detect("cards-pytorch", white)["status"] == "succeeded"
    wait_for(
        lambda: "redis ended (terminated by SIGKILL) and is started again" in up.output, "the log line about redis"
    )


def test_a_killed_worker_loses_no_job_and_does_not_affect_the_other_worker(shared: Shared) -> None:
    up = shared.up()
    before = up.output
    image = (ROOT / "samples" / "lunch-poll.png").read_bytes()
    with up.client() as client:
        batches = {model: client.batch_of(model, [image] * 100) for model in ("cards-tensorflow", "cards-pytorch")}
        first = f"/v1/batches/{batches['cards-tensorflow']}"
        wait_for(lambda: client.get(first)["succeeded"], "the first answers")
        worker = up.program("-m worker tensorflow")
        assert worker is not None
        for process in [*worker.children(recursive=True), worker]:
            process.kill()

        results = {model: client.results(batch) for model, batch in batches.items()}

    for jobs in results.values():
        assert [job["status"] for job in jobs] == ["succeeded"] * 100
        assert len({json.dumps(job["detections"]) for job in jobs}) == 1
    assert {job["deaths"] for job in results["cards-pytorch"]} == {0}
    output = up.output.removeprefix(before)
    assert "worker-tensorflow ended (terminated by SIGKILL) and is started again" in output
    assert "worker-pytorch ended" not in output


def test_ingest_tells_what_became_of_every_file(shared: Shared, white: bytes, tmp_path: Path) -> None:
    folder, output = tmp_path / "scans", tmp_path / "results.jsonl"
    (folder / "@eaDir").mkdir(parents=True)
    for name in ("a.png", "scan", "@eaDir/thumbnail.png"):
        (folder / name).write_bytes(white)
    (folder / "cut.png").write_bytes(white[:60])
    (folder / "photo.HEIC").write_bytes((ROOT / "tests" / "pictures" / "turn1.heic").read_bytes())
    (folder / "huge.png").write_bytes(png_of(8, 60_000_000, b""))
    (folder / "gone.png").symlink_to(folder / "nowhere")
    (folder / "notes.txt").touch()
    os.mkfifo(folder / "pipe.png")

    command = python("cli", "ingest", str(folder), "-r", "--model", "cards-pytorch", "--output", str(output))
    done = subprocess.run(
        [*command, "--url", shared.up().url],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 1, done.stdout + done.stderr
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert sorted((line["source"], line["status"], line["error"] and line["error"]["code"]) for line in lines) == [
        ("a.png", "succeeded", None),
        ("cut.png", "failed", "picture_undecodable"),
        ("gone.png", "failed", "unreadable"),
        ("huge.png", "failed", "picture_too_large"),
        ("notes.txt", "skipped", "not_a_picture"),
        ("photo.HEIC", "succeeded", None),
        ("pipe.png", "skipped", "not_a_file"),
        ("scan", "succeeded", None),
    ]
    assert len({tuple(line) for line in lines}) == 1  # all have the same fields


def test_an_alias_moves_a_client_to_another_model_and_ctrl_c_leaves_no_process(shared: Shared) -> None:
    image = (ROOT / "samples" / "lunch-poll.png").read_bytes()
    up = shared.up("cards-pytorch")
    with up.client() as client:
        before = client.detect("cards", image)
    descendants = up.descendants()

    assert up.interrupt() == 0, up.output

    assert psutil.wait_procs(descendants, timeout=0)[1] == []
    assert up.output.endswith("Stopped.\n")
    with socket.create_server(("127.0.0.1", up.port)):
        pass

    # The same request, after one variable has changed.
    with shared.up("cards-tensorflow").client() as client:
        after = client.detect("cards", image)

    assert (before["model"], after["model"]) == ("cards-pytorch", "cards-tensorflow")
    assert [one["label"] for one in after["detections"]] == [one["label"] for one in before["detections"]]
    for one, other in zip(after["detections"], before["detections"], strict=True):
        assert one["box"] == pytest.approx(other["box"], abs=0.01)
        assert one["score"] == pytest.approx(other["score"], abs=1e-3)


def test_a_killed_service_leaves_no_process_and_the_next_one_starts(shared: Shared) -> None:
    up = shared.up()
    descendants = up.descendants()

    up.supervisor().kill()

    assert up.wait() == 1
    assert "The supervisor ended (killed by SIGKILL)" in up.output
    assert psutil.wait_procs(descendants, timeout=0)[1] == []

    again = shared.up()
    descendants = again.descendants()

    again.kill()

    assert psutil.wait_procs(descendants, timeout=60)[1] == []


def test_a_catalogue_with_models_of_one_framework_needs_no_worker_of_the_other(
    start: Start, pytorch_alone: Path, white: bytes, tmp_path: Path
) -> None:
    up = start(catalogue=pytorch_alone)
    up.wait_until_up()
    assert up.program("-m worker pytorch")
    assert not up.program("-m worker tensorflow")
    with up.client() as client:
        assert client.detect("cards-pytorch", white)["status"] == "succeeded"
    assert up.interrupt() == 0

    paper = {"cards-frozen": BUNDLED["cards-frozen"] | {"runtime": "paper"}}
    for refused, why in (
        (catalogues.write(pytorch_alone, paper), "no model for a runtime that is installed here"),
        (tmp_path / "no", "can't be read"),
    ):
        wrong = start(data=tmp_path / "refused", catalogue=refused)
        assert wrong.wait() == 2
        assert why in wrong.output


def test_up_ends_with_the_log_of_the_worker_if_a_setting_is_impossible(start: Start, pytorch_alone: Path) -> None:
    up = start(device="cuda:63", catalogue=pytorch_alone)

    assert up.wait() == 1
    assert "worker-pytorch does not stay up (exit status 2)" in up.output
    assert "BOXQUEUE_DEVICE" in up.output
