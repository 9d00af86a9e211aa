"""Builds the request about a task, and finds the task in a query URL."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

import orjson

from bridge.domain.origins import has_origin, origin_of
from bridge.domain.task import Json
from bridge.providers.calls import Action, BatchCall, ListCall, SecondCall, TaskCall
from bridge.providers.description import Description
from bridge.providers.task_rules import NOT_OF_ACTION, PLACEHOLDERS, placeholders, uses_action

MOST_URL_CHARS: Final = 2048  # maximum for a query URL, because matching can take time in the square of its length
SEGMENT: Final = r"[^/?#]+"
PLAIN: Final = re.compile(r"[A-Za-z0-9_.~-]+")  # needs no encoding; most ids are like this
IN_HEADER: Final = "".join(map(chr, range(32, 127)))  # characters that a header may contain unencoded

Given = Mapping[str, str | int | list[str]]
"""The values for the placeholders of a request. A number or a list stays one where it is a whole value of a body."""


class TaskRequest(NamedTuple):
    """A request with the headers that only it has. `url` is percent-encoded. `is_elsewhere`: it is not below the
    account's base URL."""

    method: str
    url: str
    body: bytes | None = None
    is_elsewhere: bool = False
    headers: Mapping[str, str] = MappingProxyType({})


class NamedTask(NamedTuple):
    """A task as a query URL or a create answer names it. `action`: None if it names none."""

    task_id: str
    action: str | None


