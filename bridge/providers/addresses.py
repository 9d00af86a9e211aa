"""From an account and a task to the request to send, and from addresses back to tasks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

import orjson

from bridge.domain.task import Json
from bridge.providers.description import Description
from bridge.providers.route import PLACES, Batch, Call, Route, Second

PORTS: Final = {"http": 80, "https": 443}
SEGMENT: Final = r"[^/?#]+"
PLAIN: Final = re.compile(r"[A-Za-z0-9_.~-]+")  # needs no encoding; as most ids


class Asking(NamedTuple):
    """A request still without headers. `url` is percent-encoded; `is_elsewhere` marks one that is not below the
    account's base URL."""

    method: str
    url: str
    body: bytes | None = None
    is_elsewhere: bool = False


def action_problem(description: Description, action: str | None) -> str | None:
    """Why tasks cannot be asked about with this action, or None when they can."""
    allowed = description.action
    if allowed is None or not description.takes_action:
        return None
    action = action or allowed.default
    if action is None:
        if not description.ask.needs_action:
            return None
        return f"no action is set for this task, nor for its account (e.g. {allowed.example})"
    if re.fullmatch(allowed.pattern, action) is None:
        return f'"{action[:80]}" cannot be an action here; one is e.g. {allowed.example}'
    return None


