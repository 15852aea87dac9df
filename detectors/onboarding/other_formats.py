"""Files that people bring and that no runtime here can serve: what they are, and how to get one that can be served."""

import io
import pickletools
import zipfile
from dataclasses import dataclass
from pathlib import Path

START_BYTES = 4096
"""How much of a file is looked at."""
MAX_PICKLE = 16_000_000
YOLO_EXPORT = "`yolo export model=best.pt format=onnx`, and add best.onnx"


@dataclass(frozen=True)
class Kind:
    """A kind of file or folder, by any of these signs."""

    sentence: str
    """What follows "FILE is"."""
    magics: tuple[bytes, ...] = ()
    """How such files begin, after white space and in small letters."""
    magic_at_4: bytes = b""
    member: str = ""
    """The name of a file in a zip archive."""
    suffixes: tuple[str, ...] = ()
    folder: tuple[str, ...] = ()
    """Patterns of files that such a folder has."""

    def fits(self, file: Path, start: bytes) -> bool:
        """Whether a file or folder is of this kind. start: the first bytes of a file."""
        if file.is_dir():
            names = bool(self.folder) and all(any(file.glob(pattern)) for pattern in self.folder)
            return names or file.suffix in self.suffixes
        begins = bool(self.magics) and start.lstrip().lower().startswith(self.magics)
        inside = bool(self.magic_at_4) and start[4:8] == self.magic_at_4
        # A name counts only if the content does not say that it is something else.
        named = file.name.endswith(self.suffixes) and not start.startswith((b"PK", b"\x80"))
        return (
            begins
            or inside
            or named
            or (bool(self.member) and start.startswith(b"PK") and self.member in _members(file))
        )


KINDS = (
    Kind(
        "a pointer of Git LFS, and not the model itself. Fetch it: `git lfs pull`",
        magics=(b"version https://git-lfs",),
    ),
    Kind("a web page, and not a model. Download the file itself", magics=(b"<!doctype html", b"<html")),
    Kind(
        'a Keras model. Write it as a SavedModel, `keras.models.load_model("{name}").export("{stem}")`, and add the '
        "folder {stem}",
        magics=(b"\x89hdf\r\n\x1a\n",),
        member="model.weights.h5",
        suffixes=(".keras", ".h5", ".hdf5"),
    ),
    Kind(
        "a model for TensorFlow Lite. Add the SavedModel that it was made from, or convert it: "
        "`python -m tf2onnx.convert --tflite {name} --output {stem}.onnx`",
        magic_at_4=b"TFL3",
        suffixes=(".tflite",),
    ),
    Kind(
        "an engine of TensorRT, which runs on one kind of GPU with one version of TensorRT alone. Add the ONNX model "
        "that it was built from; with Ultralytics " + YOLO_EXPORT,
        magics=(b"ftrt",),
        suffixes=(".engine", ".plan", ".trt"),
    ),
    Kind(
        "a model for Core ML. Export the original to ONNX, with Ultralytics " + YOLO_EXPORT,
        suffixes=(".mlmodel", ".mlpackage"),
    ),
    Kind(
        "a model for OpenVINO. Export the original to ONNX, with Ultralytics " + YOLO_EXPORT,
        magics=(b'<?xml version="1.0"?>\n<net ', b"<net "),
        suffixes=(".xml",),
        folder=("*.xml", "*.bin"),
    ),
    Kind(
        "a model of PaddlePaddle. Convert it: `paddle2onnx --model_dir FOLDER --model_filename inference.pdmodel "
        "--params_filename inference.pdiparams --save_file {stem}.onnx`",
        suffixes=(".pdmodel", ".pdiparams", ".pdparams"),
        folder=("*.pdmodel",),
    ),
    Kind(
        "a model for NCNN. Export the original to ONNX, with Ultralytics " + YOLO_EXPORT,
        magics=(b"7767517",),
        suffixes=(".ncnn.bin",),
        folder=("*.ncnn.param",),
    ),
    Kind(
        "a model of Darknet. Convert it to ONNX, and write its entry by hand as docs/models.md describes",
        magics=(b"[net]",),
        suffixes=(".weights", ".cfg"),
    ),
    Kind("a model of Caffe. Convert it to ONNX", suffixes=(".caffemodel", ".prototxt")),
    Kind(
        "a checkpoint of TensorFlow. Write it as a SavedModel, for the Object Detection API with exporter_main_v2.py, "
        "and add the folder saved_model",
        suffixes=(".index", ".meta", ".data-00000-of-00001"),
        folder=("*.index", "*.data-*"),
    ),
    Kind(
        "a folder of Hugging Face. Export it to ONNX with the package optimum-onnx, `optimum-cli export onnx --model "
        "{name} {stem}-onnx`, and add {stem}-onnx/model.onnx",
        folder=("config.json", "*.safetensors"),
    ),
)
CLASSES = {
    "ultralytics": "a checkpoint of Ultralytics, which only its own code can read. Export it: `yolo export "
    "model={name} format=onnx`, and add {stem}.onnx",
    "models": "a checkpoint of YOLOv5 or YOLOv7, which only its own code can read. Export it: `python export.py "
    "--weights {name} --include onnx`, and add {stem}.onnx",
    "yolov6": "a checkpoint of YOLOv6, which only its own code can read. Export it: `python deploy/ONNX/export_onnx.py "
    "--weights {name}`, and add {stem}.onnx",
    "super_gradients": "a model of SuperGradients, which only its own code can read. Export it: "
    '`model.export("{stem}.onnx")`, and add {stem}.onnx',
}
"""Package of the classes in a pickle -> the rest of the sentence "FILE is …"."""


