"""Checks responses against the OpenAPI document, more strictly than JSON Schema does."""

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
    """The check of the library allows capital letters too."""
    return not isinstance(value, str) or re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value) is not None


def _type(validator: Validator, expected: Any, value: Any, schema: dict[str, Any]) -> Iterator[ValidationError]:
    unknown = "object" in expected and not {"properties", "additionalProperties"} & schema.keys()
    assert not unknown, f"the document does not describe the members of {schema}"
    yield from _KEYWORDS["type"](validator, expected, value, schema)


def _properties(validator: Validator, expected: Any, value: Any, schema: dict[str, Any]) -> Iterator[ValidationError]:
    """Refuses members that the schema does not list."""
    yield from _KEYWORDS["properties"](validator, expected, value, schema)
    if "additionalProperties" not in schema:
        yield from _KEYWORDS["additionalProperties"](validator, False, value, schema)


_Strict = extend(
    Draft202012Validator,
    {"type": _type, "properties": _properties},
    # Since draft 6 the number 1.0 is an integer, which many clients don't read as one.
    type_checker=Draft4Validator.TYPE_CHECKER,
)


class Document:
    """An OpenAPI document."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    def check(self, method: str, path: str, answer: Response) -> None:
        """Fails if the response does not fit the document. `path` has placeholders, as in the document: `{…}`."""
        response = self.content["paths"][path][method]["responses"][str(answer.status_code)]
        schema = response["content"][answer.mimetype]["schema"]
        # References are relative to the whole document.
        faults = list(_messages(_Strict(self.content | schema, format_checker=FORMATS).iter_errors(answer.json)))
        assert not faults, faults


def _messages(faults: Iterable[ValidationError]) -> Iterator[str]:
    """For alternatives (`oneOf`), lists the faults of each one."""
    for fault in faults:
        if fault.context:
            yield from _messages(fault.context)
        else:
            yield f"{fault.json_path}: {fault.message}"
