import hashlib
import os
import shutil
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from jobs.errors import ConfigurationError, PictureMissing, StoreUnavailable
from jobs.image_store import ImageStore

DATA = b"the bytes of a picture"
NAME = hashlib.sha256(DATA).hexdigest()
OTHER = hashlib.sha256(b"another").hexdigest()


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ImageStore:
    url = f"file://{tmp_path}/images" if request.param == "file" else f"memory://{tmp_path.name}"
    store = ImageStore(url)
    store.prepare()
    return store


def test_a_stored_picture_is_read_back(store: ImageStore) -> None:
    store.put(DATA, NAME)
    store.put(DATA, NAME)

    assert store.get(NAME) == DATA
    assert store.age_seconds(NAME) < 60


def test_a_picture_that_was_never_stored_is_missing(store: ImageStore) -> None:
    store.put(b"another", OTHER)

    with pytest.raises(PictureMissing):
        store.get(NAME)


def test_a_deleted_picture_is_missing(store: ImageStore) -> None:
    store.put(b"another", OTHER)
    store.put(DATA, NAME)
    store.delete(NAME)
    store.delete(NAME)

    with pytest.raises(PictureMissing):
        store.get(NAME)


def test_a_read_succeeds_if_the_store_returns_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ImageStore(f"file://{tmp_path}/images")
    store.prepare()
    store.put(DATA, NAME)
    shutil.move(tmp_path / "images", tmp_path / "away")
    monkeypatch.setattr(store, "check", lambda: shutil.move(tmp_path / "away", tmp_path / "images"))

    assert store.get(NAME) == DATA


def test_a_missing_store_is_an_outage_and_not_a_missing_picture(tmp_path: Path) -> None:
    store = ImageStore(f"file://{tmp_path}/images")
    store.prepare()
    store.put(DATA, NAME)
    shutil.move(tmp_path / "images", tmp_path / "away")

    with pytest.raises(StoreUnavailable):
        store.get(NAME)
    with pytest.raises(StoreUnavailable):
        store.put(DATA, NAME)
    with pytest.raises(StoreUnavailable):
        store.check()


class Refused(Exception):
    """An error of a bucket's library. Like botocore's errors, it is not an OSError."""


class UnreachableBucket(MemoryFileSystem):
    protocol = "unreachable"

    def _refuse(self, *_: object, **__: object) -> None:
        raise Refused("no answer")

    makedirs = ls = pipe_file = cat_file = modified = rm_file = _refuse


def test_a_bucket_that_does_not_answer_is_an_outage() -> None:
    fsspec.register_implementation("unreachable", UnreachableBucket, clobber=True)
    store = ImageStore("unreachable://pictures")
    calls = [store.prepare, store.check, lambda: store.put(DATA, NAME), lambda: store.get(NAME)]
    calls += [lambda: store.age_seconds(NAME), lambda: store.delete(NAME), lambda: store.delete_old(NAME, 60)]

    for call in calls:
        with pytest.raises(StoreUnavailable, match="no answer"):
            call()


def test_a_failed_write_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    store = ImageStore(f"file://{tmp_path}/images")
    store.prepare()
    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(StoreUnavailable, match="No space left"):
        store.put(DATA, NAME)

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_picture_is_synced_before_its_rename_and_its_folders_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ImageStore(f"file://{tmp_path}/images")
    store.prepare()
    folder = tmp_path / "images" / NAME[0]
    synced: list[tuple[Path, bool]] = []
    fsync = os.fsync

    def note(handle: int) -> None:
        synced.append((Path(os.readlink(f"/proc/self/fd/{handle}")), (folder / NAME).exists()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", note)
    store.put(DATA, NAME)

    (file, named), *folders = synced
    assert (file.parent, named) == (folder, False)
    assert sorted(folders) == [(tmp_path / "images", True), (folder, True)]


def test_an_unknown_protocol_names_the_setting() -> None:
    with pytest.raises(ConfigurationError, match="BOXQUEUE_STORE_URL"):
        ImageStore("nosuch://bucket")


def test_an_empty_store_is_an_outage_and_not_a_missing_picture(store: ImageStore) -> None:
    """The folder of a disk that is not mounted exists and is empty."""
    with pytest.raises(StoreUnavailable, match="empty"):
        store.get(NAME)


def test_files_of_crashed_writers_are_removed_and_files_of_live_ones_stay(tmp_path: Path) -> None:
    store = ImageStore(f"file://{tmp_path}/images")
    store.prepare()
    store.put(DATA, NAME)
    folder = tmp_path / "images" / NAME[0]
    left, being_written = folder / f".{NAME}.left", folder / f".{NAME}.new"
    for path in (left, being_written):
        path.write_bytes(b"the")
    os.utime(left, (0, 0))

    ImageStore(f"file://{tmp_path}/images").prepare()

    assert sorted(folder.iterdir()) == sorted([being_written, folder / NAME])


def test_an_old_picture_that_was_stored_again_is_not_deleted(tmp_path: Path) -> None:
    store = ImageStore(f"file://{tmp_path}/images")
    store.prepare()
    store.put(DATA, NAME)
    (file,) = (tmp_path / "images").rglob(NAME)
    os.utime(file, (0, 0))

    store.put(DATA, NAME)
    store.delete_old(NAME, 60)
    assert store.get(NAME) == DATA

    os.utime(file, (0, 0))
    store.delete_old(NAME, 60)
    store.delete_old(NAME, 60)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_bucket_deletes_only_old_pictures(tmp_path: Path) -> None:
    store = ImageStore(f"memory://{tmp_path.name}")
    store.put(b"another", OTHER)
    store.put(DATA, NAME)

    store.delete_old(NAME, 60)
    assert store.get(NAME) == DATA

    store.delete_old(NAME, 0)
    store.delete_old(NAME, 0)
    with pytest.raises(PictureMissing):
        store.get(NAME)


def test_an_unwritable_folder_is_an_outage(tmp_path: Path) -> None:
    store = ImageStore(f"file://{tmp_path}/images")
    (tmp_path / "images").write_bytes(b"a file in the way")

    for call in (store.prepare, store.check, lambda: store.put(DATA, NAME), lambda: store.delete_old(NAME, 60)):
        with pytest.raises(StoreUnavailable):
            call()
