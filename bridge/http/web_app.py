"""The whole site: every route, after the access checks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Mount

from bridge.http import callback_routes, delivery_routes, status_routes, stream_routes, task_routes
from bridge.http.access import AccessMiddleware, AccessRules
from bridge.http.api_route import ApiRoute, served
from bridge.http.gateway_routes import GATEWAY_PATH, Gateway
from bridge.http.page.page_routes import NAVIGATION, answer_unknown, page_routes
from bridge.http.problem_details import answer_error
from bridge.http.result_routes import result_route
from bridge.http.services import Services

API: Final[Sequence[ApiRoute]] = (
    *status_routes.ROUTES,
    *task_routes.ROUTES,
    *delivery_routes.ROUTES,
    *stream_routes.ROUTES,
    *callback_routes.ROUTES,
)


def site_routes(services: Services) -> list[BaseRoute]:
    return [
        *served([*API, status_routes.document_route(API)], services),
        Mount(GATEWAY_PATH, app=Gateway(services)),
        result_route(services),
        *page_routes(services),
    ]


def web_app(services: Services, rules: AccessRules) -> AccessMiddleware:
    """The ASGI app. Assign `rules` to it when the settings change."""
    unknown = partial(answer_unknown, services)
    site = Starlette(routes=site_routes(services), exception_handlers={HTTPException: unknown, Exception: answer_error})
    site.router.redirect_slashes = False
    guarded = AccessMiddleware(site, rules, services.clock.now)
    site.state.access, site.state.navigation = guarded, NAVIGATION
    return guarded