def harmless_action(description: Description) -> str | None:
    """An action with which a task that nobody has can be asked about."""
    allowed = description.action
    return None if allowed is None else allowed.default or (allowed.example if description.ask.needs_action else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """The request about any task that has one action: all of it that does not depend on the id."""

    call: Route
    base: str
    rest: str  # path and query, still with the id's places: what else is put in holds no brace, as it is encoded
    action: str

    def about(self, task_id: str) -> Asking:
        """The request about one task. ValueError, in words for people, when there can be none."""
        rest = self.rest
        if "{+id}" in rest:
            if {"", ".", ".."} & set(task_id.split("/")):
                raise ValueError("the id cannot be a path")
            rest = rest.replace("{+id}", _encoded("+", task_id))
        url = self.base + rest.replace("{id}", _encoded("id", task_id))
        call = self.call
        body = None if call.body is None else _body(call, {"id": task_id, "action": self.action})
        return Asking(call.method, url, body, is_elsewhere=not self.base)


def template(description: Description, *, base_url: str, action: str | None) -> Template:
    """How to ask about tasks with this action. ValueError, in words for people, when that cannot be."""
    if (problem := action_problem(description, action)) is not None:
        raise ValueError(problem)
    route = description.route(urlsplit(base_url).hostname)
    action = action or (description.action.default if description.action else None)
    base, rest = _filled(route, _chosen(route, action), base_url, {"action": action or ""})
    return Template(call=route, base=base, rest=rest, action=action or "")


def asking(description: Description, *, base_url: str, task_id: str, action: str | None) -> Asking:
    """The request about one task. ValueError, in words for people, when there can be none."""
    return template(description, base_url=base_url, action=action).about(task_id)


def asking_together(batch: Batch, *, base_url: str, task_ids: Sequence[str], action: str | None) -> Asking:
    """The request about many tasks."""
    return _whole(batch, base_url, {"ids": list(task_ids), "action": action or ""})


def asking_second(second: Second, *, base_url: str, value: str) -> Asking:
    """The second request about a finished task."""
    return _whole(second, base_url, {"value": value})


def locate(description: Description, base_url: str, url: str) -> tuple[str | None, str] | None:
    """Action and task id of a full query URL of this account, or None when it is none."""
    try:
        base, asked = urlsplit(base_url), urlsplit(url.strip())
        is_ours = origin_of(base) == origin_of(asked)
    except ValueError:
        return None
    below = base.path.rstrip("/") if is_ours else None
    return _located(description, description.route(base.hostname), asked, below)


def locate_elsewhere(description: Description, url: str) -> tuple[str | None, str] | None:
    """Likewise of a query URL at one of the further hosts that the description itself names."""
    try:
        asked = urlsplit(url.strip())
        origin_of(asked)
    except ValueError:
        return None
    found = (_located(description, route, asked, None) for route in _routes(description))
    return next((task for task in found if task is not None), None)


def origin_of(parts: SplitResult) -> tuple[str, str | None, int | None]:
    """Scheme, host and port; ValueError when the port is none."""
    return parts.scheme, parts.hostname, parts.port or PORTS.get(parts.scheme)


def may_have_key(url: str, *, base_url: str, origins: Sequence[str]) -> bool:
    """Whether the account's key may go to this URL: to the origin of the base URL, and to those the operator lists,
    where `https://*.example.com` stands for every host below that domain."""
    try:
        parts = urlsplit(url)
        asked = origin_of(parts)
        if "@" in parts.netloc:
            return False
        return any(_covers(origin_of(urlsplit(each)), asked) for each in (base_url, *origins))
    except ValueError:
        return False


def _covers(
    allowed: tuple[str, str | None, int | None],
    asked: tuple[str, str | None, int | None],
) -> bool:
    (scheme, host, port), (asked_scheme, asked_host, asked_port) = allowed, asked
    if (scheme, port) != (asked_scheme, asked_port) or not host or not asked_host:
        return False
    return asked_host.endswith(host[1:]) and len(asked_host) >= len(host) if host[:2] == "*." else asked_host == host


def _routes(description: Description) -> list[Route]:
    return [description.ask, *([description.direct] if description.direct else [])]


def _chosen(route: Route, action: str | None) -> str:
    """The first path that has a place for the action just when there is one."""
    fitting = (path for path in route.path if ("{action}" in path) == (action is not None))
    return next(fitting, route.path[0])


Given = Mapping[str, str | list[str]]


def _whole(call: Batch | Second, base_url: str, given: Given) -> Asking:
    base, rest = _filled(call, call.path, base_url, given)
    return Asking(method=call.method, url=base + rest, body=_body(call, given), is_elsewhere=not base)


def _filled(call: Call, path: str, base_url: str, given: Given) -> tuple[str, str]:
    """The base of the address, when it is below that of the account; the rest, with places where nothing is given."""

    def encoded(text: str) -> str:
        for name, value in given.items():
            if f"{{{name}}}" in text:
                text = text.replace(f"{{{name}}}", _encoded(name, value))
        return text

    query = "&".join(f"{quote(name, safe='')}={encoded(value)}" for name, value in call.query.items())
    rest = f"{encoded(path)}?{query}" if query else encoded(path)
    return (base_url.rstrip("/") if path.startswith("/") else ""), rest


def _body(call: Call, given: Given) -> bytes | None:
    return None if call.body is None else orjson.dumps(_filled_body(call.body, given))


def _encoded(place: str, value: str | list[str]) -> str:
    if isinstance(value, list):
        return ",".join(quote(each, safe="") for each in value)
    if PLAIN.fullmatch(value) is not None:
        return value
    return quote(value, safe="/" if place in {"+", "action"} else "")


def _filled_body(template: Json, given: Mapping[str, str | list[str]]) -> Json:
    if isinstance(template, Mapping):
        return {key: _filled_body(value, given) for key, value in template.items()}
    if isinstance(template, list | tuple):
        return [_filled_body(value, given) for value in template]
    if not isinstance(template, str):
        return template
    if template == "{ids}":
        return given["ids"]
    return PLACES.sub(lambda place: str(given.get(place[1].removeprefix("+"), place[0])), template)


def _match(template: str, text: str) -> dict[str, str] | None:
    """What stands in the places of a template, still encoded."""
    expression = re.escape(template)
    for place, what in (("action", ".+"), ("+id", ".+"), ("id", SEGMENT)):
        named = f"(?P<{place.removeprefix('+')}>{what})"
        expression = expression.replace(re.escape(f"{{{place}}}"), named, 1)
    found = re.fullmatch(expression, text.removesuffix("/"))
    return found.groupdict() if found is not None else None


def _located(
    description: Description, route: Route, asked: SplitResult, below: str | None
) -> tuple[str | None, str] | None:
    """`below` is the path of the account's base URL, None when the URL is at another origin."""
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


def _task_in(
    description: Description, route: Route, found: Mapping[str, str], query: str
) -> tuple[str | None, str] | None:
    try:
        asked = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=100))
    except ValueError:
        return None
    task_id = unquote(found["id"]) if "id" in found else None
    for name, template in route.query.items():
        if template in {"{id}", "{+id}"}:
            task_id = asked.get(name)
        elif not PLACES.search(template) and asked.get(name) != template:
            return None
    action = unquote(found["action"]) if "action" in found else None
    if not task_id or (action is not None and action_problem(description, action) is not None):
        return None
    return action, task_id
