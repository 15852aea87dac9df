"""The requests of the host for triggers other than HTTP, and the responses to them.

The host sends a POST to the function's name, with `{"Data": {binding: value}, "Metadata": {…}}`. Bytes are base64.
Texts are encoded as JSON twice: the address of a blob is `"\\"https://…\\""`.
"""

import json
from dataclasses import dataclass
from typing import Any, Self

from pydantic_core import from_json

from wire.bodies import decode_base64, json_object
from wire.problems import Refusal

JsonObject = dict[str, Any]

# The output binding in function.json that stores the answer.
ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of a function."""

    data: JsonObject
    """Name of a binding -> its value."""
    metadata: JsonObject

    @classmethod
    def read(cls, body: bytes) -> Self:
        """Parses the body of a request. Raises `Refusal` if it is not an invocation."""
        document = json_object(body)
        data, metadata = document.get("Data"), document.get("Metadata")
        if not isinstance(data, dict) or not isinstance(metadata, dict):
            raise Refusal(400, "malformed_json", "The body is not an invocation: Data or Metadata is missing.")
        return cls(data, metadata)

    def picture(self, binding: str) -> bytes:
        """The bytes of a binding of the data type `binary`. Raises `Refusal`."""
        return decode_base64(_text_of(self.data, binding))

    def text(self, binding: str) -> str:
        """The text of a binding. Raises `Refusal`."""
        return _decoded(_text_of(self.data, binding))

    def metadata_text(self, name: str) -> str:
        """A text of the metadata. Raises `Refusal`."""
        return _decoded(_text_of(self.metadata, name))


def response_json(document: JsonObject, log: str) -> JsonObject:
    """The response to the host: a document for the output binding, and a line for the host's log."""
    # The host logs a warning if ReturnValue is missing.
    return {"Outputs": {ANSWER: json.dumps(document)}, "Logs": [log], "ReturnValue": log}


def _text_of(values: JsonObject, name: str) -> str:
    if not isinstance(value := values.get(name), str):
        raise Refusal(400, "malformed_json", f"The invocation has no text {name}.")
    return value


def _decoded(text: str) -> str:
    """Undoes the host's first JSON encoding of a text, if there is one."""
    if not text.startswith('"'):
        return text
    try:
        inner = from_json(text)
    except ValueError:
        return text
    return str(inner)
