from pathlib import Path

import pytest
import torch

from jobs.settings import ROOT
from training.export import export, record_digest, trained

CATALOGUE = """[other]
file = "other.pt2"
sha256 = "1"

[cards]
file = "cards.pt2" # beside this one
licence = "MIT"
sha256 = "2"

[cards.input]
width = 384
"""


def test_the_digest_goes_into_the_entry_of_the_file_and_nowhere_else(tmp_path: Path) -> None:
    catalogue = tmp_path / "catalogue.toml"
    catalogue.write_text(CATALOGUE)

    record_digest(catalogue, "cards.pt2", "abc")

    assert catalogue.read_text() == CATALOGUE.replace('"2"', '"abc"')


def test_a_catalogue_that_does_not_list_the_file_is_an_error(tmp_path: Path) -> None:
    catalogue = tmp_path / "catalogue.toml"
    catalogue.write_text(CATALOGUE.replace("cards.pt2", "else.pt2"))

    with pytest.raises(RuntimeError, match=r"has no entry with file = 'cards\.pt2'"):
        record_digest(catalogue, "cards.pt2", "abc")


def test_a_twin_that_finds_something_else_is_not_written_and_nor_is_the_rest(tmp_path: Path) -> None:
    network = trained(ROOT / "weights" / "cards.pt2")
    # Something that the network does and its weights do not tell.
    network.heat.register_forward_hook(lambda _, __, heat: heat + torch.tensor(0.02))

    with pytest.raises(
        RuntimeError, match=r"times they find something else than PyTorch does:\ncards\.saved_model, picture"
    ):
        export(network, tmp_path / "weights")

    assert list((tmp_path / "weights").iterdir()) == []
