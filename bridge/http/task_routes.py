"""Tasks: add, list, show, poll now, withdraw."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import orjson
from starlette.responses import Response

from bridge.config.load import Loaded
from bridge.control import watch_requests
from bridge.control.explanation import explain
from bridge.control.lookup import find_keys, listed_account
from bridge.control.store_now import StoreNow
from bridge.control.watch_list import search_watches, watch_details
from bridge.domain.ids import WatchKey
from bridge.domain.views import RequestResult
from bridge.http import api_models as models
from bridge.http.access import Right
from bridge.http.api_route import JSON, NOT_FOUND, ApiCall, RawBody, json_response, post, route
from bridge.http.request_filters import named_filters, watch_filter
from bridge.http.task_bodies import add_tasks
from bridge.ports import Added


@route(
    "POST",
    "/api/v1/tasks",
    right=Right.FULL,
    query=models.AddQuery,
    body=RawBody,
    answer=models.AddedTasks,
    status=HTTPStatus.CREATED,
)
async def add(call: ApiCall) -> Response:
    """Watch every task in the body, or none if one is invalid. Safe to repeat."""
    services, query = call.services, call.query
    media_type = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = media_type == JSON
    added = add_tasks(services, call.raw, is_json=is_json, shared={"account": query.account}, again=query.again)
    answer = bytearray(b'{"tasks":[')
    async for some in added:  # encoded after each commit: a million tasks at once would hold up the event loop
        answer += orjson.dumps([_added(one) for one in some])[1:-1] + b","
    answer[-1:] = b"]}"
    return json_response(orjson.Fragment(bytes(answer)), HTTPStatus.CREATED)


def _added(one: Added) -> dict[str, str]:
    return {"account": one.key.account, "id": one.key.task_id, "what": one.what, "phase": one.phase}


@route("GET", "/api/v1/tasks", query=models.TaskListQuery, answer=models.TaskPage)
async def list_tasks(call: ApiCall) -> dict[str, Any]:
    """List watched tasks, the last added first."""
    query, services = call.query, call.services
    wanted = watch_filter(query, now=services.clock.now())
    with named_filters():
        await services.ask(listed_account, query.account)
    found = await services.ask(search_watches, wanted, limit=query.limit, cursor=query.cursor)
    return {"tasks": found.json(), "next": found.next}


@route("GET", "/api/v1/task", query=models.TaskQuery, answer=models.TaskDetails, problems=NOT_FOUND)
async def show(call: ApiCall) -> dict[str, Any]:
    """One task, with its deliveries and its history. With `wait`, answers when it has finished."""
    key = await _key(call, call.query)
    if call.query.wait:
        await call.services.live.waits.until_finished(key, call.query.wait)
    return await call.services.ask(_details, call.services.settings(), key)


@post("/api/v1/task/poll", models.TaskKey, models.Requested)
async def poll(call: ApiCall) -> dict[str, Any]:
    """Poll a task now."""
    accounts = call.services.settings().settings.accounts
    return await _request(call, partial(watch_requests.poll_now, accounts=accounts))


@post("/api/v1/task/withdraw", models.TaskKey, models.Requested)
async def withdraw(call: ApiCall) -> dict[str, Any]:
    """Stop watching a task; nobody is notified."""
    return await _request(call, watch_requests.withdraw)


def _details(at: StoreNow, loaded: Loaded, key: WatchKey) -> dict[str, Any]:
    fields, deliveries = watch_details(at, key)
    story = explain(at, key, loaded, daemon=loaded.member_name)
    return {**fields, "deliveries": deliveries.json(), "story": story.json()}


async def _key(call: ApiCall, named: models.TaskKey) -> WatchKey:
    [key] = await call.services.ask(find_keys, [named.id], named.account)
    return key


async def _request(call: ApiCall, request: Callable[..., list[tuple[RequestResult, str]]]) -> dict[str, Any]:
    key = await _key(call, call.body)
    [(touched, detail)] = await call.services.write(request, [key], now=call.services.clock.now())
    return {"account": key.account, "id": key.task_id, "done": touched.done, "detail": detail}


ROUTES: Final = (add, list_tasks, show, poll, withdraw)
