"""The body of a request: JSON or multipart/form-data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from bridge.simulator.simulated_task import Script, script_of

# One field. The value of a file begins with its own headers.
_FIELD: Final = re.compile(
    rb'content-disposition: form-data; name="([^"\r\n]*)"\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]*)\r\n', re.IGNORECASE
)


def parse_body(body: bytes) -> dict[str, Any]:
    """The keys of the body, none if it is empty. ValueError for one that is neither a JSON object nor multipart."""
    if body.startswith(b"--"):
        return {name.decode(errors="replace"): text.decode(errors="replace") for name, text in _FIELD.findall(body)}
    keys = orjson.loads(body or b"{}")
    if not isinstance(keys, dict):
        raise ValueError("the body must be a JSON object")
    return keys


def value_at(body: Mapping[str, Any], dotted: str) -> Any:
    """The value of a key with dots; None if there is none."""
    value: Any = body
    for key in dotted.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def script_in(body: dict[str, Any]) -> Script | None:
    """The script of the first demo id among the values, at any depth."""
    return next((script for text in _texts(body) if (script := script_of(text)) is not None), None)


def _texts(body: dict[str, Any]) -> Iterator[str]:
    values: list[Any] = [body]
    while values:
        value = values.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            values += value.values()
        elif isinstance(value, list):
            values += value
