"""From a trained network to the file that the workers load, and its line in the catalogue."""

from __future__ import annotations

import copy
import hashlib
import re
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from training.model import INPUT_SIZE, CardDetector, CardNetwork, Convolution

FILE = "cards.pt2"
CATALOGUE = "catalogue.toml"
LARGEST_BATCH = 64


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


def export(network: CardNetwork, folder: Path) -> Path:
    """Write cards.pt2 into the folder and its digest into the catalogue there, if there is one.

    Raises RuntimeError if the file, loaded again, does not give the same answers as the network.
    """
    detector = CardDetector(folded(network)).eval()
    pictures = torch.zeros(2, INPUT_SIZE, INPUT_SIZE, 3, dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    with torch.no_grad():
        program = torch.export.export(detector, (pictures,), dynamic_shapes=({0: batch},))
    program.example_inputs = None  # a megabyte of zeros otherwise
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / FILE
    torch.export.save(program, file)
    verify(detector, file)
    record_digest(folder / CATALOGUE, hashlib.sha256(file.read_bytes()).hexdigest())
    return file


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


def record_digest(catalogue: Path, digest: str) -> None:
    """Replace the digest of the entry whose file is ours; everything else stays as it is written."""
    if not catalogue.exists():
        return
    entry = re.compile(rf'(file = "{re.escape(FILE)}"[^\n]*\n(?:[^\[\n]*\n)*?sha256 = ")[^"]*(")')
    text, changed = entry.subn(rf"\g<1>{digest}\g<2>", catalogue.read_text(encoding="utf-8"))
    if not changed:
        raise RuntimeError(f"{catalogue} has no entry with file = {FILE!r} and a sha256 below it")
    catalogue.write_text(text, encoding="utf-8")
