"""Holds real answers to the OpenAPI document, by JSON Schema and more strictly where that leaves something open."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from jsonschema import Draft4Validator, Draft202012Validator, FormatChecker, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend
from werkzeug import Response

FORMATS = FormatChecker(["date-time"])
_KEYWORDS = Draft202012Validator.VALIDATORS


@FORMATS.checks("uuid")
def _is_uuid(value: object) -> bool:
    """The library's own check takes capitals too."""
    return not isinstance(value, str) or re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value) is not None


def _type(validator: Validator, says: Any, value: Any, schema: dict[str, Any]) -> Iterator[ValidationError]:
    silent = "object" in says and not {"properties", "additionalProperties"} & schema.keys()
    assert not silent, f"the document says nothing of the members of {schema}"
    yield from _KEYWORDS["type"](validator, says, value, schema)


def _properties(validator: Validator, says: Any, value: Any, schema: dict[str, Any]) -> Iterator[ValidationError]:
    """Members that the schema does not list are wrong too."""
    yield from _KEYWORDS["properties"](validator, says, value, schema)
    if "additionalProperties" not in schema:
        yield from _KEYWORDS["additionalProperties"](validator, False, value, schema)


_Strict = extend(
    Draft202012Validator,
    {"type": _type, "properties": _properties},
    # Since draft 6 the number 1.0 is an integer, which many clients don't read as one.
    type_checker=Draft4Validator.TYPE_CHECKER,
)


class Document:
    """An OpenAPI document. `check` fails where an answer is not what it says."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    def check(self, method: str, path: str, answer: Response) -> None:
        """`path` as the document writes it, with `{…}`."""
        response = self.content["paths"][path][method]["responses"][str(answer.status_code)]
        schema = response["content"][answer.mimetype]["schema"]
        # References begin at the document's root.
        faults = list(_told(_Strict(self.content | schema, format_checker=FORMATS).iter_errors(answer.json)))
        assert not faults, faults


def _told(faults: Iterable[ValidationError]) -> Iterator[str]:
    """Of a choice, what is wrong with each of its schemas; that none of them is right would tell little."""
    for fault in faults:
        if fault.context:
            yield from _told(fault.context)
        else:
            yield f"{fault.json_path}: {fault.message}"
