import hashlib
import subprocess
from pathlib import Path

import pytest

from detectors.catalogue import Catalogue, ModelEntry, entries
from detectors.errors import CatalogueError, ModelUnusable, UnknownModel

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
    catalogue = Catalogue.load(path, aliases={"forms": "cards"})

    assert catalogue.get("forms") is catalogue.get("cards")
    assert catalogue.get("cards").file == path.parent / "model.pt2"
    assert list(catalogue.entries_for_runtime("pytorch")) == ["cards"]


def test_an_unknown_model_names_the_known_ones(path: Path) -> None:
    with pytest.raises(UnknownModel, match="cards, forms"):
        Catalogue.load(path, aliases={"forms": "cards"}).get("crads")


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('runtime = "pytorch"', "", "runtime"),
        ("width = 64", "width = 0", "input.width"),
        ("height = 32", 'height = 32\nlayuot = "NHWC"', "input.layuot"),
        ('sha256 = "', 'sha256 = "x', "sha256"),
        ('labels = ["textbox", "image"]', "labels = []", "labels"),
        ('labels = ["textbox", "image"]', 'labels = ["textbox", "image"]\nbatch_size = "many"', "batch_size"),
        ('labels = ["textbox", "image"]', 'labels = ["textbox", "image"]\nbatch_size = 0', "batch_size"),
    ],
)
def test_a_faulty_entry_is_named_with_its_file_and_field(path: Path, old: str, new: str, named: str) -> None:
    path.write_text(path.read_text().replace(old, new))

    with pytest.raises(CatalogueError) as caught:
        Catalogue.load(path)

    assert all(part in str(caught.value) for part in (str(path), "cards", named))


def test_a_missing_catalogue_and_invalid_toml_are_errors(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="No such file"):
        Catalogue.load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[cards")
    with pytest.raises(CatalogueError, match="not valid TOML"):
        Catalogue.load(tmp_path / "bad.toml")


@pytest.mark.parametrize("aliases", [{"forms": "nosuch"}, {"cards": "cards"}])
def test_an_alias_must_name_a_model_and_must_not_be_the_name_of_one(path: Path, aliases: dict[str, str]) -> None:
    with pytest.raises(CatalogueError, match="BOXQUEUE_MODEL_ALIASES"):
        Catalogue.load(path, aliases=aliases)


def test_a_file_with_another_digest_is_refused(path: Path) -> None:
    entry = Catalogue.load(path).get("cards")
    entry.verify()
    (path.parent / "model.pt2").write_bytes(b"other weights")

    with pytest.raises(ModelUnusable, match=entry.sha256):
        entry.verify()


def test_a_missing_model_file_is_an_error(path: Path) -> None:
    entry = Catalogue.load(path).get("cards")
    entry.file.unlink()

    with pytest.raises(ModelUnusable, match=f"cards: {entry.file} can't be read: No such file .* Put the file there"):
        entry.verify()


def test_a_folder_has_the_digest_of_what_sha256sum_lists(path: Path) -> None:
    folder = path.parent / "model"
    for name in ("b/inner", "a", "b-c", ".hidden", "ü"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "empty").mkdir()
    listed = "find . -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
    done = subprocess.run(listed, shell=True, cwd=folder, capture_output=True, text=True, check=True)
    digest = done.stdout.split()[0]
    path.write_text(path.read_text().replace("model.pt2", "model").replace(hashlib.sha256(MODEL).hexdigest(), digest))
    entry = Catalogue.load(path).get("cards")

    entry.verify()
    (folder / "a").rename(folder / "c")

    with pytest.raises(ModelUnusable, match=digest):
        entry.verify()


def test_the_digest_covers_input_and_output(path: Path) -> None:
    before = Catalogue.load(path).get("cards").digest
    path.write_text(path.read_text().replace("width = 64", "width = 128"))

    assert Catalogue.load(path).get("cards").digest != before


def test_the_digest_covers_the_revision_of_the_pipeline(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # So a worker with other code for pictures or boxes claims none of these jobs, and its answers are not repeated.
    before = Catalogue.load(path).get("cards").digest
    monkeypatch.setattr(entries, "PIPELINE_REVISION", entries.PIPELINE_REVISION + 1)

    assert Catalogue.load(path).get("cards").digest != before


def test_the_precision_is_part_of_a_version_and_the_layout_is_not(path: Path) -> None:
    def digest(more: str) -> str:
        text = ENTRY.format(sha256=hashlib.sha256(MODEL).hexdigest())
        path.write_text(text.replace("labels =", f"{more}\nlabels ="))
        return Catalogue.load(path).get("cards").digest

    plain = digest("")

    assert digest("channels_last = true") == digest('precision = "full"') == plain
    assert len({plain, digest('precision = "half"'), digest('precision = "bfloat16"')}) == 3


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("aotinductor", 'precision = "half"'),
        ("saved_model", 'precision = "half"'),
        ("torchscript", "channels_last = true"),
    ],
)
def test_fields_that_the_format_does_not_support_are_refused(path: Path, kind: str, field: str) -> None:
    path.write_text(path.read_text().replace('format = "pt2"', f'format = "{kind}"\n{field}'))

    with pytest.raises(CatalogueError, match=f"{field.partition(' ')[0]} is for the formats .*, not for {kind}"):
        Catalogue.load(path)


def test_several_catalogues_are_read_as_one(path: Path) -> None:
    other = path.with_name("other.toml")
    other.write_text(path.read_text().replace("[cards", "[forms"))

    assert list(Catalogue.load(path, other, aliases={"f": "forms"}).entries) == ["cards", "forms"]
    with pytest.raises(CatalogueError, match="cards: another catalogue"):
        Catalogue.load(path, path)