def harmless_action(description: Description) -> str | None:
    """An action for a request about a task that does not exist."""
    action = description.action
    if action is None:
        return None
    return action.default or (action.example if description.task_rules.needs_action else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTemplate:
    """The parts of a request that are the same for all tasks with one action."""

    call: TaskCall
    base: str
    rest: str  # path and query with only the id's placeholders left; everything else is encoded and contains no brace
    given: Mapping[str, str]  # the action and the named groups of its pattern
    headers: Mapping[str, str]  # headers with placeholders

    def about(self, task_id: str) -> TaskRequest:
        """The request about one task. ValueError, with a text for people, if it cannot be built."""
        rest = self.rest
        if "{+id}" in rest:
            if {"", ".", ".."} & set(task_id.split("/")):
                raise ValueError("the id cannot be a path")
            rest = rest.replace("{+id}", _in_url("+id", task_id))
        url = self.base + rest.replace("{id}", _in_url("id", task_id))
        call = self.call
        if call.body is None and not self.headers:  # the most common case
            return TaskRequest(call.method, url, None, not self.base)
        given = {**self.given, "id": task_id}
        body = None if call.body is None else orjson.dumps(_filled_body(call.body, given))
        return TaskRequest(call.method, url, body, not self.base, _filled_headers(self.headers, given))


def template(description: Description, action: str | None, *, base_url: str) -> RequestTemplate:
    """The template for tasks with this action. ValueError, with a text for people, if no template fits."""
    rules = description.task_rules
    if rules.takes_action and (problem := rules.action_problem(action, "")) is not None:
        raise ValueError(problem)
    route = description.route(base_url)
    given = of_action(description.action, action)
    # For a task with an action, the first path with a placeholder for it; otherwise the first path without one.
    fitting = (path for path in route.path if uses_action(path) == bool(given["action"]))
    path = next(fitting, route.path[0])
    base, rest = _address(path, route.query, base_url, given)
    return RequestTemplate(call=route, base=base, rest=rest, given=given, headers=_with_placeholders(route))


def task_request(description: Description, *, base_url: str, task_id: str, action: str | None) -> TaskRequest:
    """The request about one task. ValueError, with a text for people, if it cannot be built."""
    action = description.acting(task_id, action)
    return template(description, action, base_url=base_url).about(task_id)


def call_request(
    description: Description,
    call: BatchCall | SecondCall | ListCall,
    *,
    base_url: str,
    action: str | None,
    given: Given,
    more: Mapping[str, Json] = MappingProxyType({}),
) -> TaskRequest:
    """A request other than that about one task. `given` are the values of its own placeholders. `more` are parameters
    to add to its query or, if it has one, to its body."""
    route = description.route(base_url)
    given = {**of_action(description.action, action), **given}
    in_query = {name: quote(str(value), safe="") for name, value in more.items()} if call.body is None else {}
    base, rest = _address(call.path, {**call.query, **in_query}, base_url, given)
    body = _filled_body(call.body, given)
    content = None if body is None else orjson.dumps({**body, **more} if more else body)
    headers = _filled_headers({**_with_placeholders(route), **call.headers}, given)
    return TaskRequest(call.method, base + rest, content, not base, headers)


def of_action(allowed: Action | None, action: str | None) -> dict[str, str]:
    """The values for placeholders that come from an action: `action` and the named groups of its pattern."""
    action = action or (allowed.default if allowed else None) or ""
    return {**(allowed.parts(action) if allowed else {}), "action": action}


def content_url(base_url: str, path: str, given: Given) -> str:
    """The address of a result on the account's own server. A placeholder without a value is empty."""
    empty = {name.removeprefix("+"): "" for name in placeholders(path)}
    return base_url.rstrip("/") + _filled(path, {**empty, **given}, _in_content_url)


def locate(description: Description, base_url: str, url: str) -> NamedTask | None:
    """The task in a query URL of this account; None for any other URL."""
    base, asked = urlsplit(base_url), _query_url(url)
    if asked is None:
        return None
    below = base.path.rstrip("/") if origin_of(base) == origin_of(asked) else None
    return _located(description, description.route(base_url), asked, below)


def locate_below(description: Description, base_path: str, target: str) -> tuple[TaskCall, NamedTask] | None:
    """The call and the task in a path and query below the path of a base URL, at any host. None for every other
    target."""
    if len(target) > MOST_URL_CHARS:
        return None
    asked = SplitResult("", "", *urlsplit(f"//host{target}")[2:])
    for route in description.routes:
        if (found := _located(description, route, asked, base_path.rstrip("/"))) is not None:
            return route, found
    return None


def collection_action(template: str, path: str) -> str | None:
    """The action if this is the path of a query without the id, where tasks are created; "" if that has no action. None
    for any other path."""
    collection, found, after = template.rpartition("/{id}")
    given = _match(collection, path) if found and not after else None
    return None if given is None else unquote(given.get("action", ""))


def locate_anywhere(description: Description, url: str) -> NamedTask | None:
    """The same for a query URL at any host. Hosts in the description are tried first."""
    asked = _query_url(url)
    if asked is None:
        return None
    found = (_located(description, route, asked, below) for below in (None, "") for route in description.routes)
    return next((task for task in found if task is not None), None)


def _query_url(url: str) -> SplitResult | None:
    try:
        asked = urlsplit(url.strip())
        origin_of(asked)
    except ValueError:
        return None
    return asked if len(url) <= MOST_URL_CHARS else None


def vendor_origins(description: Description, base_url: str) -> list[str]:
    """The hosts in the addresses of a vendor's own API if they include that of the base URL: `https://*.bfl.ai` for an
    account at `https://api.bfl.ai`, whose tasks are only readable in their region."""
    paths = (path for path in description.direct.path if not path.startswith("/")) if description.direct else ()
    hosts = (path.split("/")[2].rpartition("}") for path in paths)
    found = [f"https://{'*' if place else ''}{host}" for _, place, host in hosts]
    return [each for each in found if has_origin(base_url, [each])]


def _address(path: str, parameters: Mapping[str, str], base_url: str, given: Given) -> tuple[str, str]:
    """The base URL if the path is below it, and the rest of the address."""
    names = {name: quote(name, safe="{}" if PLACEHOLDERS.search(name) else "") for name in parameters}
    query = "&".join(f"{names[name]}={text}" for name, text in parameters.items())
    rest = _filled(f"{path}?{query}" if query else path, given, _in_url)
    return (base_url.rstrip("/") if path.startswith("/") else ""), rest


def _filled(template: str, given: Given, encoded: Callable[[str, str], str] | None = None) -> str:
    """The template with its placeholders replaced. Placeholders without a value stay. `encoded` gets the placeholder's
    name and a value."""

    def text(place: re.Match[str]) -> str:
        value = given.get(place[1].removeprefix("+"))
        if value is None:
            return place[0]
        values = value if isinstance(value, list) else [str(value)]
        return ",".join(values if encoded is None else [encoded(place[1], each) for each in values])

    return PLACEHOLDERS.sub(text, template)


def _in_url(name: str, value: str) -> str:
    if PLAIN.fullmatch(value) is not None:
        return value
    return quote(value, safe="" if name in {"id", "ids", "value"} else "/")


def _in_content_url(name: str, value: str) -> str:
    return quote(value, safe="/" if name in {"+id", "action"} else "")


def _with_placeholders(route: TaskCall) -> dict[str, str]:
    return {name: text for name, text in route.headers.items() if PLACEHOLDERS.search(text)}


def _filled_headers(headers: Mapping[str, str], given: Given) -> dict[str, str]:
    return {name: _filled(value, given, lambda _, text: quote(text, safe=IN_HEADER)) for name, value in headers.items()}


def _filled_body(template: Json, given: Given) -> Json:
    if isinstance(template, Mapping):
        return {_filled(key, given): _filled_body(value, given) for key, value in template.items()}
    if isinstance(template, list | tuple):
        return [_filled_body(value, given) for value in template]
    if not isinstance(template, str):
        return template
    whole = PLACEHOLDERS.fullmatch(template)
    value = None if whole is None else given.get(whole[1])
    return value if isinstance(value, int | list) else _filled(template, given)


def _match(template: str, text: str) -> dict[str, str] | None:
    """The texts of the placeholders of a template, still encoded. An action, or its only group, has the name
    `action`."""
    of_action = placeholders(template) - NOT_OF_ACTION
    if len(of_action) > 1:
        return None
    expression, at, taken = "", 0, set()
    for place in PLACEHOLDERS.finditer(template):
        name = "action" if place[1] in of_action else place[1].removeprefix("+")
        what = f"(?P={name})" if name in taken else f"(?P<{name}>{SEGMENT if place[1] == 'id' else '.+'})"
        expression += re.escape(template[at : place.start()]) + what
        at = place.end()
        taken.add(name)
    found = re.fullmatch(expression + re.escape(template[at:]), text.removesuffix("/"))
    return found.groupdict() if found is not None else None


def _located(description: Description, route: TaskCall, asked: SplitResult, below: str | None) -> NamedTask | None:
    """`below` is the path of the account's base URL; None when the URL is at another origin."""
    for path in route.path:
        template, text = path, f"{asked.scheme}://{asked.netloc}{asked.path}"
        if path.startswith("/"):
            template, text = f"{below}{path}", asked.path
        if path.startswith("/") and below is None:
            continue
        found = _match(template, text)
        if found is not None and (task := _task_in(description, route, found, asked.query)) is not None:
            return task
    return None


def _task_in(description: Description, route: TaskCall, found: Mapping[str, str], query: str) -> NamedTask | None:
    try:
        asked = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=100))
    except ValueError:
        return None
    task_id = unquote(found["id"]) if "id" in found else None
    action = unquote(found["action"]) if "action" in found else None
    for name, template in route.query.items():
        if template in {"{id}", "{+id}"}:
            task_id = asked.get(name)
        elif template.strip("{}") in placeholders(template) - NOT_OF_ACTION:
            action = asked.get(name)
        elif not PLACEHOLDERS.search(template) and asked.get(name) != template:
            return None
    if not task_id or (action is not None and description.task_rules.action_problem(action) is not None):
        return None
    return NamedTask(task_id, action)
