"""The Content-Disposition of a part of a form: the name of its field, and the name of its file.

The name of a file is for display only, so it never refuses a request: what can't be shown is repaired.
"""

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote_to_bytes

from wire.fields import CONTROL_CHARACTERS, MAX_SOURCE_LENGTH

# A quoted value ends at a quote that the end or a semicolon follows. Some clients do not escape the quotes of a name.
# In the first form a backslash escapes, so `\"` does not end the value. The second form is for a name that ends with a
# backslash of its own.
_PARAMETER = re.compile(
    r"""\s*;\s*([^\s;=]+)\s*=\s*(?:"((?:\\.|[^\\])*?)"(?=\s*(?:;|\Z))|"(.*?)"(?=\s*(?:;|\Z))|([^";]*))""", re.DOTALL
)
# Every backslash stands before a backslash or a quote.
_ESCAPED = re.compile(r'(?:[^\\]|\\[\\"])*', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Disposition:
    """Of a part without a name, `name` is empty. `filename` is None if the part is no file; it may be empty."""

    name: str
    filename: str | None

    @classmethod
    def parse(cls, header: str) -> Self:
        """Reads the value of a header such as `form-data; name="image"; filename="card.png"`."""
        values: dict[str, str] = {}
        position = len(header.partition(";")[0])
        while match := _PARAMETER.match(header, position):
            key, escaped, quoted, token = match.groups()
            values[key.lower()] = _unescaped(escaped) if escaped is not None else quoted or (token or "").strip()
            position = match.end()
        filename = values.get("filename")
        if "filename*" in values:
            # RFC 5987: the character set, a language, the name. All clients that send it send UTF-8.
            filename = decoded(unquote_to_bytes(values["filename*"].rpartition("'")[2]))
        return cls(values.get("name", ""), None if filename is None else _repaired(filename))


def decoded(text: bytes) -> str:
    """Text in UTF-8, or else in Windows-1252, which has the letters of Latin-1 at the same places."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("cp1252", "replace")


def _unescaped(text: str) -> str:
    """The text without the backslashes that a client put before backslashes and quotes.

    Some clients escape them (httpx, Go, curl before 7.81), others send backslashes as they are (browsers, curl). A
    client that escapes leaves no other backslash, so a text such as `C:\\scans\\a.png` was not escaped.

    `%22` stays as it is. Browsers write it for a quote, but they write a `%` as it is too, so the name may have it.
    """
    return re.sub(r"\\(.)", r"\1", text) if _ESCAPED.fullmatch(text) else text


def _repaired(filename: str) -> str:
    return CONTROL_CHARACTERS.sub("\ufffd", filename)[-MAX_SOURCE_LENGTH:]