@pytest.mark.parametrize(
    ("labels", "names", "ids"),
    [
        ('["a", "b"]', ("a", "b"), [0, 1]),
        ('{ 90 = "b", 1 = "a" }', ("a", "b"), [1, 90]),
        ('"labels.txt"', ("a", "b"), [0, 1]),
        ('"labels.json"', ("a", "b"), [1, 90]),
    ],
)
def test_labels_are_a_list_or_a_table_of_ids_or_a_file(
    path: Path, labels: str, names: tuple[str, ...], ids: list[int]
) -> None:
    (path.parent / "labels.txt").write_text("a\nb\n")
    (path.parent / "labels.json").write_text('{"categories": [{"id": 90, "name": "b"}, {"id": 1, "name": "a"}]}')
    path.write_text(path.read_text().replace('["textbox", "image"]', labels))

    entry = Catalogue.load(path).get("cards")

    assert entry.labels == names
    assert list(entry.class_ids) == ids


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ('"none.txt"', "can't be read"),
        ('{ one = "a" }', "one"),
        ('["a", "b"]\nids = [1, 1]', "different ids"),
        ('["a", "b"]\nids = [1]', "different ids"),
        ('{ 1 = "a" }\noutput.first_class = 1', "first_class"),
    ],
)
def test_invalid_labels_are_an_error(path: Path, labels: str, message: str) -> None:
    path.write_text(path.read_text().replace('["textbox", "image"]', labels))

    with pytest.raises(CatalogueError, match=message) as caught:
        Catalogue.load(path)

    assert all(part in str(caught.value) for part in (str(path), "cards"))


def test_a_field_that_a_model_does_not_use_is_no_part_of_its_digest(path: Path) -> None:
    before = Catalogue.load(path).get("cards").digest
    path.write_text(path.read_text() + '[cards.output]\nbox_order = "xyxy"\nseveral_classes = false\n')

    assert Catalogue.load(path).get("cards").digest == before


def test_models_of_torchvision_need_neither_input_nor_output(path: Path) -> None:
    text = path.read_text().replace('format = "pt2"', 'format = "torchvision"\nbuilder = "ssd300_vgg16"')
    path.write_text(text.partition("[cards.input]")[0] + "[cards.output]\nfloor_score = 0.2\n")

    entry = Catalogue.load(path).get("cards")

    assert entry.output.wanted == ["boxes", "scores", "labels"]
    assert (entry.input.resize, entry.output.floor_score) == ("none", 0.2)
    assert list(entry.class_ids) == [1, 2]


SERVED = """
[distant]
runtime = "remote"
format = "oip"
labels = ["textbox", "image"]
server = { url = "http://models:8000", model = "cards", version = "3" }
input = { name = "image", width = 64, height = 32 }
"""


def served(folder: Path, *changes: tuple[str, str]) -> Catalogue:
    path = folder / "served.toml"
    text = SERVED
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return Catalogue.load(path)


def test_a_model_on_a_server_has_no_file(tmp_path: Path) -> None:
    entry = served(tmp_path).get("distant")

    entry.verify()
    assert entry.location == "http://models:8000 cards version 3"
    # A worker sends the entry to its processes in this form.
    assert ModelEntry.model_validate(entry.model_dump(mode="json")) == entry


@pytest.mark.parametrize(
    "change",
    [("models:8000", "models:8001"), ('"cards"', '"forms"'), ('version = "3"', 'version = "4"'), ("oip", "tf_serving")],
)
def test_another_server_model_or_version_is_another_digest(tmp_path: Path, change: tuple[str, str]) -> None:
    names = ("input = {", 'output = { boxes = "b", scores = "s", classes = "c" }\ninput = {')

    assert served(tmp_path, names).get("distant").digest != served(tmp_path, names, change).get("distant").digest


def test_the_timeout_of_a_server_is_no_part_of_the_digest(tmp_path: Path) -> None:
    slow = ('version = "3"', 'version = "3", timeout_s = 60, requests = 1, binary = true')

    assert served(tmp_path).get("distant").digest == served(tmp_path, slow).get("distant").digest


def test_answers_are_cached_only_if_the_version_is_known(path: Path, tmp_path: Path) -> None:
    assert Catalogue.load(path).get("cards").is_reproducible
    assert served(tmp_path).get("distant").is_reproducible
    assert not served(tmp_path, (', version = "3"', "")).get("distant").is_reproducible


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("server = {", "#", "needs a table server"),
        ('format = "oip"', 'format = "pt2"', "oip or tf_serving"),
        ('format = "oip"', 'format = "oip"\nfile = "model.pt2"', "no file"),
        ('name = "image", ', "", "input.name"),
        ('format = "oip"', 'format = "tf_serving"', "names of the outputs"),
        ('version = "3"', 'encoding = "png"', "tf_serving"),
        ("http://models:8000", "http://me:secret@models:8000", "server.url"),
        ("http://models:8000", "grpc://models:8000", "server.url"),
        ('version = "3"', "timeout_s = 600", "server.timeout_s"),
    ],
)
def test_an_invalid_entry_of_a_server_is_an_error(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(CatalogueError, match=message):
        served(tmp_path, (old, new))


@pytest.mark.parametrize("line", ["file", "sha256"])
def test_an_entry_without_a_server_has_a_file_and_its_digest(path: Path, line: str) -> None:
    path.write_text("\n".join(each for each in path.read_text().splitlines() if not each.startswith(line)))

    with pytest.raises(CatalogueError, match="file and sha256"):
        Catalogue.load(path)
