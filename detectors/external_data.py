"""The files that an ONNX model names for its large tensors: external data. No framework here.

An ONNX file is a protobuf message, and protobuf can hold no more than 2 GiB; so exporters write weights into files
beside it. Only what leads to their names is read: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto and
https://protobuf.dev/programming-guides/encoding/.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path

Message = memoryview
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Message -> number of a field in it -> the message of that field. `TENSOR` is where the walk ends.
_WAYS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_EXTERNAL_DATA, _KEY, _VALUE = 13, 1, 2
_MAX_DEPTH = 100
"""Graphs in attributes of nodes may lie in each other; no exporter goes as deep."""


def external_data_of(file: Path) -> list[Path]:
    """The files with external data of an ONNX model, sorted; empty if it has none.

    Raises ValueError if the file is no ONNX model, or names a file outside its own folder; OSError if it can't be read.
    """
    with file.open("rb") as opened:
        if not opened.seek(0, 2):
            raise ValueError("it is empty")
        # Not closed here: an error's traceback may still hold parts of it.
        data = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
    names = set(_locations(data, "model", 0))
    return [file.parent / _require_beside(name) for name in sorted(names)]


def _locations(message: Message, kind: str, depth: int) -> Iterator[str]:
    """The names of files in a message and in those within it."""
    if depth > _MAX_DEPTH:
        raise ValueError("its graphs lie too deep in each other")
    for number, value in fields(message):
        if isinstance(value, int):
            continue
        if kind == "tensor":
            if number == _EXTERNAL_DATA:
                entry = {one: bytes(text) for one, text in fields(value) if not isinstance(text, int)}
                if entry.get(_KEY) == b"location":
                    yield entry.get(_VALUE, b"").decode()
        elif (inner := _WAYS[kind].get(number)) is not None:
            yield from _locations(value, inner, depth + 1)


def fields(message: Message) -> Iterator[tuple[int, Message | int]]:
    """The fields of a protobuf message: number and value, which is a number or bytes. Raises ValueError if it is
    none."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if not number:
            raise ValueError("it is no protobuf message")
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == _BYTES:
            length, at = _varint(message, at)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError("it is no protobuf message")
        if at + length > end:
            raise ValueError("it is cut off")
        if wire == _BYTES:
            yield number, message[at : at + length]
        at += length


def _varint(message: Message, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise ValueError("it is cut off")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("it is no protobuf message")


def _require_beside(name: str) -> str:
    path = Path(name)
    if not name or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"it names the file {name!r}, which is not in its folder")
    return name