def describe_other(file: Path) -> str | None:
    """A sentence for a file or folder of a known kind that can't be served; None for all others. Raises OSError."""
    start = b""
    if not file.is_dir():
        with file.open("rb") as opened:
            start = opened.read(START_BYTES)
        if not start:
            return f"{file} is empty."
    rest = next((kind.sentence for kind in KINDS if kind.fits(file, start)), None) or _pickled(file, start)
    return None if rest is None else f"{file} is {rest.format(name=file.name, stem=file.name.partition('.')[0])}."


def _pickled(file: Path, start: bytes) -> str | None:
    """About a pickle with the classes of a known package. Its names are read, and nothing in it is run."""
    if not start.startswith((b"PK", b"\x80")):
        return None
    packages = _packages(file)
    return next((sentence for package, sentence in CLASSES.items() if package in packages), None)


def _packages(file: Path) -> set[str]:
    """The top-level packages whose classes a pickle names."""
    try:
        if not zipfile.is_zipfile(file):
            with file.open("rb") as opened:
                data = opened.read(MAX_PICKLE)
        else:
            with zipfile.ZipFile(file) as archive:
                name = next((one for one in archive.namelist() if one.endswith("data.pkl")), None)
                if name is None or archive.getinfo(name).file_size > MAX_PICKLE:
                    return set()
                data = archive.read(name)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return set()
    return {module.partition(".")[0] for module in _modules(data)}


def _modules(data: bytes) -> set[str]:
    """The modules that pickles name, one pickle after the other: old versions of torch.save wrote several."""
    found: set[str] = set()
    strings: list[str] = []
    stream = io.BytesIO(data)
    try:
        while stream.tell() < len(data):
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name == "GLOBAL":
                    found.add(str(argument).partition(" ")[0])
                elif opcode.name == "STACK_GLOBAL":
                    found.update(strings[:1])
                elif isinstance(argument, str):
                    strings = [*strings[-1:], argument]
    except (ValueError, UnicodeDecodeError, IndexError):
        pass  # cut off, or the tensors after the pickles: what was found before counts
    return found


def _members(file: Path) -> list[str]:
    """The names in a zip archive; empty for other files."""
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.namelist()
    except zipfile.BadZipFile:
        return []
