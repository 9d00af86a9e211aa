"""Deliveries and endpoints: list, show one event, redeliver, enable, send a sample."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from bridge.control import delivery_list
from bridge.control.lookup import find_keys
from bridge.control.overview import endpoints_json
from bridge.domain.delivery import Accepted
from bridge.errors import UsageError
from bridge.http import api_models as models
from bridge.http.access import Right
from bridge.http.api_route import NOT_FOUND, ApiCall, post, route
from bridge.http.problem_details import invalid
from bridge.http.request_filters import delivery_filter, named_filters


@route("GET", "/api/v1/deliveries", query=models.DeliveryListQuery, answer=models.DeliveryPage, problems=NOT_FOUND)
async def list_(call: ApiCall) -> dict[str, Any]:
    """List deliveries, the newest first."""
    query, services = call.query, call.services
    wanted = delivery_filter(query, now=services.clock.now())
    if query.task is not None:
        try:
            [key] = await services.ask(find_keys, [query.task], None)
        except UsageError as error:  # it names the parameters of other addresses
            raise invalid([("task", str(error))]) from None
        wanted = wanted._replace(watch=key)
    with named_filters():
        found = await services.ask(delivery_list.list_deliveries, wanted, limit=query.limit, cursor=query.cursor)
    return {"deliveries": found.json(), "next": found.next}


@route("GET", "/api/v1/deliveries/{event_id}", answer=models.EventDeliveries, problems=NOT_FOUND)
async def of_event(call: ApiCall) -> dict[str, Any]:
    """The deliveries of one event, with every attempt."""
    event_id = call.request.path_params["event_id"]
    found = await call.services.ask(delivery_list.event_deliveries, event_id)
    return {"event_id": event_id, "deliveries": found.json(attempts=True)}


@route(
    "POST",
    "/api/v1/deliveries/redeliver",
    right=Right.FULL,
    body=models.Redeliver,
    answer=models.Redelivered,
    problems=frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}),
)
async def redeliver(call: ApiCall) -> dict[str, Any]:
    """Send deliveries again, with the same id and bytes."""
    wanted, services = call.body, call.services
    filters = (wanted.state, wanted.endpoint, wanted.since, wanted.topic)
    if wanted.event_ids and any(value is not None for value in filters):
        raise invalid([("event_ids", "cannot be combined with state, endpoint, since or topic; give one or the other")])
    matching = delivery_filter(wanted, now=services.clock.now())._replace(event_ids=tuple(wanted.event_ids or ()))
    with named_filters():
        count = await services.write(delivery_list.redeliver, services.settings(), matching, expect=wanted.expect)
    return {"redelivered": count}


@route("GET", "/api/v1/endpoints", answer=models.EndpointsAnswer)
async def list_endpoints(call: ApiCall) -> dict[str, Any]:
    """Every endpoint of the settings with its state."""
    loaded = call.services.settings()
    found = await call.services.overview()
    return {"endpoints": endpoints_json(found, loaded)}


@post("/api/v1/endpoints/{name}/enable", models.Nothing, models.EndpointEnabled)
async def enable_endpoint(call: ApiCall) -> dict[str, Any]:
    """Send to an endpoint again, after a 410 or a wait that it requested."""
    name, services = call.request.path_params["name"], call.services
    was_disabled, was_held = await services.write(
        delivery_list.enable, services.settings(), name, now=services.clock.now()
    )
    return {"endpoint": name, "was_disabled": was_disabled, "was_held": was_held}


@post("/api/v1/endpoints/{name}/test", models.Nothing, models.SampleSent)
async def test_endpoint(call: ApiCall) -> dict[str, Any]:
    """Send a sample to an endpoint."""
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


ROUTES: Final = (list_, redeliver, of_event, list_endpoints, enable_endpoint, test_endpoint)
