"""How a key is shown to a provider."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Final, Protocol

LIVES_S: Final = 1800  # the vendor's own example values
EARLY_S: Final = 5
VERY_EARLY_S: Final = 300  # for clocks that differ
RENEWED_BEFORE_S: Final = 120


class Key(Protocol):
    """What proves that it is us who ask."""

    def token(self) -> str:
        """The words to show now."""

    def renew(self, *, earlier: bool) -> None:
        """Make the token anew after it has been refused, valid from earlier on when `earlier`; a fixed one stays."""


class FixedKey:
    """An API key: the token itself."""

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    def token(self) -> str:
        return self._api_key

    def renew(self, *, earlier: bool) -> None:
        pass


class JwtKey:
    """An access key and a secret key: a JSON Web Token, signed with the latter (HS256), good for half an hour, kept
    and made anew two minutes before its end. `now` gives wall-clock seconds."""

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
        import jwt  # here: it brings megabytes of cryptography that only accounts with such a pair need

        with warnings.catch_warnings():
            # A vendor's secret may be shorter than the library likes it for HS256: nothing that we could mend.
            warnings.simplefilter("ignore", jwt.InsecureKeyLengthWarning)
            self._token = jwt.encode(claims, self._secret_key, "HS256")


def shown(style: str, token: str) -> tuple[dict[str, str], tuple[str, str] | None]:
    """The headers that carry a token in this style of a description, or else the query parameter that does."""
    match style.split(" "):
        case ["bearer"]:
            return {"Authorization": f"Bearer {token}"}, None
        case ["token"]:
            return {"Authorization": f"Token {token}"}, None
        case ["header", name]:
            return {name: token}, None
        case ["signed"]:
            return {}, None
        case [_, name]:
            return {}, (name, token)
        case _:
            raise ValueError(style)
