from collections.abc import Collection
from pathlib import Path

import pytest

from jobs.annotated_pictures import AnnotatedPictures
from jobs.errors import StoreUnavailable
from jobs.image_store import ImageStore
from jobs.tables import new_id


@pytest.fixture(params=["file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder, and a bucket."""
    (tmp_path / "images").mkdir()
    return f"file://{tmp_path}/images" if request.param == "file" else f"memory://{tmp_path.name}{new_id()}"


def test_a_picture_is_found_once_it_is_kept(url: str) -> None:
    annotated = AnnotatedPictures(url, 1000)
    name = annotated.name(new_id(), 1, 0.5)

    assert annotated.find(name) is None
    annotated.keep(name, b"drawn")

    assert annotated.find(name) == b"drawn"
    assert annotated.find(annotated.name(new_id(), 1, 0.5)) is None


def test_without_room_no_picture_is_kept(url: str) -> None:
    annotated = AnnotatedPictures(url, 0)
    annotated.keep("name", b"drawn")

    assert annotated.find("name") is None
    assert AnnotatedPictures(url, 1000).find("name") is None


def test_the_pictures_of_the_oldest_jobs_are_deleted_beyond_the_limit(url: str) -> None:
    annotated = AnnotatedPictures(url, 25)
    names = [annotated.name(new_id(), 1, "default") for _ in range(4)]
    for name in names:
        annotated.keep(name, bytes(10))

    assert annotated.trim(lambda ids: ids) == 2

    assert [annotated.find(name) is not None for name in names] == [False, False, True, True]


def test_the_pictures_of_deleted_jobs_are_deleted(url: str) -> None:
    annotated = AnnotatedPictures(url, 1000)
    gone, there = new_id(), new_id()
    for job_id in (gone, there):
        annotated.keep(annotated.name(job_id, 1, 0.1), b"drawn")

    def existing(ids: Collection[str]) -> set[str]:
        assert set(ids) == {gone, there}
        return {there}

    assert annotated.trim(existing) == 1
    assert annotated.find(annotated.name(gone, 1, 0.1)) is None
    assert annotated.find(annotated.name(there, 1, 0.1)) == b"drawn"


def test_nothing_to_delete_is_no_error(url: str) -> None:
    assert AnnotatedPictures(url, 1000).trim(lambda ids: ids) == 0


def test_a_store_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    annotated = AnnotatedPictures(f"file://{tmp_path}/missing", 1000)

    with pytest.raises(StoreUnavailable):
        annotated.keep("name", b"drawn")


def test_a_drawn_picture_alone_is_no_store_of_pictures(url: str) -> None:
    """It may have been kept in the empty folder of a disk that is not mounted any more."""
    AnnotatedPictures(url, 1000).keep("name", b"drawn")

    with pytest.raises(StoreUnavailable, match="empty"):
        ImageStore(url).get("0" * 64)
