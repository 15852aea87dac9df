"""The devices of a worker's processes."""

import logging
import subprocess
from types import SimpleNamespace

import pytest

import worker.plan
from detectors.errors import DeviceUnavailable


def machine(monkeypatch: pytest.MonkeyPatch, gpu: bool, *devices: str) -> list[list[str]]:
    """A machine with or without a GPU driver, on which the framework lists these devices. Returns the commands run."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        lines = "".join(f"{worker.plan._DEVICE_PREFIX}{device}\n" for device in devices)
        return subprocess.CompletedProcess(command, 0 if devices else 1, "a banner\n" + lines, "no driver")

    monkeypatch.setattr(worker.plan, "_has_gpu", lambda: gpu)
    monkeypatch.setattr(worker.plan, "subprocess", SimpleNamespace(run=run))
    return commands


@pytest.mark.parametrize("wanted", ["auto", "cpu"])
def test_without_a_gpu_no_framework_is_loaded(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    commands = machine(monkeypatch, False)

    assert worker.plan._devices(wanted, "pytorch") == ("cpu",)
    assert commands == []


@pytest.mark.parametrize(
    ("wanted", "devices"), [("auto", ("cuda:0", "cuda:1")), ("cuda", ("cuda:0", "cuda:1")), ("cuda:1", ("cuda:1",))]
)
def test_every_gpu_is_used_unless_one_is_named(
    monkeypatch: pytest.MonkeyPatch, wanted: str, devices: tuple[str, ...]
) -> None:
    machine(monkeypatch, True, "cuda:0", "cuda:1")

    assert worker.plan._devices(wanted, "pytorch") == devices


def test_the_cpu_is_used_if_a_framework_cannot_list_its_devices(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    machine(monkeypatch, True)

    with caplog.at_level(logging.ERROR):
        assert worker.plan._devices("auto", "pytorch") == ("cpu",)
    assert "the devices of pytorch could not be listed: no driver" in caplog.text


def test_a_missing_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, True, "cuda:0")

    with pytest.raises(DeviceUnavailable):
        worker.plan._devices("cuda:1", "pytorch")


def test_a_model_server_chooses_its_own_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = machine(monkeypatch, True, "cuda:0")

    assert worker.plan._devices("cuda", "remote") == ("remote",)
    assert commands == []
