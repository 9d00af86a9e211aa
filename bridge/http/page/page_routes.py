"""Every address of the page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bridge.http.page import (
    deliveries_view,
    delivery_actions,
    health_view,
    now_view,
    story_view,
    task_actions,
    tasks_view,
)
from bridge.http.page.actions import respond
from bridge.http.page.asset_files import PATH, send_asset
from bridge.http.page.sign_in import SIGN_IN, sign_in, sign_out
from bridge.http.page.view import View, problem_page
from bridge.http.problem_details import answer_error, problem_of
from bridge.http.services import Services

VIEWS: Final[Sequence[View]] = (
    now_view.VIEW,
    tasks_view.VIEW,
    story_view.VIEW,
    deliveries_view.VIEW,
    health_view.VIEW,
    task_actions.VIEW,
    delivery_actions.VIEW,
    SIGN_IN,
)
ACTIONS: Final = (*delivery_actions.ACTIONS, *task_actions.ACTIONS)
PROGRAMS: Final = ("/api/", "/gateway/", "/callbacks/", "/results/", "/openapi.json", "/metrics", "/healthz", "/readyz")

Handler = Callable[[Request, Services], Awaitable[Response]]


def page_routes(services: Services) -> list[Route]:
    """The routes for starlette."""
    views = [Route(view.path, partial(_respond, view.respond, services), methods=["GET"]) for view in VIEWS]
    actions = [
        Route(f"/actions/{one.name}", partial(_respond, partial(respond, one), services), methods=["POST"])
        for one in ACTIONS
    ]
    return [
        *views,
        *actions,
        Route("/signin", partial(_respond, sign_in, services), methods=["POST"]),
        Route("/actions/signout", partial(_respond, sign_out, services), methods=["POST"]),
        Route(PATH + "{name}", send_asset, methods=["GET"]),
    ]


async def _respond(handle: Handler, services: Services, request: Request) -> Response:
    try:
        return await handle(request, services)
    except Exception as error:  # the outermost handler of a request
        return await problem_page(request, services, problem_of(error))


async def answer_unknown(services: Services, request: Request, error: Exception) -> Response:
    """The answer for an unknown address: a page for people, a problem document for programs."""
    wants_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(PROGRAMS)
    if wants_page and isinstance(error, HTTPException):
        return await problem_page(request, services, problem_of(error))
    return await answer_error(request, error)
