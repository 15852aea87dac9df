"""Exports a trained network: the files that the workers load, and the catalogue that lists them.

`python -m training.export [FOLDER]` writes them again from the weights in the folder's .pt2.
"""

from training.command_line import new_parser

# isort: split
import argparse
import copy
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.text import Text
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.hooks import RemovableHandle

from detectors.catalogue import Catalogue
from detectors.digest import digest_of
from training.catalogue_entries import FORMATS, Description, catalogue_text, read_description
from training.data.annotations import PICTURE_ENDINGS
from training.model import write_onnx
from training.model.inference import load_inputs
from training.model.layout import INPUT_SIZE
from training.model.network import CenterNet, Convolution, Program
from training.train_command import exit_status

CATALOGUE = "catalogue.toml"
HELP = """Write a trained model's files and their catalogue again from the weights in its .pt2. Nothing is written if
the files find different boxes in the pictures."""
MAX_BATCH = 64
COMPARED_PICTURES = 12
"""Number of pictures on which the files for TensorFlow and ONNX Runtime are compared with the network."""


def fold_batch_norm(network: CenterNet) -> CenterNet:
    """A copy with every batch normalisation folded into the convolution before it. For evaluation only."""
    folded = copy.deepcopy(network).eval()
    for block in folded.modules():
        if isinstance(block, Convolution):
            convolution, normalisation, _ = block
            assert isinstance(convolution, nn.Conv2d)
            assert isinstance(normalisation, nn.BatchNorm2d)
            block[0], block[1] = fuse_conv_bn_eval(convolution, normalisation), nn.Identity()
    # An exported program needs contiguous weights. The convolutions still run with channels last, because the pictures
    # have their channels last.
    folded.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return folded


def load_network(file: Path) -> CenterNet:
    """Loads the network, with folded batch normalisations, from an exported program (.pt2)."""
    state = {name.removeprefix("network."): weight for name, weight in torch.export.load(file).state_dict.items()}
    network = fold_batch_norm(CenterNet(len(state["heat.bias"])))
    network.load_state_dict(state)
    return network


@torch.no_grad()
def unfold_batch_norm(network: CenterNet, pixels: Tensor) -> CenterNet:
    """Reverses `fold_batch_norm`: the same network with batch normalisations, so that it can be trained further.

    It predicts the same as the folded network. The normalisations start with the statistics of `pixels` [b, 3, h, w],
    -1..1.
    """
    state = network.state_dict()
    unfolded = CenterNet(len(state["heat.bias"]))
    # The normalisations stay as they are; below, they take over the biases.
    unfolded.load_state_dict(state, strict=False)

    def normalise(block: Convolution, bias: Tensor) -> RemovableHandle:
        normalisation = block[1]
        assert isinstance(normalisation, nn.BatchNorm2d)

        def adjust(_: nn.Module, __: tuple[Tensor], convolved: Tensor) -> None:
            # Scale and shift undo the normalisation by these statistics, and add the old bias.
            variance, mean = torch.var_mean(convolved, dim=(0, 2, 3), correction=0)
            normalisation.weight.copy_((variance + normalisation.eps).sqrt())
            normalisation.bias.copy_(mean + bias)
            normalisation.running_mean, normalisation.running_var = mean, variance

        return block[0].register_forward_hook(adjust)

    blocks = {name: block for name, block in unfolded.named_modules() if isinstance(block, Convolution)}
    hooks = [normalise(block, state[f"{name}.0.bias"]) for name, block in blocks.items()]
    unfolded.train()(pixels)  # The hooks run from the first layer to the last, so each one sees adjusted inputs.
    for hook in hooks:
        hook.remove()
    return unfolded


