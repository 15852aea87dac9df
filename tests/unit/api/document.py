"""Holds real answers to the OpenAPI document. Knows the JSON Schema keywords that the document uses, and no others."""

import re
from datetime import datetime
from typing import Any

from werkzeug.test import TestResponse

_SAYS_NOTHING = {"title", "description", "example", "default"}
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


class Document:
    """An OpenAPI document. `check` fails where an answer is not what it says."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    def check(self, method: str, path: str, answer: TestResponse) -> None:
        """`path` as the document writes it, with `{…}`."""
        response = self.content["paths"][path][method]["responses"][str(answer.status_code)]
        schema = response["content"][answer.mimetype]["schema"]
        faults = list(self.faults(schema, answer.json, "answer"))
        assert not faults, faults

    def faults(self, schema: dict[str, Any], value: Any, where: str) -> list[str]:
        """What is wrong with `value`. Members that the schema does not list count as wrong too."""
        if reference := schema.get("$ref"):
            return self.faults(self.content["components"]["schemas"][reference.rsplit("/", 1)[1]], value, where)
        for choice in ("anyOf", "oneOf"):
            if choice in schema:
                tried = [self.faults(kind, value, where) for kind in schema[choice]]
                return [] if [] in tried else min(tried, key=len)
        if found := self._type(schema.get("type"), value, where, schema):
            return found
        for keyword, says in schema.items():
            if keyword not in _SAYS_NOTHING | {"type"}:
                found += getattr(self, f"_{keyword}")(says, value, where, schema)
        return found

    def _type(self, says: str | None, value: Any, where: str, schema: dict[str, Any]) -> list[str]:
        if says is None:
            return []
        right = isinstance(value, _TYPES[says]) and (says == "boolean" or not isinstance(value, bool))
        found = [] if right else [f"{where} is {value!r}, no {says}"]
        if says == "object" and right and "properties" not in schema:
            assert "additionalProperties" in schema, f"{where}: the document says nothing of its members"
        return found

    def _properties(self, says: dict[str, Any], value: Any, where: str, schema: dict[str, Any]) -> list[str]:
        found = [f"{where}.{name} is not in the document" for name in value if name not in says]
        for name, kind in says.items():
            if name in value:
                found += self.faults(kind, value[name], f"{where}.{name}")
        return found

    def _required(self, says: list[str], value: Any, where: str, schema: dict[str, Any]) -> list[str]:
        return [f"{where}.{name} is missing" for name in says if name not in value]

    def _additionalProperties(self, says: Any, value: Any, where: str, schema: dict[str, Any]) -> list[str]:  # noqa: N802
        if says in (True, False):
            return []
        return [fault for name in value for fault in self.faults(says, value[name], f"{where}.{name}")]

    def _items(self, says: dict[str, Any], value: Any, where: str, schema: dict[str, Any]) -> list[str]:
        return [fault for index, item in enumerate(value) for fault in self.faults(says, item, f"{where}[{index}]")]

    def _enum(self, says: list[Any], value: Any, where: str, schema: dict[str, Any]) -> list[str]:
        return [] if value in says else [f"{where} is {value!r}, none of {says}"]

    def _const(self, says: Any, value: Any, where: str, schema: dict[str, Any]) -> list[str]:
        return self._enum([says], value, where, schema)

    def _minItems(self, says: int, value: Any, where: str, schema: dict[str, Any]) -> list[str]:  # noqa: N802
        return [] if len(value) >= says else [f"{where} has {len(value)} items"]

    def _maxItems(self, says: int, value: Any, where: str, schema: dict[str, Any]) -> list[str]:  # noqa: N802
        return [] if len(value) <= says else [f"{where} has {len(value)} items"]

    def _format(self, says: str, value: str, where: str, schema: dict[str, Any]) -> list[str]:
        if says == "uuid":
            right = re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value) is not None
        else:
            assert says == "date-time"
            right = datetime.fromisoformat(value).tzinfo is not None
        return [] if right else [f"{where} is {value!r}, no {says}"]
