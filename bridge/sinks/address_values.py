"""The expressions in the URL of a webhook, with values percent-encoded. Only imported for a URL that contains some."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import quote

import jinja2

from bridge.sinks.templates import Sandbox, TextTemplate


class AddressValue:
    """One expression. ValueError if it is not a valid template or uses an unknown name."""

    def __init__(self, source: str, *, names: Collection[str]) -> None:
        self._template = TextTemplate(f"{{{{ {source} }}}}", names=names, sandbox=_VALUES)

    def render(self, known: Mapping[str, object], *, most_chars: int) -> str:
        """The value, percent-encoded. ValueError if it cannot be computed."""
        return self._template.render_whole(known, most_chars=most_chars)


def _encoded(value: object) -> str:
    if value is None or isinstance(value, jinja2.Undefined):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise TypeError("the value is neither text nor a number")
    return quote(str(value), safe="", errors="replace")


_VALUES: Final = Sandbox(undefined=jinja2.ChainableUndefined, finalize=_encoded)
