"""What the body of a request asks for: JSON, or the fields of a form as browsers send it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from bridge.simulator.tasks import Script, script_of

# A field of multipart/form-data; what is a file has a file's name.
_FIELD: Final = re.compile(
    rb'content-disposition: form-data; name="([^"\r\n]*)"\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]*)\r\n', re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The keys of a body; `script` is what a text among its values asks for that is an id of the grammar."""

    body: Mapping[str, Any]
    script: Script | None


def wish_of(body: bytes) -> Wish:
    """ValueError for a body that is neither empty, nor a JSON object, nor a form."""
    fields: Any = _fields(body) if body.startswith(b"--") else orjson.loads(body or b"{}")
    if not isinstance(fields, dict):
        raise ValueError("the body must be a JSON object")
    scripts = (script_of(text) for text in _texts(fields))
    return Wish(body=fields, script=next((script for script in scripts if script is not None), None))


def _fields(body: bytes) -> dict[str, str]:
    return {name.decode(errors="replace"): text.decode(errors="replace") for name, text in _FIELD.findall(body)}


def _texts(whole: Any) -> Iterator[str]:
    """Every text among the values, however deep."""
    values = [whole]
    while values:
        value = values.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            values += value.values()
        elif isinstance(value, list):
            values += value
