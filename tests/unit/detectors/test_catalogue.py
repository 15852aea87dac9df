import hashlib
import subprocess
from pathlib import Path

import pytest

from detectors.catalogue import Catalogue
from detectors.errors import CatalogueError, ModelUnusable, UnknownEntry

ENTRY = """
[cards]
runtime = "pytorch"
format = "pt2"
file = "model.pt2"
sha256 = "{sha256}"
labels = ["textbox", "image"]
[cards.input]
width = 64
height = 32
"""
MODEL = b"weights"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "model.pt2").write_bytes(MODEL)
    path = tmp_path / "catalogue.toml"
    path.write_text(ENTRY.format(sha256=hashlib.sha256(MODEL).hexdigest()))
    return path


def test_an_entry_is_found_by_name_and_alias(path: Path) -> None:
    catalogue = Catalogue.load(path, {"forms": "cards"})

    assert catalogue.get("forms") is catalogue.get("cards")
    assert catalogue.get("cards").file == path.parent / "model.pt2"
    assert list(catalogue.of_runtime("pytorch")) == ["cards"]


def test_an_unknown_model_names_the_known_ones(path: Path) -> None:
    with pytest.raises(UnknownEntry, match="cards, forms"):
        Catalogue.load(path, {"forms": "cards"}).get("crads")


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('runtime = "pytorch"', "", "runtime"),
        ("width = 64", "width = 0", "input.width"),
        ("height = 32", 'height = 32\nlayuot = "NHWC"', "input.layuot"),
        ('sha256 = "', 'sha256 = "x', "sha256"),
        ('labels = ["textbox", "image"]', "labels = []", "labels"),
    ],
)
def test_a_faulty_entry_is_named_with_its_file_and_field(path: Path, old: str, new: str, named: str) -> None:
    path.write_text(path.read_text().replace(old, new))

    with pytest.raises(CatalogueError) as caught:
        Catalogue.load(path)

    assert all(part in str(caught.value) for part in (str(path), "cards", named))


def test_no_catalogue_and_no_toml_are_told(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="No such file"):
        Catalogue.load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[cards")
    with pytest.raises(CatalogueError, match="not valid TOML"):
        Catalogue.load(tmp_path / "bad.toml")


@pytest.mark.parametrize("aliases", [{"forms": "nosuch"}, {"cards": "cards"}])
def test_an_alias_must_point_at_a_model_and_hide_none(path: Path, aliases: dict[str, str]) -> None:
    with pytest.raises(CatalogueError, match="BOXQUEUE_MODEL_ALIASES"):
        Catalogue.load(path, aliases)


def test_another_file_than_the_digest_names_is_refused(path: Path) -> None:
    entry = Catalogue.load(path).get("cards")
    entry.verify()
    (path.parent / "model.pt2").write_bytes(b"other weights")

    with pytest.raises(ModelUnusable, match=entry.sha256):
        entry.verify()


def test_a_folder_has_the_digest_of_what_sha256sum_lists(path: Path) -> None:
    folder = path.parent / "model"
    for name in ("b/inner", "a", "b-c", ".hidden", "ü"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "empty").mkdir()
    listed = "find . -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
    told = subprocess.run(listed, shell=True, cwd=folder, capture_output=True, text=True, check=True).stdout.split()[0]
    path.write_text(path.read_text().replace("model.pt2", "model").replace(hashlib.sha256(MODEL).hexdigest(), told))
    entry = Catalogue.load(path).get("cards")

    entry.verify()
    (folder / "a").rename(folder / "c")

    with pytest.raises(ModelUnusable, match=told):
        entry.verify()


def test_the_digest_tells_how_a_model_is_read_as_well(path: Path) -> None:
    before = Catalogue.load(path).get("cards").digest
    path.write_text(path.read_text().replace("width = 64", "width = 128"))

    assert Catalogue.load(path).get("cards").digest != before
