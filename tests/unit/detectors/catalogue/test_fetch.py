import hashlib
from pathlib import Path

import fsspec
import pytest

from detectors.catalogue import Catalogue, ModelEntry
from detectors.digest import digest_of
from detectors.errors import ModelUnusable
from tests import catalogues

MODEL = b"weights"
SHA256 = hashlib.sha256(MODEL).hexdigest()


def far(folder: Path, uri: str, sha256: str = SHA256) -> ModelEntry:
    catalogue = catalogues.write(folder / "catalogue.toml", {"far": catalogues.entry(file=uri, sha256=sha256)})
    return Catalogue.load(catalogue, cache=folder / "cache").get("far")


def cached(folder: Path) -> list[Path]:
    return [path for path in (folder / "cache").rglob("*") if path.is_file()]


def test_a_file_is_fetched_from_any_file_system_and_only_once(tmp_path: Path) -> None:
    bucket = fsspec.filesystem("memory")
    bucket.pipe_file("/bucket/model.pt2", MODEL)
    entry = far(tmp_path, "memory://bucket/model.pt2")

    entry.verify()
    bucket.rm("/bucket/model.pt2")
    entry.verify()

    assert entry.file.read_bytes() == MODEL
    assert cached(tmp_path) == [entry.file]
    assert entry.file.name == "model.pt2"


def test_a_folder_that_can_not_be_written_is_an_error(tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe_file("/bucket/model.pt2", MODEL)
    (tmp_path / "cache").write_text("a file in place of the folder")

    with pytest.raises(ModelUnusable, match=r"far: .* can't be read"):
        far(tmp_path, "memory://bucket/model.pt2").verify()


def test_all_files_of_a_folder_are_fetched(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere" / "saved"
    for name in ("saved_model.pb", "variables/variables.index"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    entry = far(tmp_path, f"file://{folder}", digest_of(folder))

    entry.verify()

    assert digest_of(entry.file) == entry.sha256
    assert len(cached(tmp_path)) == 2


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("memory://bucket/other.pt2", "has sha256"),
        ("memory://bucket/none.pt2", "can't be fetched"),
        ("nosuch://bucket/model.pt2", "can't be fetched: Protocol not known"),
    ],
)
def test_a_failed_fetch_or_a_wrong_file_leaves_nothing(tmp_path: Path, uri: str, message: str) -> None:
    fsspec.filesystem("memory").pipe_file("/bucket/other.pt2", b"other weights")

    with pytest.raises(ModelUnusable, match=message) as caught:
        far(tmp_path, uri).verify()

    assert all(part in str(caught.value) for part in ("far", uri))
    assert cached(tmp_path) == []


def test_a_fetch_that_breaks_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(_: object, __: str, target: str, **___: object) -> None:
        Path(target).write_bytes(MODEL[:3])
        raise OSError("connection reset")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "get", break_off)

    with pytest.raises(ModelUnusable, match="connection reset"):
        far(tmp_path, "memory://bucket/model.pt2").verify()

    assert cached(tmp_path) == []


def test_a_damaged_file_in_the_cache_is_refused(tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe_file("/bucket/model.pt2", MODEL)
    entry = far(tmp_path, "memory://bucket/model.pt2")
    entry.verify()
    entry.file.write_bytes(b"spoilt")

    with pytest.raises(ModelUnusable, match="far"):
        entry.verify()
