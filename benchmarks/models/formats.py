"""Writes the bundled weights in every format. Each framework runs in its own process."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from detectors.digest import digest_of
from detectors.onboarding.edit_catalogue import copy_entry
from jobs.settings import ROOT
from training.catalogue_entries import BATCH_SIZE
from training.model.layout import INPUT_SIZE, LABELS, NMS_IOU

RAW = f"""
[cards-raw]
runtime = "tensorflow"
format = "saved_model"
file = "cards-raw"
sha256 = "{{sha256}}"
labels = {json.dumps(LABELS)}
batch_size = {BATCH_SIZE}

[cards-raw.input]
width = {INPUT_SIZE}
height = {INPUT_SIZE}
layout = "NHWC"
scale = {1 / 127.5}
mean = [1.0, 1.0, 1.0]

[cards-raw.output]
boxes = "places"
class_scores = "logits"
activation = "sigmoid"
box_order = "cxcywh"
coordinates = "normalised"
nms = {NMS_IOU}
floor_score = 0.1
"""
"""The catalogue entry of the SavedModel that `benchmarks.models.raw` writes."""


def write_formats(folder: Path) -> Path:
    """Writes the bundled model in all formats and a catalogue of them. Returns the catalogue's path.

    Takes one or two minutes, and a C++ compiler. Raises `CalledProcessError`.
    """
    shutil.copytree(ROOT / "weights", folder, dirs_exist_ok=True)
    catalogue = folder / "catalogue.toml"
    _run("detectors.onboarding.compile", "cards-pytorch", "--as", "cards-compiled", "--catalogue", catalogue)
    copy_entry(catalogue, "cards-compiled", "cards-libtorch", {"runtime": "libtorch"})
    script, unfolded, weights = (folder / name for name in ("cards.torchscript", "unfolded.pt2", "weights.npz"))
    _run("benchmarks.models.programs", folder / "cards.pt2", script, unfolded, weights)
    for name, kind, program in (("cards-torchscript", "torchscript", script), ("cards-unfolded", "pt2", unfolded)):
        changes = {"format": kind, "file": program.name, "sha256": digest_of(program)}
        copy_entry(catalogue, "cards-pytorch", name, changes)
    raw = folder / "cards-raw"
    _run("benchmarks.models.raw", weights, raw)
    with catalogue.open("a") as file:
        file.write(RAW.format(sha256=digest_of(raw)))
    return catalogue


def _run(module: str, *arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", module, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)
