"""The metrics for Prometheus."""

from __future__ import annotations

from functools import partial
from typing import Final

import anyio.to_thread
from starlette.responses import Response

from bridge.http.api_route import ApiCall, ApiRoute
from bridge.http.exposition import OPENMETRICS, TEXT, content_type, exposition


async def metrics(call: ApiCall) -> Response:
    """Every metric, in the format that the Accept header requests."""
    services = call.services
    wanted = content_type(call.request.headers.get("accept", ""))
    gauges = await services.gauges.get()
    # In a thread, because with a hundred accounts it takes tens of milliseconds.
    render = partial(exposition, services.metrics, gauges, now=services.clock.now(), wanted=wanted)
    text = await anyio.to_thread.run_sync(render)
    return Response(text, headers={"Content-Type": wanted, "Cache-Control": "no-store"})


ROUTES: Final = (
    ApiRoute(
        method="GET",
        path="/metrics",
        summary="Metrics for Prometheus: text 0.0.4, or OpenMetrics 1.0 if Accept asks for it.",
        handle=metrics,
        media_type=TEXT.partition(";")[0],
        more_media_types=(OPENMETRICS.partition(";")[0],),
    ),
)
