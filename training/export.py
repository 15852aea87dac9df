"""From a trained network to the files that the workers load, and their digests in the catalogue.

`python -m training.export` makes them again from the weights that `weights/cards.pt2` holds.
"""

from __future__ import annotations

import copy
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from detectors.digest import digest_of
from training.cards import draw_card
from training.data import as_input
from training.layout import INPUT_SIZE
from training.model import CardDetector, CardNetwork, Convolution

FILE = "cards.pt2"
SAVED_MODEL = "cards.saved_model"
FROZEN_GRAPH = "cards.pb"
CATALOGUE = "catalogue.toml"
LARGEST_BATCH = 64
CHECKED_ON = 12
"""Generated cards on which the files for TensorFlow have to find the same as the network."""


def folded(network: CardNetwork) -> CardNetwork:
    """A copy in which every batch normalisation has become part of the convolution before it. For evaluation only."""
    plain = copy.deepcopy(network).eval()
    for block in plain.modules():
        if isinstance(block, Convolution):
            convolution, normalisation, _ = block
            assert isinstance(convolution, nn.Conv2d)
            assert isinstance(normalisation, nn.BatchNorm2d)
            block[0], block[1] = fuse_conv_bn_eval(convolution, normalisation), nn.Identity()
    # The pictures come channels last, and the convolutions follow them whatever the layout of their weights, which
    # a file of exported weights wants contiguous.
    plain.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return plain


def trained(file: Path) -> CardNetwork:
    """The folded network whose weights an exported program holds."""
    network = folded(CardNetwork())
    state = torch.export.load(file).state_dict
    network.load_state_dict({name.removeprefix("network."): weight for name, weight in state.items()})
    return network


def export(network: CardNetwork, folder: Path) -> list[Path]:
    """Writes a folded network as cards.pt2, cards.saved_model/ and cards.pb into the folder, and their digests into
    the catalogue there, if there is one. Needs TensorFlow, which runs in a process of its own.

    Raises RuntimeError if a file, loaded again, does not give the same answers as the network; then none is written.
    """
    detector = CardDetector(network).eval()
    folder.mkdir(parents=True, exist_ok=True)
    names = (FILE, SAVED_MODEL, FROZEN_GRAPH)
    with tempfile.TemporaryDirectory(dir=folder, prefix="export-") as made:
        _write_program(detector, Path(made) / FILE)
        verify(detector, Path(made) / FILE)
        _write_twins(detector, Path(made))
        for name in names:
            _replace(Path(made) / name, folder / name)
    for name in names:
        record_digest(folder / CATALOGUE, name, digest_of(folder / name))
    return [folder / name for name in names]


def _write_program(detector: CardDetector, file: Path) -> None:
    pictures = torch.zeros(2, INPUT_SIZE, INPUT_SIZE, 3, dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    with torch.no_grad():
        program = torch.export.export(detector, (pictures,), dynamic_shapes=({0: batch},))
    program.example_inputs = None  # a megabyte of zeros otherwise
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # where the sources lie on the machine that exported it
    torch.export.save(program, file)


@torch.no_grad()
def verify(detector: CardDetector, file: Path) -> None:
    """Raises RuntimeError unless the file answers as the detector does, for several sizes of batches."""
    loaded = torch.export.load(file).module()
    noise = torch.Generator().manual_seed(0)
    for size in (1, 2, 8):
        pictures = torch.randint(0, 256, (size, INPUT_SIZE, INPUT_SIZE, 3), dtype=torch.uint8, generator=noise)
        for name, one, other in zip(("boxes", "scores", "classes"), detector(pictures), loaded(pictures), strict=True):
            if not torch.equal(one, other):
                raise RuntimeError(f"{file} differs from the network it was made of: {name}, batch of {size}")


@torch.no_grad()
def _write_twins(detector: CardDetector, folder: Path) -> None:
    """Has `training.twin` write the SavedModel and the frozen graph and compare them, in a process without PyTorch:
    the two frameworks do not always bear each other in one. Raises RuntimeError."""
    pictures = torch.from_numpy(np.stack([as_input(draw_card(1 << 51 | n).image)[0] for n in range(CHECKED_ON)]))
    boxes, scores, classes = (answer.numpy() for answer in detector(pictures))
    weights = {f"weights.{name}": weight.numpy() for name, weight in detector.network.state_dict().items()}
    given = folder / "given.npz"
    np.savez(given, pictures=pictures.numpy(), boxes=boxes, scores=scores, classes=classes, **weights)
    done = subprocess.run(
        [sys.executable, "-m", "training.twin", str(given), str(folder / SAVED_MODEL), str(folder / FROZEN_GRAPH)],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the twins in TensorFlow were not written: {done.stderr.strip()[-2000:]}")


def _replace(made: Path, target: Path) -> None:
    """Puts a file or folder in the place of an older one."""
    if target.is_dir():
        target.rename(made.with_name(f"{made.name}.old"))
    made.rename(target)


def record_digest(catalogue: Path, name: str, digest: str) -> None:
    """Replace the digest of the entry whose file is that one; everything else stays as it is written."""
    if not catalogue.exists():
        return
    entry = re.compile(rf'(file = "{re.escape(name)}"[^\n]*\n(?:[^\[\n]*\n)*?sha256 = ")[^"]*(")')
    text, changed = entry.subn(rf"\g<1>{digest}\g<2>", catalogue.read_text(encoding="utf-8"))
    if not changed:
        raise RuntimeError(f"{catalogue} has no entry with file = {name!r} and a sha256 below it")
    catalogue.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    weights = Path(sys.argv[1] if len(sys.argv) > 1 else "weights")
    for path in export(trained(weights / FILE), weights):
        sys.stdout.write(f"{path}\n")
