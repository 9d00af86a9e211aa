"""What a browser sends instead of a token: a signed cookie after signing in, and a signed field in each form.

A token of the settings signs its own sessions, so changing the token ends them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final

from itsdangerous import BadData, URLSafeSerializer

COOKIE: Final = "genbridge_session"
SESSION_S: Final = 30 * 86_400.0
FORM_S: Final = 7 * 86_400.0  # how long a page may stay open before its buttons need a reload
NOTICE_S: Final = 600.0  # how long a reloaded page still shows the notice about a form


def session_for(token: bytes, now: float) -> str:
    """The cookie for a browser that has sent this token."""
    return _signed("session", token, now + SESSION_S)


def is_session_of(token: bytes, headers: Mapping[str, str], now: float) -> bool:
    """Whether these request headers contain a session of this token that has not expired."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return False
    return found is not None and _is_valid("session", token, found.value, now)


def form_field(key: bytes, now: float) -> str:
    """The value that proves that a form comes from a page of this store. It differs for each time."""
    return _signed("form", key, now + FORM_S, at=now)


def is_form_field(key: bytes, value: str, now: float) -> bool:
    """Whether the value was made by `form_field` with this key, and has not expired."""
    return _is_valid("form", key, value, now)


def signed_notice(key: bytes, text: str, *, is_good: bool, now: float) -> str:
    """The parameter of an address that makes the page show this text, and no other."""
    return _signed("notice", key, now + NOTICE_S, text=text, is_good=is_good)


def notice_of(key: bytes, value: str, now: float) -> tuple[str, bool] | None:
    """The text of `signed_notice`, and whether it is good news. None if genbridge did not make the value, or it
    has expired."""
    claims = _claims("notice", key, value, now)
    return None if claims is None else (str(claims.get("text", "")), claims.get("is_good") is True)


def _signed(use: str, secret: bytes, until: float, **more: object) -> str:
    return str(_serializer(use, secret).dumps({**more, "exp": int(until)}))


def _is_valid(use: str, secret: bytes, value: str, now: float) -> bool:
    return _claims(use, secret, value, now) is not None


def _claims(use: str, secret: bytes, value: str, now: float) -> dict[str, Any] | None:
    try:
        claims: dict[str, Any] = _serializer(use, secret).loads(value)
    except BadData:
        return None
    return claims if claims["exp"] > now else None


def _serializer(use: str, secret: bytes) -> URLSafeSerializer:
    """The signer for one use. Its signatures are not valid for another use."""
    return URLSafeSerializer(secret, f"genbridge {use}", signer_kwargs={"digest_method": hashlib.sha256})
