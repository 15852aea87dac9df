"""What the host sends for a trigger that is no HTTP request, and what it takes back.

A POST to the function's name with `{"Data": {binding: value}, "Metadata": {…}}`. Bytes come as base64. Text was written
as JSON before the whole was: the address of a blob is `"\\"https://…\\""`.
"""

import json
from dataclasses import dataclass
from typing import Any, Self

from pydantic_core import from_json

from wire.bodies import decode_base64, json_object
from wire.problems import Refusal

JsonObject = dict[str, Any]

# The binding in function.json that keeps what was answered.
ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Invocation:
    """A call of a function."""

    data: JsonObject
    """Name of a binding -> what it holds."""
    metadata: JsonObject

    @classmethod
    def read(cls, body: bytes) -> Self:
        """Raises `Refusal` where it is not what a host sends."""
        document = json_object(body)
        data, metadata = document.get("Data"), document.get("Metadata")
        if not isinstance(data, dict) or not isinstance(metadata, dict):
            raise Refusal(400, "malformed_json", "The body is no invocation: it lacks Data or Metadata.")
        return cls(data, metadata)

    def picture(self, binding: str) -> bytes:
        """What a binding of the data type `binary` holds. Raises `Refusal`."""
        return decode_base64(_of(self.data, binding))

    def text(self, binding: str) -> str:
        """Raises `Refusal`."""
        return _unquoted(_of(self.data, binding))

    def about(self, name: str) -> str:
        """Text of the metadata. Raises `Refusal`."""
        return _unquoted(_of(self.metadata, name))


def outcome(document: JsonObject, log: str) -> JsonObject:
    """What the host takes: a document for the binding, and a line for the log."""
    # The host warns of a function that returns nothing.
    return {"Outputs": {ANSWER: json.dumps(document)}, "Logs": [log], "ReturnValue": log}


def _of(values: JsonObject, name: str) -> str:
    if not isinstance(value := values.get(name), str):
        raise Refusal(400, "malformed_json", f"The invocation has no text named {name}.")
    return value


def _unquoted(text: str) -> str:
    """Text as it was before the host wrote it as JSON."""
    if not text.startswith('"'):
        return text
    try:
        inner = from_json(text)
    except ValueError:
        return text
    return str(inner)
