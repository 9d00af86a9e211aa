"""The state of the daemon: health, readiness, metrics, overall status, accounts, and the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from http import HTTPStatus
from typing import Any, Final

import anyio
import anyio.to_thread
from starlette.responses import Response

from bridge.control.daemon_health import daemons_on
from bridge.control.overview import accounts_json
from bridge.errors import StoreError
from bridge.http import api_models as models
from bridge.http.access import Right
from bridge.http.api_route import ApiCall, ApiRoute, json_response, route
from bridge.http.exposition import OPENMETRICS, TEXT, content_type, exposition
from bridge.http.openapi import openapi

ANSWER_S: Final = 2.0  # how long to wait for the store

_OPEN: Final[Mapping[str, Any]] = {
    "right": Right.OPEN,
    "answer": models.HealthAnswer,
    "others": {HTTPStatus.SERVICE_UNAVAILABLE: models.HealthAnswer},
}


@route("GET", "/healthz", **_OPEN)
async def healthz(call: ApiCall) -> Any:
    """Whether the process works."""
    if call.services.is_alive():
        return {"status": "ok"}
    return json_response({"status": "stuck"}, HTTPStatus.SERVICE_UNAVAILABLE)


@route("GET", "/readyz", **_OPEN)
async def readyz(call: ApiCall) -> Any:
    """Whether store, sources and at least one account work."""
    found = await problems(call)
    if not found:
        return {"status": "ready"}
    may_know = call.request.app.state.access.rules.right_of(call.request.headers) is not Right.OPEN
    why = {"problems": found} if may_know else {"hint": "send http.token or http.read_token for the reasons"}
    return json_response({"status": "not ready", **why}, HTTPStatus.SERVICE_UNAVAILABLE)


@route("GET", "/metrics", media_type=TEXT.partition(";")[0], more_media_types=(OPENMETRICS.partition(";")[0],))
async def metrics(call: ApiCall) -> Response:
    """Metrics for Prometheus: text 0.0.4, or OpenMetrics 1.0 if Accept asks for it."""
    services = call.services
    wanted = content_type(call.request.headers.get("accept", ""))
    counts = await services.counts.get()
    # In a thread, because with a hundred accounts it takes tens of milliseconds.
    render = partial(exposition, services.metrics, counts, now=services.clock.now(), wanted=wanted)
    text = await anyio.to_thread.run_sync(render)
    return Response(text, media_type=wanted)


@route("GET", "/api/v1/status", answer=models.StatusAnswer)
async def status(call: ApiCall) -> dict[str, Any]:
    """The overall status, as `genbridge status --json`."""
    services = call.services
    found = await services.overview()
    daemon = await services.reading(partial(daemons_on, services.place))
    return {"store": str(services.place), "daemon": daemon, **found.json()}


@route("GET", "/api/v1/accounts", answer=models.AccountsAnswer)
async def list_accounts(call: ApiCall) -> dict[str, Any]:
    """Every account of the settings with its state."""
    loaded = call.services.settings()
    found = await call.services.overview()
    return {"accounts": accounts_json(found, loaded)}


async def problems(call: ApiCall) -> list[str]:
    """Why tasks cannot be accepted, polled and delivered now."""
    services = call.services
    if not services.app().is_working():
        return [services.why_not_working()]
    try:
        with anyio.fail_after(ANSWER_S):
            await services.writing(services.store.revision)
            found = await services.shared_overview.get(ANSWER_S)  # anybody may ask, as often as they like
    except StoreError as error:
        return [_of_store(error)]
    except TimeoutError:
        found = None
    if found is None:
        return [f"store: no answer within {ANSWER_S:g} s"]
    if (failure := services.store_failure()) is not None:  # it answers, but cannot be written: the disk may be full
        return [_of_store(failure)]
    return found.why_not_ready(services.settings().accounts)


def _of_store(failure: object) -> str:
    """The failure as a problem of the store. Most messages name the store themselves."""
    return str(failure) if str(failure).startswith("store ") else f"store: {failure}"


def document_route(routes: Sequence[ApiRoute]) -> ApiRoute:
    """The route of the OpenAPI document about these routes and itself."""

    @cache
    def made() -> dict[str, Any]:  # made for the first request, because few daemons get one and it takes a megabyte
        return openapi([*routes, document])

    @route("GET", "/openapi.json")
    async def document(call: ApiCall) -> Any:
        """This document."""
        return await anyio.to_thread.run_sync(made)

    return document


ROUTES: Final = (healthz, readyz, status, list_accounts, metrics)
