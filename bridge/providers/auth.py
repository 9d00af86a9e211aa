"""How an account authenticates to its provider."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Final, Protocol

from bridge.providers.calls import KeyPlace

LIVES_S: Final = 1800  # from the vendor's own examples
EARLY_S: Final = 5
VERY_EARLY_S: Final = 300  # for clocks that differ
RENEWED_BEFORE_S: Final = 120

SCHEMES: Final = {"bearer": "Bearer", "token": "Token"}
"""The scheme in the header, by the `auth` of a definition. "none" sends no key, and "signed" signs each request."""


class Credential(Protocol):
    """The key of an account."""

    def token(self) -> str:
        """The token to send now."""

    def renew(self, *, earlier: bool) -> None:
        """Replace a token that was refused. `earlier`: by one that became valid earlier. A fixed key does not
        change."""


class FixedKey:
    """An API key, which is sent as the token."""

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    def token(self) -> str:
        return self._api_key

    def renew(self, *, earlier: bool) -> None:
        pass


class JwtKey:
    """A JSON Web Token for an access key, signed with a secret key (HS256). It is valid for half an hour and replaced
    two minutes before that. `now` returns wall-clock seconds."""

    def __init__(self, access_key: str, secret_key: str, *, now: Callable[[], float]) -> None:
        self._access_key = access_key
        self._secret_key = secret_key
        self._now = now
        self._token = ""
        self._made_at = 0.0
        self._early_s = EARLY_S

    def token(self) -> str:
        if not 0 <= self._now() - self._made_at < LIVES_S - RENEWED_BEFORE_S:
            self._make()
        return self._token

    def renew(self, *, earlier: bool) -> None:
        if earlier:
            self._early_s = VERY_EARLY_S
        self._make()

    def _make(self) -> None:
        self._made_at = self._now()
        now = int(self._made_at)
        claims = {"iss": self._access_key, "exp": now + LIVES_S, "nbf": now - self._early_s}
        import jwt  # imported here, because it loads megabytes of cryptography that few accounts need

        with warnings.catch_warnings():
            # A vendor's secret may be shorter than the library recommends for HS256. genbridge cannot change that.
            warnings.simplefilter("ignore", jwt.InsecureKeyLengthWarning)
            self._token = jwt.encode(claims, self._secret_key, "HS256")


def shown(auth: str | KeyPlace, token: str) -> tuple[dict[str, str], tuple[str, str] | None]:
    """The headers that contain a token, or the query parameter that does."""
    if isinstance(auth, KeyPlace) and auth.header is None:
        return {}, (auth.query or "", f"{auth.prefix}{token}")
    if isinstance(auth, KeyPlace):
        return {auth.header or "": f"{auth.prefix}{token}"}, None
    return ({"Authorization": f"{SCHEMES[auth]} {token}"} if auth in SCHEMES else {}), None
