"""Files that no runtime can serve are known by their content or their name; the sentence says how to get another."""

import io
import pickle
import zipfile
from pathlib import Path

import pytest

from detectors.errors import ModelUnusable
from detectors.onboarding.detect_format import detect_format

YOLO_EXPORT = r"`yolo export model=best\.pt format=onnx`, and add best\.onnx\."


def archive(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        for name, data in members.items():
            written.writestr(name.replace("__", "."), data)
    return file.getvalue()


def pickle_of(module: str, name: str, protocol: int) -> bytes:
    """A pickle that names a class of a module that is not there."""
    if protocol < 4:
        return f"\x80\x02c{module}\n{name}\n.".encode("latin-1")
    words = b"".join(b"\x8c" + bytes([len(word)]) + word.encode() for word in (module, name))
    return b"\x80\x04" + words + b"\x93."


def torch_archive(module: str, name: str, protocol: int = 2) -> bytes:
    return archive(**{"best/data__pkl": pickle_of(module, name, protocol), "best/version": b"3"})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "best.pt",
            torch_archive("ultralytics.nn.tasks", "DetectionModel"),
            "a checkpoint of Ultralytics.*" + YOLO_EXPORT,
        ),
        ("best.pt", torch_archive("ultralytics.nn.tasks", "DetectionModel", 4), "a checkpoint of Ultralytics.*"),
        ("best.pt", pickle_of("ultralytics.nn.tasks", "DetectionModel", 2), "a checkpoint of Ultralytics"),
        (
            "v5.pt",
            torch_archive("models.yolo", "Model"),
            r"YOLOv5 or YOLOv7.*--weights v5\.pt --include onnx`, and add v5\.onnx",
        ),
        (
            "m.keras",
            archive(**{"config__json": b"{}", "model__weights__h5": b""}),
            r'load_model\("m\.keras"\)\.export\("m"\)',
        ),
        ("renamed.pt", archive(**{"model__weights__h5": b""}), "a Keras model"),
        ("m.h5", b"\x89HDF\r\n\x1a\n and more", "a Keras model"),
        ("m.tflite", b"\x1c\0\0\0TFL3 and more", r"TensorFlow Lite.*--tflite m\.tflite --output m\.onnx"),
        ("model.bin", b"\x1c\0\0\0TFL3 and more", "TensorFlow Lite"),
        ("best.engine", b"\x10\x02\0\0{...", "an engine of TensorRT.*" + YOLO_EXPORT),
        ("model", b"ftrt and more", "an engine of TensorRT"),
        ("m.mlmodel", b"\x08\x05", "a model for Core ML"),
        ("m.xml", b'<?xml version="1.0"?>\n<net name="m" version="11">', "a model for OpenVINO"),
        ("inference.pdmodel", b"\n\x0c", "a model of PaddlePaddle.*paddle2onnx"),
        ("model.ncnn.param", b"7767517\n200 300\n", "a model for NCNN"),
        ("yolov4.weights", b"\0\0\0\0\x02\0\0\0", "a model of Darknet"),
        ("yolov4.cfg", b"[net]\nbatch=64\n", "a model of Darknet"),
        ("net.caffemodel", b"\x0a\x05", "a model of Caffe"),
        ("ckpt-0.index", b"\0\0\x0a", r"a checkpoint of TensorFlow.*exporter_main_v2\.py"),
        (
            "m.onnx",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "a pointer of Git LFS.*`git lfs pull`",
        ),
        ("m.onnx", b"\n<!DOCTYPE html>\n<html>", "a web page, and not a model"),
        ("m.onnx", b"", "is empty"),
    ],
)
def test_a_known_kind_of_file_gets_its_sentence(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ModelUnusable, match=message) as caught:
        detect_format(tmp_path / name)

    assert str(caught.value).startswith(str(tmp_path / name))
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("Manifest.json",), "Core ML"),
        (("best.xml", "best.bin", "metadata.yaml"), "OpenVINO"),
        (("ckpt-5.index", "ckpt-5.data-00000-of-00001", "checkpoint"), "a checkpoint of TensorFlow"),
        (("config.json", "model.safetensors"), r"optimum-cli export onnx --model model "),
        (("model.ncnn.bin", "model.ncnn.param"), "NCNN"),
        (("inference.pdmodel", "inference.pdiparams"), "PaddlePaddle"),
        (("notes.txt",), "no supported format"),
    ],
)
def test_a_known_kind_of_folder_gets_its_sentence(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    folder = tmp_path / ("model.mlpackage" if message == "Core ML" else "model")
    folder.mkdir()
    for name in names:
        (folder / name).touch()

    with pytest.raises(ModelUnusable, match=message):
        detect_format(folder)


def test_nothing_in_a_pickle_is_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "touched",)  # type: ignore[return-value]

    (tmp_path / "evil.pt").write_bytes(archive(**{"evil/data__pkl": pickle.dumps(Evil())}))

    assert detect_format(tmp_path / "evil.pt") == "torchvision"
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"PK\x03\x04 cut", "no supported format"), (torch_archive("ultralytics.a", "B")[:-40], "no supported format")],
)
def test_a_damaged_archive_has_no_format(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "m.pt").write_bytes(content)

    with pytest.raises(ModelUnusable, match=message):
        detect_format(tmp_path / "m.pt")
