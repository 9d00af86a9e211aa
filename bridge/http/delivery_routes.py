"""Deliveries and endpoints: list, show one event, redeliver, enable, send a sample."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from bridge.control import delivery_list
from bridge.control.lookup import find_keys
from bridge.control.overview import endpoints_json
from bridge.domain.delivery import Accepted
from bridge.domain.filters import DeliveryFilter
from bridge.http import api_models as models
from bridge.http.access import Right
from bridge.http.api_route import ApiCall, ApiRoute
from bridge.http.problem_details import invalid, named_filters, since_at


async def list_(call: ApiCall) -> dict[str, Any]:
    query, services = call.query, call.services
    now = services.clock.now()
    watch = None
    if query.task is not None:
        [watch] = await services.read(find_keys, services.settings(), [query.task], None)
    wanted = DeliveryFilter(
        states=(query.state,) if query.state else (),
        endpoint=query.endpoint,
        topic=query.topic,
        watch=watch,
        since=since_at(query.since, now),
    )
    with named_filters():
        found = await services.read(
            delivery_list.list_deliveries, services.settings(), wanted, now=now, limit=query.limit, cursor=query.cursor
        )
    return {"deliveries": found.json(), "next": found.next}


async def of_event(call: ApiCall) -> dict[str, Any]:
    event_id = call.request.path_params["event_id"]
    services = call.services
    found = await services.read(delivery_list.event_deliveries, services.settings(), event_id, now=services.clock.now())
    return {"event_id": event_id, "deliveries": found.json(attempts=True)}


async def redeliver(call: ApiCall) -> dict[str, Any]:
    wanted, services = call.body, call.services
    filters = (wanted.state, wanted.endpoint, wanted.since, wanted.topic)
    if wanted.event_ids and any(value is not None for value in filters):
        raise invalid([("event_ids", "cannot be combined with state, endpoint, since or topic; give one or the other")])
    matching = DeliveryFilter(
        event_ids=tuple(wanted.event_ids or ()),
        states=(wanted.state,) if wanted.state else (),
        endpoint=wanted.endpoint,
        topic=wanted.topic,
        since=since_at(wanted.since, services.clock.now()),
    )
    with named_filters():
        count = await services.write(delivery_list.redeliver, services.settings(), matching, expect=wanted.expect)
    return {"redelivered": count}


async def list_endpoints(call: ApiCall) -> dict[str, Any]:
    loaded = call.services.settings()
    found = await call.services.overview()
    return {"endpoints": endpoints_json(found, loaded)}


async def enable_endpoint(call: ApiCall) -> dict[str, Any]:
    name, services = call.request.path_params["name"], call.services
    was_disabled, was_held = await services.write(
        delivery_list.enable, services.settings(), name, now=services.clock.now()
    )
    return {"endpoint": name, "was_disabled": was_disabled, "was_held": was_held}


async def test_endpoint(call: ApiCall) -> dict[str, Any]:
    name = call.request.path_params["name"]
    outcomes = await call.services.send_sample(name)
    return {
        "endpoint": name,
        "outcomes": [
            {
                "target": target or None,
                "outcome": type(outcome).__name__.lower(),
                "detail": outcome.summary if isinstance(outcome, Accepted) else outcome.reason,
            }
            for target, outcome in outcomes
        ],
    }


_NOT_FOUND: Final = frozenset({HTTPStatus.NOT_FOUND})

ROUTES: Final = (
    ApiRoute(
        method="GET",
        path="/api/v1/deliveries",
        summary="List deliveries, the newest first.",
        handle=list_,
        query=models.DeliveryListQuery,
        answer=models.DeliveryPage,
        problems=_NOT_FOUND,
    ),
    ApiRoute(
        method="POST",
        path="/api/v1/deliveries/redeliver",
        summary="Send deliveries again, with the same id and bytes.",
        handle=redeliver,
        right=Right.FULL,
        body=models.Redeliver,
        answer=models.Redelivered,
        problems=frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}),
    ),
    ApiRoute(
        method="GET",
        path="/api/v1/deliveries/{event_id}",
        summary="The deliveries of one event, with every attempt.",
        handle=of_event,
        answer=models.EventDeliveries,
        problems=_NOT_FOUND,
    ),
    ApiRoute(
        method="GET",
        path="/api/v1/endpoints",
        summary="Every endpoint of the settings with its state.",
        handle=list_endpoints,
        answer=models.EndpointsAnswer,
    ),
    ApiRoute(
        method="POST",
        path="/api/v1/endpoints/{name}/enable",
        summary="Send to an endpoint again, after a 410 or a wait that it requested.",
        handle=enable_endpoint,
        right=Right.FULL,
        body=models.Nothing,
        answer=models.EndpointEnabled,
        problems=_NOT_FOUND,
    ),
    ApiRoute(
        method="POST",
        path="/api/v1/endpoints/{name}/test",
        summary="Send a sample to an endpoint.",
        handle=test_endpoint,
        right=Right.FULL,
        body=models.Nothing,
        answer=models.SampleSent,
        problems=_NOT_FOUND,
    ),
)
