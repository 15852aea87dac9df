"""A catalogue whose file changes while it is used."""

import logging
import os
import time
from pathlib import Path

import pytest

from detectors.catalogue.live import LiveCatalogue
from detectors.errors import CatalogueError
from tests import catalogues


def write(path: Path, *names: str, digit: str = "0", seconds_ago: float = 60.0) -> None:
    catalogues.write(path, {name: catalogues.entry(sha256=digit * 64) for name in names})
    when = time.time() - seconds_ago
    os.utime(path, (when, when))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "catalogue.toml"
    write(path, "cards")
    return path


def test_a_catalogue_is_read_again_only_if_it_has_changed(path: Path) -> None:
    live = LiveCatalogue(path)
    before = live.now()
    assert live.now() is before

    write(path, "cards", "signs", seconds_ago=30)

    assert list(live.now().entries) == ["cards", "signs"]
    assert live.now() is live.now()


def test_a_change_of_one_of_several_catalogues_is_read(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    write(other, "signs")
    live = LiveCatalogue(path, other)

    write(other, "forms", seconds_ago=30)

    assert list(live.now().entries) == ["cards", "forms"]


@pytest.mark.parametrize("broken", ["[cards", "[cards]\nruntime = 3", None])
def test_an_invalid_catalogue_is_refused_once_and_the_old_one_stays(
    path: Path, broken: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    live = LiveCatalogue(path)
    before = live.now()

    if broken is None:
        path.unlink()
    else:
        path.write_text(broken)
        os.utime(path, (1e9, 1e9))
    with caplog.at_level(logging.ERROR):
        assert live.now() is before
        assert live.now() is before
    assert len(caplog.records) == 1
    assert str(path) in caplog.text
    assert "stays" in caplog.text

    write(path, "forms", seconds_ago=30)
    assert list(live.now().entries) == ["forms"]


def test_a_file_that_is_being_written_is_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detectors.catalogue.live.SETTLED_SECONDS", 30.0)
    live = LiveCatalogue(path)

    write(path, "half", seconds_ago=0)
    assert list(live.now().entries) == ["cards"]

    monkeypatch.setattr("detectors.catalogue.live.SETTLED_SECONDS", 0.0)
    assert list(live.now().entries) == ["half"]


def test_a_catalogue_that_was_read_elsewhere_stays_until_the_files_are_valid(path: Path) -> None:
    elsewhere = LiveCatalogue(path).now()
    path.write_text("[cards")
    os.utime(path, (1e9, 1e9))

    live = LiveCatalogue(path, last=elsewhere)
    assert live.now() is elsewhere

    with pytest.raises(CatalogueError, match=r"catalogue\.toml"):
        LiveCatalogue(path)
