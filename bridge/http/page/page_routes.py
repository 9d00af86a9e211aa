"""Every address of the page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
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
from bridge.http.problem_details import HttpProblem, answer_error, problem_of
from bridge.http.services import Services

# Each is shown with its name, and opened by `g` and the first letter of the name.
NAVIGATION: Final = (now_view.VIEW, tasks_view.VIEW, deliveries_view.VIEW, health_view.VIEW)
VIEWS: Final[Sequence[View]] = (*NAVIGATION, story_view.VIEW, task_actions.VIEW, delivery_actions.VIEW, SIGN_IN)
ACTIONS: Final = (*delivery_actions.ACTIONS, *task_actions.ACTIONS)
PROGRAMS: Final = ("/api/", "/gateway/", "/callbacks/", "/results/", "/openapi.json", "/metrics", "/healthz", "/readyz")

COMPRESSED: Final = Middleware(GZipMiddleware, minimum_size=1, compresslevel=5)  # higher levels only take longer

Handler = Callable[[Request, Services], Awaitable[Response]]


def page_routes(services: Services) -> list[Route]:
    """The routes for starlette."""
    pages: dict[str, dict[str, Handler]] = {view.path: {"GET": view.respond} for view in VIEWS}
    pages |= {f"/actions/{one.name}": {"POST": partial(respond, one)} for one in ACTIONS}
    pages |= {SIGN_IN.path: {"GET": SIGN_IN.respond, "POST": sign_in}, "/actions/signout": {"POST": sign_out}}

    def route(path: str, handlers: Mapping[str, Handler]) -> Route:
        return Route(path, partial(_respond, handlers, services), methods=list(handlers), middleware=[COMPRESSED])

    return [
        *(route(path, handlers) for path, handlers in pages.items()),
        Route(PATH + "{name}", send_asset, methods=["GET"], middleware=[COMPRESSED]),
    ]


async def _respond(handlers: Mapping[str, Handler], services: Services, request: Request) -> Response:
    try:
        return await handlers["GET" if request.method == "HEAD" else request.method](request, services)
    except Exception as error:  # the outermost handler of a request
        return await problem_page(request, services, problem_of(error))


async def answer_unknown(services: Services, request: Request, error: Exception) -> Response:
    """The answer for an unknown address: a page for people, a problem document for programs."""
    wants_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(PROGRAMS)
    if wants_page and isinstance(error, HTTPException):
        return await problem_page(request, services, HttpProblem(HTTPStatus(error.status_code), "", (), error.headers))
    return await answer_error(request, error)
