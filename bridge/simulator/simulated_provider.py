"""The simulated provider: the documented requests of every built-in provider, for tasks that live in memory.

What each vendor answers is in `vendors/`. All vendors share the tasks, as at an aggregator that speaks several APIs.
Result URLs lead to `/files/...` here and need no key.
"""

from __future__ import annotations

import hmac
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, assert_never
from urllib.parse import urlencode

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bridge.net.http_server import read_body
from bridge.ports import Clock
from bridge.simulator.recorded_answers import UNKNOWN_METHOD, Json, values_of
from bridge.simulator.request_body import parse_body, script_in, value_at
from bridge.simulator.result_files import content_of, result_file
from bridge.simulator.simulated_task import Script, SimulatedTask, Stage, script_of
from bridge.simulator.vendor import Purpose, Vendor, VendorRoute, find_route, load_vendor, vendor_names

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
MAX_BODY_BYTES: Final = 32 * 2**20  # a create may carry pictures in base64
MAX_EXTERNAL_ID_CHARS: Final = 512
PAGE_SIZE: Final = 30
MAX_PAGE: Final = 1000
MAX_PAGE_SIZE: Final = 500
_NO_VALUES: Final[Mapping[str, Json]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """A request for a route. `given`: the values of its body, query and path by name; `in_path`: those of its path."""

    vendor: Vendor
    route: VendorRoute
    base_url: str
    path: str
    body: Mapping[str, Json]
    script: Script | None
    in_path: Mapping[str, str]
    given: Mapping[str, Json]


class SimulatedProvider:
    """The provider and its tasks. All instants are `clock.steady()`.

    `key`: the API key to require; None accepts any key, or none. `provider`: the vendor that gets the paths which
    several vendors share, and answers on unknown paths. UsageError if no such vendor is simulated.
    """

    def __init__(self, clock: Clock, *, key: str | None = None, provider: str = "kling") -> None:
        self.polls: Counter[str] = Counter()
        """Polls of each known task."""
        self.requests = 0
        """Requests that polled tasks; one may poll many."""
        self.on_created: Callable[[SimulatedTask, Vendor, str], None] = lambda task, vendor, base_url: None
        """Called with each task that a request creates, its vendor, and the base URL here."""
        self._clock = clock
        self._key = key
        self._tasks: dict[str, SimulatedTask] = {}
        self._by_external_id: dict[str, SimulatedTask] = {}
        # Ids start at the time of the clock, so that they never repeat after a restart.
        self._task_numbers = itertools.count(int(clock.now() * 1000))
        self._answer_numbers = itertools.count(1)
        self._main = load_vendor(provider)
        self._vendors = (self._main, *(load_vendor(name) for name in vendor_names() if name != provider))
        self.app: Final = Starlette(
            routes=[
                Route("/files/{name:path}", _file, methods=["GET"]),
                Route("/{path:path}", self._handle, methods=list(METHODS)),
            ]
        )
        self.app.router.redirect_slashes = False

    def plan(
        self,
        task_id: str,
        script: Script,
        *,
        action: str = "",
        created_at: float | None = None,
        external_id: str = "",
        vendor: str = "",
        request: Mapping[str, Any] | None = None,
    ) -> SimulatedTask:
        """Add a task or replace it. `created_at` is now if absent; it may be in the past or in the future. The list of
        `vendor` contains the task."""
        task = SimulatedTask(
            task_id=task_id,
            action=action,
            script=script,
            created_at=self._clock.steady() if created_at is None else created_at,
            external_id=external_id,
            vendor=vendor,
            request=request or {},
        )
        self._tasks[task_id] = task
        if external_id:
            self._by_external_id[external_id] = task
        return task

    @property
    def tasks(self) -> Sequence[SimulatedTask]:
        """Every task, in the order in which they were added."""
        return list(self._tasks.values())

    @property
    def finished_at(self) -> Mapping[str, float]:
        """The tasks that have finished by now, and when."""
        now = self._clock.steady()
        times = ((task.task_id, task.finished_at) for task in self._tasks.values())
        return {task_id: at for task_id, at in times if at is not None and at <= now}

    async def _handle(self, request: Request) -> Response:
        path = request.scope["raw_path"].decode("ascii", "replace")
        method = "GET" if request.method == "HEAD" else request.method
        match = find_route(self._vendors, method, path, request.query_params)
        if match is None:
            return self._respond(self._main, "not_found")
        vendor, route, in_path = match
        if route is None:
            return self._respond(vendor, UNKNOWN_METHOD)
        try:
            content = await read_body(request, max_bytes=MAX_BODY_BYTES)
            if self._key is not None and not _is_authorized(vendor, request, self._key):
                return self._respond(vendor, "unauthorized")
            body = parse_body(content)
            call = _Call(
                vendor=vendor,
                route=route,
                base_url=f"{request.url.scheme}://{request.url.netloc}",
                path=path,
                body=body,
                script=script_in(body),
                in_path=in_path,
                given={**body, **request.query_params, **in_path},
            )
            return self._answer(call)
        except ValueError as error:
            return self._respond(vendor, "bad_request", {"reason": str(error)})

    def _answer(self, call: _Call) -> Response:
        """ValueError for a request with invalid values."""
        route = call.route
        match route.purpose:
            case Purpose.CREATE:
                return _json(*self._filled(call, self._create(call)))
            case Purpose.POLL | Purpose.READ | Purpose.CONTENT:
                task = self._find(_text(call.given, route.id), call)
                if task is None:
                    return self._respond(call.vendor, "not_found")
                if route.purpose is Purpose.CONTENT:
                    return self._content(call, task)
                if route.purpose is Purpose.POLL:
                    self._count(task)
                return _json(*self._filled(call, task))
            case Purpose.BATCH:
                found = (self._find(task_id, call) for task_id in _ids(call.given, route.ids))
                tasks = [task for task in found if task is not None]
                self._count(*tasks)
                if route.none is not None and not tasks:
                    return self._respond(call.vendor, route.none)
                return self._list(call, tasks)
            case Purpose.LIST:
                return self._list(call, *self._page(call))
            case Purpose.STATIC:
                values = {f"path.{name}": value for name, value in call.in_path.items()}
                return self._respond(call.vendor, route.answer, values)
            case _:
                assert_never(route.purpose)

    def _create(self, call: _Call) -> SimulatedTask:
        """A new task. A demo id anywhere in the body decides how it ends; otherwise it succeeds with results of its
        action."""
        external_id = _external_id(call.body, call.route.external_id)
        if external_id in self._by_external_id:
            raise ValueError(f"{call.route.external_id.rpartition('.')[2]} exists already")
        action = call.in_path.get("action", "")
        script = call.script or call.vendor.script_for(action)
        if call.script is None and call.route.lasts_s is not None:
            script = Script(result=script.result, lasts_s=call.route.lasts_s)
        task = self.plan(
            call.vendor.new_id(next(self._task_numbers)),
            script,
            action=action,
            external_id=external_id,
            vendor=call.vendor.name,
            request=call.body,
        )
        self.on_created(task, call.vendor, call.base_url)
        return task

    def _find(self, task_id: str, call: _Call) -> SimulatedTask | None:
        """The task with this id or external id; a new one for an unknown demo id."""
        task = self._tasks.get(task_id) or self._by_external_id.get(task_id)
        if task is not None:
            return task
        script = script_of(task_id.rpartition("/")[2] if call.vendor.id_prefix else task_id)
        if script is None:
            return None
        return self.plan(task_id, script, action=call.in_path.get("action", ""), vendor=call.vendor.name)

    def _page(self, call: _Call) -> tuple[Sequence[SimulatedTask], Mapping[str, Json]]:
        """The tasks on a page, and what its answer says about the next one."""
        begin_key, size_key = call.route.page
        size = _number(call.given, size_key, default=PAGE_SIZE, most=MAX_PAGE_SIZE)
        begin = 0
        tasks = [task for task in reversed(self._tasks.values()) if _is_listed(task, call)]
        match call.route.begins:
            case "number":
                begin = (_number(call.given, begin_key, default=1, most=MAX_PAGE) - 1) * size
            case "offset":
                begin = _number(call.given, begin_key, default=0, most=MAX_PAGE * MAX_PAGE_SIZE, least=0)
            case "nowhere":
                size = len(tasks)
            case _:
                ids = [task.task_id for task in tasks]
                begin = ids.index(call.given[begin_key]) + 1 if call.given.get(begin_key) in ids else 0
        page = tasks[begin : begin + size]
        has_more = begin + size < len(tasks)
        last = page[-1].task_id if page else None
        following = f"{call.base_url}{call.path}?{urlencode({begin_key: last})}" if has_more else None
        return page, {"more": has_more, "last": last, "next": last if has_more else None, "next_url": following}

    def _count(self, *tasks: SimulatedTask) -> None:
        self.requests += 1
        self.polls.update(task.task_id for task in tasks)

    def answer_about(self, task: SimulatedTask, vendor: Vendor, *, base_url: str, answer: str = "") -> tuple[int, Json]:
        """HTTP status and body of the recorded answer for the task's current state. `answer` is that of the route; by
        default what a poll would say."""
        now = self._clock.steady()
        name = vendor.answers.name_for(answer, task.stage_at(now), vendor.result_for(task.script.result))
        values = values_of(task, now=now, base_url=base_url, action=vendor.action, request=vendor.request)
        return vendor.answers.filled(name, {"number": next(self._answer_numbers), **values})

    def _filled(self, call: _Call, task: SimulatedTask) -> tuple[int, Json]:
        return self.answer_about(task, call.vendor, base_url=call.base_url, answer=call.route.answer)

    def _list(
        self, call: _Call, tasks: Iterable[SimulatedTask], about_page: Mapping[str, Json] = _NO_VALUES
    ) -> Response:
        bodies = (self._filled(call, task)[1] for task in tasks)
        item = call.route.item
        listed = [body if item is None else body[item] for body in bodies]
        return self._respond(call.vendor, call.route.whole, {"tasks": listed, **about_page})

    def _content(self, call: _Call, task: SimulatedTask) -> Response:
        if task.stage_at(self._clock.steady()) is not Stage.SUCCEEDED:
            return self._respond(call.vendor, "not_found")
        return content_of(call.vendor.result_for(task.script.result))

    def _respond(self, vendor: Vendor, name: str, values: Mapping[str, Json] = _NO_VALUES) -> Response:
        return _json(*vendor.answers.filled(name, {"number": next(self._answer_numbers), **values}))


def _json(status: int, body: Json) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")


def _is_authorized(vendor: Vendor, request: Request, key: str) -> bool:
    """Whether the request shows the key. Always, for a vendor without keys."""
    shown = [(request.headers.get(name, "").encode(), value.encode()) for name, value in vendor.key_headers(key)]
    return not shown or any(hmac.compare_digest(given, wanted) for given, wanted in shown)


def _external_id(body: Mapping[str, Json], dotted: str) -> str:
    """The creator's own id in the body, "" without one. ValueError for an invalid one."""
    value = value_at(body, dotted) or ""
    if not isinstance(value, str) or len(value) > MAX_EXTERNAL_ID_CHARS:
        raise ValueError(f"external_task_id must be text of at most {MAX_EXTERNAL_ID_CHARS} characters")
    return value


def _text(given: Mapping[str, Json], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is missing")
    return value


def _ids(given: Mapping[str, Json], names: Sequence[str]) -> list[str]:
    """The ids under the first of `names` that exists: a list, or a text with commas."""
    value = next((given[name] for name in names if name in given), None)
    ids = value.split(",") if isinstance(value, str) else value
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
        raise ValueError(f"{names[0]} is missing")
    return list(dict.fromkeys(ids))


def _is_listed(task: SimulatedTask, call: _Call) -> bool:
    if "action" in call.in_path:
        return task.action == call.in_path["action"]
    return task.vendor == call.vendor.name


def _number(given: Mapping[str, Json], name: str, *, default: int, most: int, least: int = 1) -> int:
    text = str(given.get(name, default))
    if not (text.isascii() and text.isdigit() and least <= int(text[:9]) <= most):
        raise ValueError(f"{name} must be a number from {least} to {most}")
    return int(text)


async def _file(request: Request) -> Response:
    return result_file(request.path_params["name"])
