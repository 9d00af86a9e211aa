"""Vendors that can be simulated. Each is a folder in `vendors/` with recorded answers and a `vendor.yaml`.

The keys of `vendor.yaml`:

    results            the kinds of results its tasks can make: videos, images, audios, texts; the first is the default
    results_by_action  kinds with a regular expression: a task whose action contains a match makes that kind
    demo_actions       kinds with the action that `genbridge demo` uses for them, if paths have an action
    ids                the template for ids of new tasks
    id_prefix          what every id begins with
    keys               the headers that can carry the API key; `authorization: Bearer {key}` if absent
    http               the HTTP status of each recorded answer, if not 200
    action             the action in answers about tasks without one
    callback           `field`: where a create call has the address for callbacks; `item`: the key of the answer to post
    request            defaults for `{request.KEY}` in answers
    prefixes           what each path can begin with; nothing if absent
    routes             a list; the first that matches a request answers it

A route is a purpose with one or more of `METHOD /path`, and the options of `VendorRoute`. In a path, `{name}` matches
one segment and `{name:pattern}` matches the regular expression.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict

from bridge.config.yaml import plain_yaml
from bridge.errors import UsageError
from bridge.simulator.recorded_answers import RecordedAnswers, fill, uuid_of
from bridge.simulator.simulated_task import Script, SimulatedResult

_FOLDER: Final = Path(__file__).with_name("vendors")
_PATH_PLACEHOLDER: Final = re.compile(r"\{(\w+)(?::((?:[^{}]|\{[\d,]+\})+))?\}")


class Purpose(StrEnum):
    """What a request is for: the first key of a route."""

    CREATE = "create"
    POLL = "poll"
    READ = "read"
    """Like a poll, but not counted as one: for example, the request for the file of a finished task."""
    BATCH = "batch"
    """Polls many tasks. The answer leaves out unknown ones."""
    LIST = "list"
    """Returns a page of the tasks of one action, or of this vendor if the path has none, newest first."""
    CONTENT = "content"
    """Downloads the result of a task that succeeded."""
    STATIC = "static"
    """Concerns no task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorRoute:
    """One method and path. Most options are for one purpose.

    query:        required keys and values of the query
    answer:       the beginning of the names of the files with its answers (`RecordedAnswers.name_for`)
    id, ids:      the key of path, query or body that holds the id; for a batch the keys that may hold the list of ids
    item:         a list holds this key of each task's answer, not the whole answer
    none:         the file that answers a batch in which every id is unknown
    page:         the keys that hold where a page begins, and its size
    begins:       the meaning of the first of these keys: the `number` of the page, the `offset` of its first task, or
                  the id of the task `after` which the page begins; `nowhere` if there are no pages
    whole:        the file that answers with a list
    external_id:  the key of the body, with dots, that holds the creator's own id
    lasts_s:      how long a new task takes
    """

    purpose: Purpose
    method: str
    path: str
    pattern: re.Pattern[str]
    query: Mapping[str, str] = field(default_factory=dict)
    answer: str = ""
    id: str = "id"
    ids: tuple[str, ...] = ("ids",)
    item: str | None = None
    none: str | None = None
    page: tuple[str, str] = ("page", "size")
    begins: str = "number"
    whole: str = "list"
    external_id: str = ""
    lasts_s: float | None = None


class VendorCallback(BaseModel):
    """`field`: the key of a create call's body with the address for callbacks; it may have dots. `item`: the key of the
    answer that a callback holds; None: the whole answer."""

    field: str
    item: str | None = None


class Vendor(BaseModel):
    """One vendor, as `vendor.yaml` describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: str
    answers: RecordedAnswers
    routes: tuple[VendorRoute, ...]
    results: tuple[SimulatedResult, ...]
    results_by_action: Mapping[SimulatedResult, str] = {}
    demo_actions: Mapping[SimulatedResult, str] = {}
    ids: str
    id_prefix: str = ""
    keys: tuple[str, ...] = ("authorization: Bearer {key}",)
    callback: VendorCallback | None = None
    action: str = ""
    request: Mapping[str, Any] = {}

    def new_id(self, number: int) -> str:
        return str(fill(self.ids, {"number": number, "uuid": uuid_of(number)}))

    def key_headers(self, key: str) -> Iterator[tuple[str, str]]:
        """The headers that can carry this key; one is enough. A vendor without any has no keys."""
        for line in self.keys:
            name, _, value = line.partition(": ")
            yield name, value.replace("{key}", key)

    def result_for(self, wanted: SimulatedResult) -> SimulatedResult:
        """The kind of result at this vendor: the vendor's default if it does not make the wanted kind."""
        return wanted if not wanted.is_success or wanted in self.results else self.results[0]

    def script_for(self, action: str) -> Script:
        """How a task of this action proceeds by default."""
        fitting = (result for result, pattern in self.results_by_action.items() if re.search(pattern, action))
        return Script(result=next(fitting, self.results[0]))


@cache
def vendor_names() -> tuple[str, ...]:
    """Every vendor that can be simulated. The names are those of the built-in providers."""
    return tuple(sorted(folder.name for folder in _FOLDER.iterdir()))


@cache
def load_vendor(name: str) -> Vendor:
    """UsageError if this vendor is not simulated."""
    if name not in vendor_names():
        raise UsageError(f'provider "{name}" is not simulated; choose one of: {", ".join(vendor_names())}')
    folder = _FOLDER / name
    described = plain_yaml(folder / "vendor.yaml")
    answers = RecordedAnswers(folder, described.pop("http", {}))
    routes = tuple(_routes(described.pop("routes"), described.pop("prefixes", [""])))
    return Vendor(name=name, answers=answers, routes=routes, **described)


RouteMatch = tuple[Vendor, VendorRoute | None, Mapping[str, str]]
"""A vendor with a matching path, the route (None if the path has no such method), and the values in the path."""


def find_route(vendors: Iterable[Vendor], method: str, path: str, query: Mapping[str, str]) -> RouteMatch | None:
    """The first match, in the order of `vendors`. `path` is percent-encoded: an id may contain a slash."""
    other: RouteMatch | None = None
    for vendor in vendors:
        for route in vendor.routes:
            found = route.pattern.fullmatch(path)
            if found is None or any(query.get(key) != value for key, value in route.query.items()):
                continue
            if route.method == method:
                values = {name: unquote(text) for name, text in found.groupdict().items()}
                return vendor, route, values
            other = other or (vendor, None, {})
    return other


def _routes(described: Iterable[Mapping[str, Any]], prefixes: Iterable[str]) -> Iterator[VendorRoute]:
    for each in described:
        purpose = next(purpose for purpose in Purpose if purpose in each)
        options: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in each.items()
        }
        lines = options.pop(purpose)
        if purpose is Purpose.CREATE:
            options.setdefault("answer", "created")
        for line in (lines,) if isinstance(lines, str) else lines:
            method, _, path = line.partition(" ")
            for full in (prefix + path for prefix in prefixes):
                yield VendorRoute(purpose=purpose, method=method, path=full, pattern=_compiled(full), **options)


def _compiled(path: str) -> re.Pattern[str]:
    """The path as a regular expression: its placeholders become named groups."""
    parts, at = [], 0
    for found in _PATH_PLACEHOLDER.finditer(path):
        parts += [re.escape(path[at : found.start()]), f"(?P<{found[1]}>{found[2] or '[^/]+'})"]
        at = found.end()
    return re.compile("".join((*parts, re.escape(path[at:]))))