def export(network: CenterNet, folder: Path, described: Description, pictures: Tensor) -> list[Path]:
    """Writes a folded network as NAME.pt2, NAME.saved_model/, NAME.pb and NAME.onnx into the folder, and the catalogue
    that lists them. Returns the paths.

    `pictures` are uint8 [n, 512, 512, 3]; the network should find something in them. Each file is loaded again and
    compared with the network on them. Raises RuntimeError if the detections differ; then no file is written.
    """
    program = Program(network).eval()
    folder.mkdir(parents=True, exist_ok=True)
    files = [described.file(kind) for kind in FORMATS]
    with tempfile.TemporaryDirectory(dir=folder, prefix="export-") as temporary:
        pt2, saved_model, frozen_graph, onnx = (Path(temporary) / file for file in files)
        write_program(program, pt2)
        verify(program, pt2)
        _write_tensorflow(program, saved_model, frozen_graph, pictures)
        write_onnx.write_onnx(network, onnx)
        write_onnx.verify(program, onnx, pictures)
        for file in files:
            _move(Path(temporary) / file, folder / file)
    digests = [digest_of(folder / file) for file in files]
    (folder / CATALOGUE).write_text(catalogue_text(described, digests), encoding="utf-8")
    Catalogue.load(folder / CATALOGUE)
    return [folder / file for file in (*files, CATALOGUE)]


def write_program(program: Program, file: Path) -> None:
    """Exports the program for batches of 1 to 64 pictures."""
    pictures = torch.zeros(2, INPUT_SIZE, INPUT_SIZE, 3, dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=MAX_BATCH)
    with torch.no_grad():
        exported = torch.export.export(program, (pictures,), dynamic_shapes=({0: batch},))
    exported.example_inputs = None  # Otherwise the file contains a megabyte of zeros.
    for node in exported.graph.nodes:
        node.meta.pop("stack_trace", None)  # It contains paths of this machine.
    torch.export.save(exported, file)


@torch.no_grad()
def verify(program: Program, file: Path) -> None:
    """Raises RuntimeError if the file and the program give different outputs. Compares batches of several sizes."""
    loaded = torch.export.load(file).module()
    noise = torch.Generator().manual_seed(0)
    for size in (1, 2, 8):
        pictures = torch.randint(0, 256, (size, INPUT_SIZE, INPUT_SIZE, 3), dtype=torch.uint8, generator=noise)
        for name, one, other in zip(("boxes", "scores", "classes"), program(pictures), loaded(pictures), strict=True):
            if not torch.equal(one, other):
                raise RuntimeError(f"{file} differs from its network: {name}, batch of {size}")


@torch.no_grad()
def _write_tensorflow(program: Program, saved_model: Path, frozen_graph: Path, pictures: Tensor) -> None:
    """Runs `training.model.write_tensorflow`. Raises RuntimeError if it fails.

    It runs in a process without PyTorch, because the two frameworks do not always work in one process.
    """
    boxes, scores, classes = (output.numpy() for output in program(pictures))
    weights = {f"weights.{name}": weight.numpy() for name, weight in program.network.state_dict().items()}
    expected = saved_model.parent / "expected.npz"
    np.savez(expected, pictures=pictures.numpy(), boxes=boxes, scores=scores, classes=classes, **weights)
    done = subprocess.run(
        [sys.executable, "-m", "training.model.write_tensorflow", str(expected), str(saved_model), str(frozen_graph)],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"The model was not written for TensorFlow: {done.stderr.strip()[-2000:]}")


def _move(source: Path, target: Path) -> None:
    """Moves a new file or folder to `target`, and replaces an older one there."""
    if target.is_dir():
        target.rename(source.with_name(f"{source.name}.old"))
    source.rename(target)


def main() -> int:
    """Parses the command line and writes a model's files again. Returns the exit status."""
    parser = new_parser("training.export", HELP)
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path("weights"), help="folder of the model's catalogue [weights]"
    )
    parser.add_argument(
        "--pictures", type=Path, default=Path("samples"), metavar="FOLDER", help="pictures to compare on [samples]"
    )
    options = parser.parse_args()
    return exit_status(lambda console: _export_from_weights(options, console))


def _export_from_weights(options: argparse.Namespace, console: Console) -> None:
    described = read_description(options.folder / CATALOGUE)
    files = [file for file in sorted(options.pictures.iterdir()) if file.suffix.lower() in PICTURE_ENDINGS]
    network = load_network(options.folder / described.file("pt2"))
    for path in export(network, options.folder, described, load_inputs(files[:COMPARED_PICTURES])):
        console.print(Text(f"written: {path}"), soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
