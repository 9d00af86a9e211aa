"""A view of the page as a value: its address, its parameters, and the values for its template."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Final, NamedTuple, TypeVar, get_origin
from urllib.parse import parse_qs, quote

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from bridge.control.needs import NeedCounts
from bridge.domain.store_key import KeyPurpose
from bridge.http.access import Right, check_right
from bridge.http.api_route import validated
from bridge.http.page.asset_files import asset_url
from bridge.http.page.rendering import render
from bridge.http.page.visitor import CHOICES, COOKIE_S, Visitor, visitor_of
from bridge.http.page.wording import Wording
from bridge.http.problem_details import HttpProblem, invalid
from bridge.http.services import Services
from bridge.http.sessions import FORM, NOTICE
from bridge.net.http_server import read_body

DONE: Final = "done"  # the parameter with the notice about a form
UPDATE: Final = "X-Update"  # the header of requests that the page's script makes by itself
FLEETING: Final = frozenset({*CHOICES, DONE})  # parameters that links of the page do not keep
NUMBERS_WITHIN_S: Final = 0.05  # how long a page waits for the numbers in its navigation
MAX_FORM_BYTES: Final = 64 << 10
OLD_S: Final = 10.0  # older numbers are shown with their time
Q = TypeVar("Q", bound="ViewQuery")


class Badges(NamedTuple):
    """The numbers in the navigation of every view. `as_of`: when they were read, if that is some time ago."""

    counts: NeedCounts = NeedCounts()
    as_of: float | None = None


class ViewQuery(BaseModel):
    """The parameters of a view, or the fields of a form. Unknown ones, as of an older page, are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewCall:
    """One request for a view, or one form. `query` is its model, `back` the address of the page with the form."""

    services: Services
    request: Request
    visitor: Visitor
    words: Wording
    now: float
    query: Any = None
    back: str = "/"


def call_of(request: Request, services: Services) -> ViewCall:
    """The call for this request, without its parameters."""
    visitor, now = visitor_of(request), services.clock.now()
    words = Wording(visitor.language, visitor.zone, now)
    return ViewCall(services=services, request=request, visitor=visitor, words=words, now=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view. `load` returns the values for the template. `name`: the view's entry in the navigation, if any."""

    path: str
    template: str
    name: str
    load: Callable[[ViewCall], Awaitable[Mapping[str, Any]]]
    query: type[ViewQuery] = ViewQuery
    right: Right = Right.READ

    async def respond(self, request: Request, services: Services) -> Response:
        """The page. A reader who is not signed in is redirected to the sign-in page."""
        call = call_of(request, services)
        if self.right is not Right.OPEN and not call.visitor.may_read:
            target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return to_sign_in(call.visitor, target)
        check_right(request, self.right)
        call = replace(call, query=read_query(self.query, request))
        return await page(call, self.template, await self.load(call), view=self.name)


async def page(
    call: ViewCall,
    template: str,
    values: Mapping[str, Any],
    *,
    view: str,
    status: HTTPStatus = HTTPStatus.OK,
    has_forms: bool = True,
) -> Response:
    """A rendered page. It stores choices in the address as cookies. Without forms, it does not need the store."""
    services, visitor = call.services, call.visitor
    may_act = has_forms and visitor.may_act
    frame = {
        "view": view,
        "navigation": call.request.app.state.navigation,
        "path": call.request.url.path,
        "query": call.request.query_params,
        "kept": [one for one in call.request.query_params.multi_items() if one[0] not in FLEETING],
        "form_field": FORM.sign(await services.key(KeyPurpose.FORMS), call.now, at=call.now) if may_act else "",
        "badges": await _badges(services) if visitor.may_read else Badges(),
        "notice": await _notice(call) if has_forms else None,
    }
    html = render(template, visitor, call.words, {**frame, **values}).encode("utf-8", "replace")
    answer = Response(html, status, media_type="text/html")
    style = visitor.base_path + asset_url("page.css")
    answer.headers["Link"] = f"<{style}>; rel=preload; as=style"  # loaded before the HTML is read
    for name, allowed in () if UPDATE in call.request.headers else CHOICES.items():
        if (chosen := call.request.query_params.get(name)) in allowed:
            answer.set_cookie(name, chosen, max_age=COOKIE_S, samesite="strict", httponly=True)
    return answer


async def _badges(services: Services) -> Badges:
    """The numbers, at most a few seconds old. While the store is slow or cannot be read, the last known numbers."""
    found = await services.needs.get(NUMBERS_WITHIN_S)
    if found is not None:
        return Badges(found)
    if services.needs.last is None:
        return Badges()
    age_s = services.clock.steady() - services.needs.last_at
    return Badges(services.needs.last, services.clock.now() - age_s if age_s > OLD_S else None)


async def _notice(call: ViewCall) -> tuple[str, bool] | None:
    """The notice about a form, and whether it is good news. It is signed, so a link cannot forge it."""
    if not (value := call.request.query_params.get(DONE)) or not call.visitor.may_read:
        return None
    claims = NOTICE.read(await call.services.key(KeyPurpose.FORMS), value, call.now)
    return None if claims is None else (str(claims["text"]), claims["is_good"] is True)


async def problem_page(request: Request, services: Services, problem: HttpProblem) -> Response:
    """One sentence for a person: what is wrong, and what to do. Works without the store, which may be the cause."""
    call = call_of(request, services)
    answer = await page(call, "problem.html", {"problem": problem}, view="", status=problem.status, has_forms=False)
    answer.headers.update(problem.headers or {})
    return answer


def read_query(model: type[Q], request: Request) -> Q:
    """The parameters; the last value counts, except in lists. HttpProblem 422 lists every mistake."""
    tree: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        described = model.model_fields.get(name)
        if not value:
            continue  # a form also sends empty fields
        if described is not None and get_origin(described.annotation) is tuple:
            tree.setdefault(name, []).append(value)
        else:
            tree[name] = value
    return validated(model, tree, depth=1)  # a repeated parameter has no numbers


async def read_form(request: Request, *, max_bytes: int = MAX_FORM_BYTES) -> Mapping[str, str]:
    """The fields of a form. If a field is repeated, the last value counts."""
    body = await read_body(request, max_bytes=max_bytes)
    try:
        found = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        raise invalid([("", "the form has more than 1000 fields")]) from None
    return {name: values[-1] for name, values in found.items()}


def own_path(target: str) -> str:
    """Where to go after a form: an address of this page (`/` instead of any other), never another site."""
    is_own = target.startswith("/") and not target.startswith("//")
    return target if is_own and not any(ord(char) < 33 or char == "\\" for char in target) else "/"


def to_sign_in(visitor: Visitor, target: str) -> Response:
    """A redirect to the sign-in page, which leads to this address of the page."""
    return to_page(visitor, f"/signin?next={quote(target, safe='')}")


def to_page(visitor: Visitor, target: str) -> Response:
    """A redirect to an address of the page."""
    return RedirectResponse(visitor.base_path + target, HTTPStatus.SEE_OTHER)
