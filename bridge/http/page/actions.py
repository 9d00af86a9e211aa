"""Forms that change something: who may send them, how each takes effect once, and where the browser goes then."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from bridge.domain.store_key import KeyPurpose
from bridge.errors import StoreError
from bridge.http.api_route import validated
from bridge.http.page.rendering import address
from bridge.http.page.view import (
    DONE,
    FLEETING,
    MAX_FORM_BYTES,
    ViewCall,
    ViewQuery,
    call_of,
    own_path,
    page,
    read_form,
    to_page,
    to_sign_in,
)
from bridge.http.problem_details import HttpProblem, problem_of
from bridge.http.services import Services
from bridge.http.sessions import FORM, NOTICE

_OWN: Final = frozenset({"form", "back"})  # fields of every form


class NothingDone(Exception):
    """An action had no effect. The text says why, in the reader's language."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The effect of an action, in the reader's language, for the page that follows."""

    text: str
    is_good: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FormAction:
    """The form at `/actions/NAME`. `button` is its label in English. `run` may return a page that asks first."""

    name: str
    form: type[ViewQuery]
    button: str
    run: Callable[[ViewCall], Awaitable[Done | Response]]
    max_bytes: int = MAX_FORM_BYTES


async def respond(action: FormAction, request: Request, services: Services) -> Response:
    """Run the action once, and go back to the form's page. If it had no effect, a page says why."""
    fields = await read_form(request, max_bytes=action.max_bytes)
    call = replace(call_of(request, services), back=own_path(fields.get("back", "/")))
    words, now = call.words, call.now
    if not call.visitor.may_read:
        return to_sign_in(call.visitor, call.back)
    own = {name: value for name, value in fields.items() if value and name not in _OWN}
    if not call.visitor.may_act:
        raise HttpProblem(
            HTTPStatus.FORBIDDEN, words.text("You signed in with read_token, which may only read. Use http.token.")
        )
    key = await services.key(KeyPurpose.FORMS)
    if FORM.read(key, fields.get("form", ""), now) is None:
        why = words.text("This form is too old or was not made by this page. Check it and send it again.")
        return await _nothing_done(call, action, own, why, HTTPStatus.FORBIDDEN)
    sent = _fingerprint(action, fields)
    try:
        is_new = await services.writing(partial(services.store.use_form, sent, now=now, kept_s=FORM.life_s))
    except StoreError as error:  # so the action had no effect
        problem = problem_of(error)
        return await _nothing_done(call, action, own, words.reason(str(problem)), problem.status)
    if not is_new:
        why = words.text(
            "This form was already sent once. See whether that took effect. To do it once more, send it again."
        )
        return await _nothing_done(call, action, own, why, HTTPStatus.CONFLICT)
    try:
        done = await action.run(replace(call, query=validated(action.form, own)))
    except Exception as error:  # if it was canceled, it may have had an effect, so the form stays used
        await _free(services, sent)
        if isinstance(error, NothingDone):
            return await _nothing_done(call, action, None, str(error), HTTPStatus.CONFLICT)
        problem = problem_of(error)
        is_later = problem.status == HTTPStatus.SERVICE_UNAVAILABLE
        if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not is_later:
            raise
        why = words.reason(str(problem))
        return await _nothing_done(call, action, own if is_later else None, why, problem.status)
    if isinstance(done, Response):
        await _free(services, sent)
        return done
    path, kept = _apart(call.back)
    notice = {DONE: NOTICE.sign(key, now, text=done.text, is_good=done.is_good)}
    return to_page(call.visitor, address(path, kept, **notice))


async def _free(services: Services, form: str) -> None:
    """Allow the form to be sent again. If that cannot be stored, the page offers a new form."""
    with suppress(StoreError):
        await services.writing(partial(services.store.free_form, form))


async def _nothing_done(
    call: ViewCall, action: FormAction, fields: Mapping[str, str] | None, why: str, status: HTTPStatus
) -> Response:
    """The page that says why an action had no effect. With `fields`, it contains a new form with these values."""
    values = {"action": action.name, "button": action.button, "fields": fields, "why": why}
    return await answer_page(call, "nothing_done.html", values, status=status)


async def answer_page(
    call: ViewCall,
    template: str,
    values: Mapping[str, Any],
    *,
    name: str = "",
    status: HTTPStatus = HTTPStatus.OK,
) -> Response:
    """A page that answers a form. Its own address cannot be opened again, so its links lead `back`."""
    path, kept = _apart(call.back)
    values = {"path": path, "kept": kept, "back": call.back, **values}
    return await page(call, template, values, view=name, status=status)


def _apart(back: str) -> tuple[str, list[tuple[str, str]]]:
    """The path, and the parameters to keep."""
    parts = urlsplit(back)
    return parts.path, [one for one in parse_qsl(parts.query, keep_blank_values=True) if one[0] not in FLEETING]


def _fingerprint(action: FormAction, fields: Mapping[str, str]) -> str:
    made = hashlib.sha256(action.name.encode())
    for name, value in sorted(fields.items()):
        if name != "back":
            made.update(f"\0{name}\0{value}".encode("utf-8", "replace"))
    return made.hexdigest()
