"""A simulated provider: the documented requests of every built-in provider, over tasks that live in memory.

Which they are, each form says (`bridge.simulator.forms`); all share the tasks, so that one id can be asked about in
every form. Result URLs point at `/files/...` here, which needs no key. Tasks whose id begins with `demo-` are born when
first asked for; `bridge.simulator.tasks` has the grammar.
"""

from __future__ import annotations

import hmac
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, assert_never

import orjson
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from bridge.errors import UsageError
from bridge.ports import Clock
from bridge.simulator.files import file
from bridge.simulator.forms import FORMS
from bridge.simulator.forms.form import Batch, Content, Create, Fixed, Form, Json, Listing, Query, Reply, Sent
from bridge.simulator.routing import Match, Routes
from bridge.simulator.tasks import Script, SimulatedTask, View, script_of
from bridge.simulator.wishes import Wish, wish_of

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
MAX_BODY_BYTES: Final = 32 * 2**20  # a create may carry pictures in base64
MAX_EXTERNAL_ID_CHARS: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A request, understood as far as it is the same for all forms. `given`: its query, body and places, by name."""

    match: Match
    wish: Wish
    given: Mapping[str, Json]
    base_url: str


class SimulatedProvider:
    """The provider and its tasks. All instants are `clock.steady()`, told in each form's units.

    `key`: the API key that is asked for; None takes any, or none. `rate`: requests answered in each second of the
    clock, further ones are refused; None sets no bound. `provider`: the form that has the paths on which several
    meet, and that words the answer on paths nobody has. UsageError when there is no such form.
    """

    def __init__(
        self, clock: Clock, *, key: str | None = None, rate: int | None = None, provider: str = "kling"
    ) -> None:
        self.polls: Counter[str] = Counter()
        """Answers about each known task."""
        self.requests = 0
        """Requests that asked about tasks."""
        if provider not in FORMS:
            raise UsageError(f'no provider "{provider}" is simulated; there are: {", ".join(FORMS)}')
        self._clock = clock
        self._key = key
        self._rate = rate
        self._second, self._taken = 0, 0
        self._tasks: dict[str, SimulatedTask] = {}
        self._by_external_id: dict[str, SimulatedTask] = {}
        # Ids begin where the clock stands: one created after a restart is never one of an earlier run.
        self._numbers = itertools.count(int(clock.now() * 1000))
        self._answers = itertools.count(1)
        self._main = FORMS[provider]
        self._routes = Routes((self._main, *(form for form in FORMS.values() if form is not self._main)))
        self.app: Final = Starlette(
            routes=[
                Route("/files/{name:path}", _file, methods=["GET"]),
                Route("/{path:path}", self._take, methods=list(METHODS)),
            ],
            exception_handlers={ClientDisconnect: _nobody_listens},
        )
        self.app.router.redirect_slashes = False

    def plan(
        self,
        task_id: str,
        script: Script,
        *,
        action: str = "",
        born_at: float | None = None,
        external_id: str = "",
        wish: Mapping[str, Any] | None = None,
    ) -> SimulatedTask:
        """Add a task, or plan it anew; born now unless told otherwise, in the past or to come."""
        task = SimulatedTask(
            task_id=task_id,
            action=action,
            script=script,
            born_at=self._clock.steady() if born_at is None else born_at,
            external_id=external_id,
            wish=wish or {},
        )
        self._tasks[task_id] = task
        if external_id:
            self._by_external_id[external_id] = task
        return task

    @property
    def tasks(self) -> Sequence[SimulatedTask]:
        """Every task there is, in the order of their births."""
        return list(self._tasks.values())

    @property
    def ended_at(self) -> Mapping[str, float]:
        """The tasks that have ended by now, and when."""
        now = self._clock.steady()
        ends = ((task.task_id, task.ends_at) for task in self._tasks.values())
        return {task_id: ends_at for task_id, ends_at in ends if ends_at is not None and ends_at <= now}

    async def _take(self, request: Request) -> Response:
        path = request.scope["raw_path"].decode("ascii", "replace")
        method = "GET" if request.method == "HEAD" else request.method
        match = self._routes.find(method, path, request.query_params)
        if match is None:
            return self._reply(self._main, self._main.not_found)
        if isinstance(match, Form):
            return self._reply(match, match.unknown_method)
        try:
            body = await _body(request)
            if (refusal := self._refusal(match.form, request, body)) is not None:
                return self._reply(match.form, refusal)
            wish = wish_of(body)
            given = {**wish.body, **request.query_params, **match.places}
            origin = f"{request.url.scheme}://{request.url.netloc}"
            return self._answer(_Asked(match=match, wish=wish, given=given, base_url=origin))
        except ValueError as error:
            return self._reply(match.form, match.form.bad_request(str(error)))

    def _refusal(self, form: Form, request: Request, body: bytes) -> Reply | None:
        if self._key is not None and not _shows(self._key, form, request, body):
            is_signed = "Signature=" in request.headers.get("authorization", "")
            return form.unsigned if form.unsigned is not None and is_signed else form.unauthorized
        if self._rate is None:
            return None
        second = int(self._clock.steady())
        if second != self._second:
            self._second, self._taken = second, 0
        self._taken += 1
        return form.limited if self._taken > self._rate else None

    def _answer(self, asked: _Asked) -> Response:
        """ValueError for a request that will not do."""
        form, call = asked.match.form, asked.match.call
        match call:
            case Create():
                return self._reply(form, Reply(body=call.answer(self._view(self._created(asked, call), asked))))
            case Query():
                task = self._find(_text(asked.given, call.id), asked)
                if task is None:
                    return self._reply(form, form.not_found)
                if call.is_poll:
                    self._count(task)
                return self._reply(form, Reply(body=call.answer(self._view(task, asked))))
            case Batch():
                found = (self._find(task_id, asked) for task_id in _ids(asked.given, call.ids))
                tasks = [task for task in found if task is not None]
                self._count(*tasks)
                views = [self._view(task, asked) for task in tasks]
                return self._reply(form, call.none if call.none and not views else Reply(body=call.answer(views)))
            case Listing():
                views = [self._view(task, asked) for task in self._page(asked.given)]
                return self._reply(form, Reply(body=call.answer(views)))
            case Content():
                task = self._find(_text(asked.given, "id"), asked)
                view = None if task is None else self._view(task, asked)
                return file(view.url) if view is not None and view.is_done else self._reply(form, form.not_found)
            case Fixed():
                return self._reply(form, Reply(body=call.answer(asked.match.places)))
            case _:
                assert_never(call)

    def _created(self, asked: _Asked, call: Create) -> SimulatedTask:
        """As an id of the grammar anywhere in the body asks, else a success of the kind that fits the action."""
        external_id = _external_id(asked.wish.body, call.external)
        if external_id in self._by_external_id:
            raise ValueError(f"{call.external.rpartition('.')[2]} exists already")
        action = asked.match.places.get("action", call.action)
        form = asked.match.form
        return self.plan(
            form.new_id(next(self._numbers)),
            asked.wish.script or form.planned(action),
            action=action,
            external_id=external_id,
            wish=asked.wish.body,
        )

    def _find(self, task_id: str, asked: _Asked) -> SimulatedTask | None:
        task = self._tasks.get(task_id) or self._by_external_id.get(task_id)
        if task is not None:
            return task
        script = script_of(task_id) or script_of(task_id.rpartition("/operations/")[2])
        action = asked.match.places.get("action", "")
        return None if script is None else self.plan(task_id, script, action=action)

    def _page(self, given: Mapping[str, Json]) -> Iterator[SimulatedTask]:
        page = _whole(given, "pageNum", default=1, most=1000)
        size = _whole(given, "pageSize", default=30, most=500)
        tasks = (task for task in reversed(self._tasks.values()) if task.action == given["action"])
        return itertools.islice(tasks, (page - 1) * size, page * size)

    def _view(self, task: SimulatedTask, asked: _Asked) -> View:
        ending = asked.match.form.ending(task.script.ending)
        return View(task=task, now=self._clock.steady(), base_url=asked.base_url, ending=ending)

    def _count(self, *tasks: SimulatedTask) -> None:
        self.requests += 1
        self.polls.update(task.task_id for task in tasks)

    def _reply(self, form: Form, reply: Reply) -> Response:
        body = reply.body
        if form.stamp is not None and isinstance(body, dict):
            body = {**body, **form.stamp(next(self._answers))}
        return Response(orjson.dumps(body), reply.status, media_type="application/json")


def _shows(key: str, form: Form, request: Request, body: bytes) -> bool:
    """Whether the key, or a signature made with it, comes with the request."""
    shown = [(request.headers.get(header, "").encode(), lead) for header, lead in form.keys]
    if any(hmac.compare_digest(given, f"{lead}{key}".encode()) for given, lead in shown):
        return True
    if form.is_signed is None:
        return False
    path, query = (request.scope[name].decode("ascii", "replace") for name in ("raw_path", "query_string"))
    return form.is_signed(Sent(method=request.method, path=path, query=query, headers=request.headers, body=body), key)


def _external_id(body: Mapping[str, Json], name: str) -> str:
    """The creator's own id, "" for none; ValueError for one that will not do."""
    value: Json = body
    for key in name.split(".") if name else ("",):
        value = value.get(key) if isinstance(value, Mapping) else None
    value = value or ""
    if not isinstance(value, str) or len(value) > MAX_EXTERNAL_ID_CHARS:
        raise ValueError(f"external_task_id must be text of at most {MAX_EXTERNAL_ID_CHARS} characters")
    return value


def _text(given: Mapping[str, Json], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is missing")
    return value


def _ids(given: Mapping[str, Json], names: Sequence[str]) -> list[str]:
    value = next((given[name] for name in names if name in given), None)
    listed = value.split(",") if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise ValueError(f"{names[0]} is missing")
    return list(dict.fromkeys(listed))


def _whole(given: Mapping[str, Json], name: str, *, default: int, most: int) -> int:
    text = str(given.get(name, default))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= most):
        raise ValueError(f"{name} must be a number from 1 to {most}")
    return int(text)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ValueError(f"the body is larger than {MAX_BODY_BYTES} bytes")
    return bytes(body)


async def _file(request: Request) -> Response:
    return file(request.path_params["name"])


async def _nobody_listens(_: Request, __: Exception) -> Response:
    """The client went away while sending; without this uvicorn logs a traceback."""
    return Response(status_code=HTTPStatus.BAD_REQUEST)
