"""Interprets a gateway request and its answer according to the provider's description."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote, urlsplit

import orjson

from bridge.domain.public_addresses import NO_HOSTS, AllowedHosts
from bridge.domain.quoting import printable
from bridge.domain.task import ENDING, UNDER_WAY, Json, Reading, ReadingKind
from bridge.expressions.answer_budget import ExpressionLimit, answer_budget
from bridge.expressions.json_text import parse_json
from bridge.net.client import NO_HEADERS, Answer
from bridge.providers.auth import shown
from bridge.providers.calls import KeyPlace
from bridge.providers.description import Description
from bridge.providers.new_tasks import created, created_by_any
from bridge.providers.provider import secrets_of
from bridge.providers.reading import judge, read
from bridge.providers.results import PollContext
from bridge.providers.task_requests import NamedTask, collection_action, locate_below

CREATING: Final = frozenset({"POST", "PUT"})
ABOUT_TASK: Final = UNDER_WAY | ENDING
"""Answers to status calls that count as polls. Other answers may be about the caller's request instead of the task."""
SIGNED: Final = "this account signs its requests; the gateway works with an api_key only: call the provider directly"
IN_QUERY: Final = (
    "the provider expects the key in the query, which the gateway does not support: call the provider directly"
)


class NotCreated(ValueError):
    """The answer contains a new task that cannot be watched. The text says why."""


class PassThrough:
    """One account at the gateway. `headers` are the account's own; `now` returns wall-clock seconds.

    `refusal` says why its requests cannot be forwarded; None if they can.
    """

    def __init__(
        self,
        description: Description,
        *,
        base_url: str,
        api_key: str,
        has_key_pair: bool = False,
        action: str | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
        allowed: AllowedHosts = NO_HOSTS,
        now: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self._description = description
        self._action = action
        self._now = now
        self._allowed = allowed
        self.base_url: Final = base_url
        self.base_path: Final = urlsplit(base_url).path
        self.most_bytes: Final = description.most_bytes
        auth = description.route(base_url).auth
        self.refusal: Final = _refusal(auth, has_key_pair)
        own = {} if self.refusal else shown(auth, api_key)[0]
        given = {name.lower() for name in headers}
        self.headers: Final = {name: text for name, text in own.items() if name.lower() not in given} | dict(headers)
        self.secrets: Final = secrets_of((api_key,), headers)
        self.key_header: Final = (auth.header or "") if isinstance(auth, KeyPlace) else "Authorization"

    def status_call(self, method: str, target: str) -> NamedTask | None:
        """The task that a request polls in the same way as genbridge; None for every other request. `target` is its
        path and query at the provider."""
        found = locate_below(self._description, self.base_path, target)
        if found is None or found[0].method != method or found[0].body is not None:
            return None
        return found[1]

    def reading(self, task: NamedTask, answer: Answer) -> Reading | None:
        """The reading of the answer to a status call, as for a poll; None if it says nothing about the task. A success
        whose results need another request is a reading that `lacks_result`."""
        action = self._description.acting(task.task_id, task.action or self._action)
        asked = PollContext(task.task_id, action, self.base_url, self._now(), self._allowed)
        reading = read(self._description, answer, asked)
        return reading.without_files() if reading.kind in ABOUT_TASK or reading.lacks_result else None

    def limited(self, answer: Answer) -> Reading | None:
        """What the answer means for the account's limits, if the provider refused the request because of a limit."""
        try:
            with answer_budget():
                reading = judge(self._description, answer)
        except ExpressionLimit:
            return None
        return reading if isinstance(reading, Reading) and reading.kind is ReadingKind.RATE_LIMITED else None

    def may_create(self, method: str, path: str) -> bool:
        """Whether answers to this method at this path may contain a new task."""
        form = self._description.created
        return method in CREATING and form is not None and not any(part in path for part in form.not_at)

    def created(self, path: str, answer: Answer) -> NamedTask | None:
        """The task that an answer created; None if it created none. `path` is the path of the
        request, below the base URL.

        NotCreated if the task cannot be watched, or if the answer to a known create call cannot be read.
        """
        is_sure = any(self._is_possible(collection_action(template, path)) for template in self._paths)
        if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            return None
        if not answer.complete:
            if is_sure:
                raise NotCreated(f"the create answer cannot be read: {answer.trouble}")
            return None
        try:
            body: Json = parse_json(answer.body)
            if is_sure:
                task = created(self._description, body, self.base_url)
            else:
                task = created_by_any({"": self._description}, body, self.base_url).get("")
        except orjson.JSONDecodeError:
            return None
        except ExpressionLimit as limit:
            raise NotCreated(f"the create answer cannot be read: {limit}") from None
        if task is None:
            return None
        if task.task_id in unquote(path).split("/"):
            return None  # a call about this task, such as its cancellation
        action = task.action or self.action_of(path) or self._action
        if (problem := self._description.task_rules.action_problem(action, task.task_id)) is not None:
            raise NotCreated(f"task {printable(task.task_id)}: {problem}")
        return task._replace(action=action)

    def action_of(self, path: str) -> str | None:
        """The action in the path of a create call, such as videos/text2video."""
        allowed = self._description.action
        if allowed is not None and (named := allowed.at_path(path)) is not None:
            return named
        shown_actions = (each for template in self._paths for each in _actions_in(template, path))
        return next((each for each in shown_actions if each and self._is_possible(each)), None)

    def _is_possible(self, action: str | None) -> bool:
        """Whether a path where tasks are created shows this action ("": it shows none)."""
        return action == "" or (action is not None and self._description.task_rules.action_problem(action) is None)

    @property
    def _paths(self) -> Iterator[str]:
        """The paths of genbridge's polls, at the vendor and at aggregators: an unknown host may have either."""
        for route in self._description.routes:
            yield from (path for path in route.path if path.startswith("/"))


def _actions_in(template: str, path: str) -> Iterator[str]:
    """Possible actions in the path of a create call, the most probable first. The path begins like that of the query:
    `/v2/{action}/run` for `/v2/{action}/status/{id}`."""
    if "{id}" not in template:
        return
    yield collection_action(template, path) or ""
    head, found, _ = template.partition("{action}")
    if found and head != "/" and path.startswith(head):
        segments = unquote(path[len(head) :]).strip("/").split("/")
        yield from ("/".join(segments[:size]) for size in range(len(segments), 0, -1))


def _refusal(auth: str | KeyPlace, has_key_pair: bool) -> str | None:
    if auth == "signed" or has_key_pair:
        return SIGNED
    return IN_QUERY if isinstance(auth, KeyPlace) and auth.header is None else None
