"""From a request line to the call of a form that it means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from bridge.simulator.forms.form import Call, Form

_PLACE: Final = re.compile(r"\{(\w+)(?::((?:[^{}]|\{[\d,]+\})+))?\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A call of a form, and what stands in the places of its path."""

    form: Form
    call: Call
    places: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Route:
    pattern: re.Pattern[str]
    form: Form
    call: Call


class Routes:
    """The calls of all forms. Where two have the same path, the earlier form has it."""

    def __init__(self, forms: Iterable[Form]) -> None:
        self._routes = [
            _Route(_compiled(path), form, call) for form in forms for call in form.calls for path in call.paths
        ]

    def find(self, method: str, path: str, query: Mapping[str, str]) -> Match | Form | None:
        """The call meant; a form that has the path for other methods alone; None for a path nobody has. `path` is
        still percent-encoded: an id may hold an encoded slash."""
        other = None
        for route in self._routes:
            found = route.pattern.fullmatch(path)
            if found is None or not _asked_for(route.call, query):
                continue
            if route.call.method == method:
                places = {name: unquote(text) for name, text in found.groupdict().items()}
                return Match(form=route.form, call=route.call, places=places)
            other = other or route.form
        return other


def _asked_for(call: Call, query: Mapping[str, str]) -> bool:
    return all(query.get(name) == value for name, value in getattr(call, "query", {}).items())


def _compiled(path: str) -> re.Pattern[str]:
    """The path as an expression: its places are named groups, all else stands for itself."""
    parts, at = [], 0
    for place in _PLACE.finditer(path):
        parts += [re.escape(path[at : place.start()]), f"(?P<{place[1]}>{place[2] or '[^/]+'})"]
        at = place.end()
    return re.compile("".join((*parts, re.escape(path[at:]))))
