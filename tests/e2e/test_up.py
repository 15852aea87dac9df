"""`boxqueue up` with everything real: it serves, it repairs itself, and nothing of it stays."""

import json
import re
import socket
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from PIL import Image

from jobs.settings import ROOT
from tests.conftest import answered, wait_for
from tests.e2e.service import Start, Up


def picture(folder: Path) -> bytes:
    Image.new("RGB", (200, 120), "white").save(folder / "white.png")
    return (folder / "white.png").read_bytes()


def detect(up: Up, image: bytes, model: str = "cards-pytorch") -> dict[str, Any]:
    with httpx.Client(base_url=up.url, timeout=120) as client:
        answer = client.post(
            "/v1/jobs",
            files={"image": ("white.png", image)},
            data={"model": model, "cache": "false"},
            headers={"Prefer": "wait=60"},
        )
        return answered(client, answer.raise_for_status().json())


def test_it_serves_repairs_itself_and_leaves_nothing(start: Start, tmp_path: Path) -> None:
    image = picture(tmp_path)
    up = start()
    up.wait_until_up()
    assert detect(up, image)["status"] == "succeeded"

    # What is in its way is said to others.
    same_folder, same_port = start(), start("other", PORT=up.url.rpartition(":")[2])
    assert (same_folder.process.wait(30), same_port.process.wait(30)) == (1, 1)
    assert f"(process {up.process.pid}) uses the data folder" in same_folder.said
    assert "is taken" in same_port.said

    # What dies comes back.
    for words in ("-m worker pytorch", "redis-server"):
        victim = up.program(words)
        assert victim is not None
        victim.kill()
        wait_for(lambda old=victim, by=words: up.program(by) not in (None, old), f"another {words}")
    assert detect(up, image)["status"] == "succeeded"
    wait_for(lambda: "redis ended (terminated by SIGKILL) and is started again" in up.said, "a word about it")

    # Ctrl-C ends it all.
    family = up.family()
    assert up.end() == 0, up.said
    assert psutil.wait_procs(family, timeout=0)[1] == []
    assert up.said.endswith("Stopped.\n")
    with socket.create_server(("127.0.0.1", int(up.url.rpartition(":")[2]))):
        pass


def test_a_setting_that_cant_be_met_ends_it_with_the_workers_words(start: Start) -> None:
    up = start(DEVICE="cuda:63")

    assert up.process.wait(timeout=240) == 1
    assert re.search(r"worker-(pytorch|tensorflow) does not stay up \(exit status 2\)", up.said)
    assert "BOXQUEUE_DEVICE" in up.said


def test_whoever_is_killed_nothing_is_left_and_the_next_one_starts(start: Start) -> None:
    up = start()
    up.wait_until_up()
    family = up.family()

    up.supervisor().kill()

    assert up.process.wait(timeout=120) == 1
    assert "The supervisor ended (killed by SIGKILL)" in up.said
    assert psutil.wait_procs(family, timeout=0)[1] == []

    again = start(PORT=up.url.rpartition(":")[2])
    again.wait_until_up()
    family = again.family()

    again.process.kill()

    assert psutil.wait_procs(family, timeout=60)[1] == []


def batch_of(up: Up, model: str, image: bytes, count: int) -> str:
    """The address of a closed batch of so many jobs of one picture."""
    with httpx.Client(base_url=up.url, timeout=60) as client:
        batch = str(client.post("/v1/batches", json={"name": model}).raise_for_status().json()["links"]["self"])
        files = [("image", (f"{number}.png", image)) for number in range(count)]
        client.post(f"{batch}/jobs", data={"model": model, "cache": "false"}, files=files).raise_for_status()
        client.post(f"{batch}/close").raise_for_status()
    return batch


def results_of(up: Up, batch: str) -> list[dict[str, Any]]:
    with httpx.Client(base_url=up.url, timeout=60) as client:
        wait_for(lambda: client.get(batch).json()["finished_at"], f"the end of {batch}")
        return [json.loads(line) for line in client.get(f"{batch}/results").text.splitlines()]


def test_a_killed_queue_loses_nothing_the_other_does_not_notice_and_an_alias_moves_a_client(start: Start) -> None:
    image = (ROOT / "samples" / "lunch-poll.png").read_bytes()
    up = start(MODEL_ALIASES="cards=cards-pytorch", LEASE_SECONDS="3", SWEEP_SECONDS="1")
    up.wait_until_up()
    before = detect(up, image, "cards")
    batches = {model: batch_of(up, model, image, 100) for model in ("cards-tensorflow", "cards-pytorch")}

    first = up.url + batches["cards-tensorflow"]
    wait_for(lambda: httpx.get(first, timeout=60).json()["succeeded"], "the first answers")
    worker = up.program("-m worker tensorflow")
    assert worker is not None
    for process in [*worker.children(recursive=True), worker]:
        process.kill()

    results = {model: results_of(up, batch) for model, batch in batches.items()}
    for jobs in results.values():
        assert [job["status"] for job in jobs] == ["succeeded"] * 100
        assert len({json.dumps(job["detections"]) for job in jobs}) == 1
    assert {job["deaths"] for job in results["cards-pytorch"]} == {0}
    assert "worker-tensorflow ended (terminated by SIGKILL) and is started again" in up.said
    assert "worker-pytorch ended" not in up.said

    # The same request, after one variable has changed.
    up.end()
    up = start(MODEL_ALIASES="cards=cards-tensorflow", PORT=up.url.rpartition(":")[2])
    up.wait_until_up()
    after = detect(up, image, "cards")

    assert (before["model"], after["model"]) == ("cards-pytorch", "cards-tensorflow")
    assert [one["label"] for one in after["detections"]] == [one["label"] for one in before["detections"]]
    for one, other in zip(after["detections"], before["detections"], strict=True):
        assert one["box"] == pytest.approx(other["box"], abs=0.01)
        assert one["score"] == pytest.approx(other["score"], abs=1e-3)


def test_a_catalogue_with_models_of_one_framework_needs_no_worker_of_the_other(start: Start, tmp_path: Path) -> None:
    weights = ROOT / "weights"
    entries = (weights / "catalogue.toml").read_text().replace('"cards.pt2"', f'"{weights / "cards.pt2"}"')
    catalogue = tmp_path / "catalogue.toml"
    catalogue.write_text(entries[: entries.index("[cards-tensorflow]")])

    up = start(CATALOGUE=str(catalogue))
    up.wait_until_up()
    assert up.program("-m worker pytorch")
    assert not up.program("-m worker tensorflow")
    assert detect(up, picture(tmp_path))["status"] == "succeeded"
    assert up.end() == 0

    catalogue.write_text(entries[entries.index("[cards-frozen]") :].replace('"tensorflow"', '"paper"'))
    for refused, why in (
        (catalogue, "no model for a runtime that is installed here"),
        (tmp_path / "no", "can't be read"),
    ):
        wrong = start("refused", CATALOGUE=str(refused))
        assert wrong.process.wait(30) == 2
        assert why in wrong.said
