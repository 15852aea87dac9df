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
        ("data.yaml", "path: pictures\nnc: 2\nnames: [person, yes]\n", ["person", "yes"]),
        ("data.yaml", "names:\n  0: person\n  1: motor car\n", ["person", "motor car"]),
        # Tags, which other loaders take for code, count for nothing.
        ("data.yaml", "names: !!python/object/apply:os.system [date]\n", ["date"]),
        ("data.yml", "names: {1: person, 3: 7}\n", {1: "person", 3: "7"}),
        ("data.yaml", "- person\n- car\n", ["person", "car"]),
        ("renamed.txt", "train: a\nnames:\n  - person\n  - car\n", ["person", "car"]),
        ("coco.names", "person\r\ncar\r\n", ["person", "car"]),
        ("config.json", '{"id2label": {"0": "person", "1": "car"}, "d_model": 64}', ["person", "car"]),
        ("list.json", '["person", "car"]', ["person", "car"]),
        ("ids.json", '{"2": "person", "4": "car"}', {2: "person", 4: "car"}),
        ("json.txt", '["person"]', ["person"]),
        ("marked.txt", "\ufeffperson\n", ["person"]),
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
        ("coco.json", b"[1]", "it needs `categories` of COCO"),
        ("coco.json", b"{", "is no JSON"),
        ("config.json", b'{"d_model": 64}', "`id2label` of Hugging Face"),
        ("deep.json", b"[" * 100_000, "is no JSON"),
        ("data.yaml", b"path: pictures\nnc: 2\n", "it needs `names`, as a data.yaml has them"),
        ("data.yaml", b"names: [a, [b]]\n", "it needs `names`"),
        ("data.yaml", b"names: {-1: a}\n", "the class id -1"),
        ("data.yaml", b"names: {a: b\n", "is no YAML"),
        ("labels.txt", b"\xff\xfe", "UTF-8"),
        ("labels.txt", b"a\0b", "no text file: it has zero bytes"),
        ("labels.txt", b" \n", "has no labels"),
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
