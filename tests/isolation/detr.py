"""DETR as it was published, with random weights. Runs in `.venv-isolation/detr`, which has transformers.

`python detr.py FOLDER PICTURE …` writes detr.pt2, its labels detr.txt, and detr.npz: the scores, labels and boxes that
transformers itself finds in each picture, `scores.0`, `labels.0`, `boxes.0` and so on. Nothing is downloaded.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import DetrConfig, DetrForObjectDetection, DetrImageProcessor

from detectors.pictures.raster import resized

WIDTH, HEIGHT = 320, 256


class Program(torch.nn.Module):
    """The program that docs/models.md exports: pixels [b, 3, h, w] in, DETR's two output tensors out."""

    def __init__(self, detr: DetrForObjectDetection) -> None:
        super().__init__()
        self.detr = detr

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        found = self.detr(pixel_values=pixels)
        return {"pred_logits": found.logits, "pred_boxes": found.pred_boxes}


def untrained() -> DetrForObjectDetection:
    """A model with larger queries and last layers, as after training: otherwise all 100 boxes are the same."""
    torch.manual_seed(0)
    detr = DetrForObjectDetection(DetrConfig(num_labels=91)).eval()
    with torch.no_grad():
        detr.model.query_position_embeddings.weight.normal_(std=20)
        detr.class_labels_classifier.weight.mul_(20)
        detr.bbox_predictor.layers[-1].weight.mul_(20)
    return detr


def main() -> None:
    folder, *pictures = map(Path, sys.argv[1:])
    detr = untrained()
    with torch.no_grad():
        batch = torch.export.Dim("batch", min=1, max=64)
        example = torch.zeros(2, 3, HEIGHT, WIDTH)
        program = torch.export.export(Program(detr), (example,), dynamic_shapes=({0: batch},))
    torch.export.save(program, folder / "detr.pt2")
    (folder / "detr.txt").write_text("\n".join(detr.config.id2label.values()))
    processor = DetrImageProcessor(size={"height": HEIGHT, "width": WIDTH})
    wanted = {}
    for number, picture in enumerate(pictures):
        image = Image.open(picture).convert("RGB")
        # Scaled as Boxqueue does it: torchvision, which the processor uses, rounds pixels differently.
        stretched = resized(image, (WIDTH, HEIGHT))
        with torch.inference_mode():
            outputs = detr(**processor(stretched, return_tensors="pt"))
        (found,) = processor.post_process_object_detection(outputs, 0.0, [(image.height, image.width)])
        wanted |= {f"{name}.{number}": tensor.numpy() for name, tensor in found.items()}
    np.savez(folder / "detr.npz", **wanted)


if __name__ == "__main__":
    main()
