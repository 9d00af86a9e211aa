"""How an account authenticates to its provider: with its key, with a token made from a pair of keys, or with a
signature."""

from __future__ import annotations

import hmac
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from bridge.domain.origins import PORTS
from bridge.providers.calls import KeyPair, KeyPlace

LIVES_S: Final = 1800  # from the vendor's own examples
EARLY_S: Final = 5
VERY_EARLY_S: Final = 300  # for clocks that differ
RENEWED_BEFORE_S: Final = 120

SCHEMES: Final = {"bearer": "Bearer", "token": "Token"}
"""The scheme in the header, by the `auth` of a description. "none" sends no key, and "signed" signs each request."""


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
        """The token to send now."""
        if not 0 <= self._now() - self._made_at < LIVES_S - RENEWED_BEFORE_S:
            self._make()
        return self._token

    def renew(self, *, earlier: bool) -> None:
        """Replace a token that was refused. `earlier`: by one that became valid earlier."""
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


def volcengine(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    pair: KeyPair,
    keys: Sequence[str],
    now: float,
) -> dict[str, str]:
    """The headers that sign a request for some minutes, by Volcengine's HMAC-SHA256
    (https://www.volcengine.com/docs/6369/67269): method, path, query, type, host and body are signed with a key for
    this day, region and service. `keys` are the access key and the secret key."""
    access_key, secret_key = keys
    instant = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = "/".join((instant[:8], pair.region, pair.service, "request"))
    digest = sha256(body).hexdigest()
    parts = urlsplit(url)
    given = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    host = parts.netloc.rpartition("@")[2].lower().removesuffix(f":{PORTS.get(parts.scheme)}")
    signed = {"host": host, "x-content-sha256": digest, "x-date": instant}
    signed |= {name: given[name] for name in ("content-type", "host") if name in given}
    names = ";".join(sorted(signed))
    # Sorted and escaped as the vendor does it, because a base URL may be escaped differently.
    query = sorted(
        (quote(name, safe=""), quote(value, safe="")) for name, value in parse_qsl(parts.query, keep_blank_values=True)
    )
    request = (
        method,
        quote(unquote(parts.path) or "/", safe="/~"),
        "&".join(f"{name}={value}" for name, value in query),
        "".join(f"{name}:{signed[name]}\n" for name in sorted(signed)),
        names,
        digest,
    )
    statement = "\n".join(("HMAC-SHA256", instant, scope, sha256("\n".join(request).encode()).hexdigest()))
    key = secret_key.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    proof = hmac.digest(key, statement.encode(), "sha256").hex()
    return {
        "X-Date": instant,
        "X-Content-Sha256": digest,
        "Authorization": f"HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={names}, Signature={proof}",
    }
