"""Parses JSON as providers write it."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import orjson

_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


def parse_json(text: bytes | str) -> Any:
    """The value of a JSON text. orjson.JSONDecodeError if it is not JSON.

    Two deviations from the standard are accepted, because other clients read them. Python servers such as ComfyUI write
    NaN and infinities, which become None. JavaScript servers cut texts in the middle of a surrogate pair; the rest of
    the pair becomes U+FFFD. (A "?" could make a cut URL look whole.)
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        try:
            found = json.loads(text if isinstance(text, str) else text.decode(), parse_constant=lambda _: None)
            return orjson.loads(_SURROGATE.sub("\ufffd", json.dumps(found, ensure_ascii=False)))
        except (ValueError, RecursionError):
            raise error from None
