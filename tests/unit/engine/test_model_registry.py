"""Which models a worker serves while its catalogue changes."""

import hashlib
import logging
import os
import time
from itertools import count
from pathlib import Path

import pytest

import engine.model_registry
from engine.model_registry import ModelRegistry
from jobs.settings import Settings
from tests import catalogues
from worker.plan import Plan

# A file that was just written is not read, and a file of the same time and size counts as the same file.
_times = count(1_000_000_000)


class Folder:
    """A catalogue and its model files."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.settings = Settings(catalogue=(path / "catalogue.toml",), data=path)

    def model(self, file: str, content: bytes) -> str:
        (self._path / file).write_bytes(content)
        return hashlib.sha256(content).hexdigest()

    def catalogue(self, **entries: catalogues.Entry) -> None:
        self.write(catalogues.text(entries))

    def write(self, text: str) -> None:
        path = self._path / "catalogue.toml"
        path.write_text(text)
        when = next(_times)
        os.utime(path, (when, when))


def entry(sha256: str, **fields: object) -> catalogues.Entry:
    return catalogues.entry(**{"file": "model", "sha256": sha256, **fields})


def digests(registry: ModelRegistry) -> dict[str, str]:
    return Plan("id", "pytorch", registry.models, ("cpu",), 1, 1, {}).digests


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    folder.catalogue(cards=entry(folder.model("model", b"first")))
    return folder


def test_a_changed_entry_is_a_new_version(folder: Folder) -> None:
    registry = ModelRegistry(folder.settings, "pytorch")
    before = digests(registry)

    assert not registry.reload()
    folder.catalogue(cards=entry(folder.model("other", b"second"), file="other"), signs=entry("0" * 64))

    assert registry.reload()
    assert list(digests(registry)) == ["cards"]  # the file of `signs` has another digest
    assert digests(registry) != before


def test_a_new_batch_size_is_used_and_makes_no_new_version(folder: Folder) -> None:
    registry = ModelRegistry(folder.settings, "pytorch")
    before = digests(registry)

    folder.catalogue(cards=entry(folder.model("model", b"first"), batch_size=2))

    assert registry.reload()
    assert digests(registry) == before
    assert registry.models["cards"].batch_size == 2


def test_a_file_with_another_digest_keeps_the_old_version_and_is_tried_again(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    registry = ModelRegistry(folder.settings, "pytorch")
    before = digests(registry)
    second = hashlib.sha256(b"second").hexdigest()

    with caplog.at_level(logging.ERROR):
        folder.catalogue(cards=entry(second, file="other"))
        registry.reload()
    assert digests(registry) == before
    assert "Its former version stays in use." in caplog.text

    folder.model("other", b"second")
    assert not registry.reload()  # not at every check
    monkeypatch.setattr(engine.model_registry, "RECHECK_SECONDS", 0.0)
    registry._check_again_at = time.monotonic()
    assert registry.reload()
    assert registry.models["cards"].sha256 == second


def test_the_same_error_is_logged_once(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engine.model_registry, "RECHECK_SECONDS", 0.0)
    folder.catalogue(cards=entry("1" * 64))

    with caplog.at_level(logging.ERROR):
        registry = ModelRegistry(folder.settings, "pytorch")
        for _ in range(3):
            assert not registry.reload()

    assert len(caplog.records) == 1
    assert "It is not served." in caplog.text


def test_a_model_that_can_not_be_loaded_is_left_out_until_the_catalogue_changes(folder: Folder) -> None:
    registry = ModelRegistry(folder.settings, "pytorch")
    cards = registry.models["cards"]

    registry.drop(cards)
    registry.reload()
    assert not registry.models
    assert not registry.loadable(cards)

    folder.catalogue(cards=entry(cards.sha256))
    registry.reload()
    assert registry.loadable(cards)
    assert list(registry.models) == ["cards"]


def test_a_new_process_serves_the_models_of_its_plan_if_the_catalogue_is_broken(folder: Folder) -> None:
    models = ModelRegistry(folder.settings, "pytorch").models
    plan = Plan.from_json(Plan("id", "pytorch", models, ("cpu",), 1, 1, {}).to_json())
    folder.write("[cards")

    registry = ModelRegistry(folder.settings, "pytorch", plan.models)
    registry.reload()

    assert registry.models == models
