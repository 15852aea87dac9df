from pathlib import Path

import pytest

from detectors.catalogue.labels import read_labels
from detectors.errors import CatalogueError

LABEL_MAP = """
# people and cars
item {
  name: "/m/01g317"
  id: 1
  display_name: "person"
}
item { id: 3  name: 'car' }
"""


@pytest.mark.parametrize(
    ("name", "text", "labels"),
    [
        ("labels.txt", "person\n\n  motor car \n", ["person", "motor car"]),
        ("map.pbtxt", LABEL_MAP, {1: "person", 3: "car"}),
        (
            "coco.json",
            '{"categories": [{"id": 3, "name": "car"}, {"id": 1, "name": "person"}]}',
            {1: "person", 3: "car"},
        ),
    ],
)
def test_labels_are_read_from_every_supported_file(tmp_path: Path, name: str, text: str, labels: object) -> None:
    (tmp_path / name).write_text(text)

    assert read_labels(tmp_path / name) == labels


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("map.pbtxt", b"items {}", "no labels"),
        ("map.pbtxt", b'item { id: 1 name: "a" } item { id: 1 name: "b" }', "two labels for one class id"),
        ("coco.json", b'{"categories": [{"id": 1}]}', "name"),
        ("coco.json", b"[1]", "categories"),
        ("coco.json", b"{", "categories"),
        ("labels.txt", b"\xff\xfe", "UTF-8"),
    ],
)
def test_a_file_without_labels_is_an_error(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)

    with pytest.raises(CatalogueError, match=message) as caught:
        read_labels(tmp_path / name)

    assert str(tmp_path / name) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"none\.txt can't be read: No such file"):
        read_labels(tmp_path / "none.txt")
