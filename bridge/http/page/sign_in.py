"""Signing in with a token of the settings, and signing out."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from bridge.http.access import AccessMiddleware, Right
from bridge.http.page.view import View, ViewCall, ViewQuery, call_of, own_path, page, read_form, to_page
from bridge.http.page.visitor import visitor_of
from bridge.http.services import Services
from bridge.http.sessions import COOKIE, SESSION


class SignInQuery(ViewQuery):
    """`next`: the page that the reader wanted to open."""

    next: str = "/"


async def _load(call: ViewCall) -> Mapping[str, Any]:
    # After a click on a link in a chat, a browser does not send the cookie; it only sends it with requests from
    # genbridge's own pages. So this page makes one more request, which shows whether the reader has signed in.
    comes_from_elsewhere = call.request.headers.get("sec-fetch-site") == "cross-site"
    return {
        "next": own_path(call.query.next),
        "is_wrong": False,
        "retry": own_path(call.query.next) if comes_from_elsewhere else "",
    }


SIGN_IN: Final = View(path="/signin", template="sign_in.html", name="", load=_load, query=SignInQuery, right=Right.OPEN)


async def sign_in(request: Request, services: Services) -> Response:
    """Check a token and start a session. A wrong token shows the form again."""
    form = await read_form(request)
    target = own_path(form.get("next", "/"))
    access: AccessMiddleware = request.app.state.access
    token = form.get("token", "").strip()
    if access.rules.token is not None and access.rules.right_of_token(token) is Right.OPEN:
        values = {"next": target, "is_wrong": True, "retry": ""}
        return await page(call_of(request, services), "sign_in.html", values, view="", status=HTTPStatus.FORBIDDEN)
    answer = to_page(visitor_of(request), target)
    answer.set_cookie(
        COOKIE,
        SESSION.sign(token.encode(), services.clock.now()),
        max_age=int(SESSION.life_s),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


async def sign_out(request: Request, services: Services) -> Response:
    """End the session."""
    answer = to_page(visitor_of(request), "/signin")
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer
