"""What a browser sends instead of a token: a signed cookie after signing in, and a signed field in each form.

A token of the settings signs its own sessions, so changing the token ends them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from itsdangerous import BadData, URLSafeSerializer
from starlette.requests import cookie_parser

COOKIE: Final = "genbridge_session"


class SignedValue:
    """A value for one use, signed with a key. It is valid for `life_s`, and not for another use."""

    def __init__(self, use: str, life_s: float) -> None:
        self._salt = f"genbridge {use}"
        self.life_s: Final = life_s

    def sign(self, key: bytes, now: float, **claims: object) -> str:
        """The value with these claims."""
        return str(self._serializer(key).dumps({**claims, "exp": int(now + self.life_s)}))

    def read(self, key: bytes, value: str, now: float) -> Mapping[str, Any] | None:
        """The claims in a value. None if it was not signed with this key for this use, or has expired."""
        try:
            claims: Mapping[str, Any] = self._serializer(key).loads(value)
        except BadData:
            return None
        return claims if claims["exp"] > now else None

    def _serializer(self, key: bytes) -> URLSafeSerializer:
        return URLSafeSerializer(key, self._salt, signer_kwargs={"digest_method": hashlib.sha256})


SESSION: Final = SignedValue("session", 30 * 86_400.0)  # the cookie of a browser that has sent a token
FORM: Final = SignedValue("form", 7 * 86_400.0)  # shows that a form is from a page of this store; needs a later reload
NOTICE: Final = SignedValue("notice", 600.0)  # in an address: makes the page show this text, and no other


def is_session_of(token: bytes, headers: Mapping[str, str], now: float) -> bool:
    """Whether these request headers contain a session of this token that has not expired."""
    return SESSION.read(token, cookie_parser(headers.get("cookie", "")).get(COOKIE, ""), now) is not None
