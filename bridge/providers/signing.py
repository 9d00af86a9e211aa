"""Requests that carry a signature in place of a key: functions that a description names (`key_pair: {sign: ...}`)."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from bridge.providers.addresses import PORTS
from bridge.providers.auth import JwtKey
from bridge.providers.route import KeyPair


class Signer:
    """Access key and secret key of one account. `now` gives wall-clock seconds: a signature is good for minutes."""

    def __init__(self, pair: KeyPair, access_key: str, secret_key: str, *, now: Callable[[], float]) -> None:
        self._pair = pair
        self._access_key = access_key
        self._secret_key = secret_key
        self._now = now

    def signature(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> dict[str, str]:
        """The headers that prove just this request to be ours, for now."""
        return SIGNATURES[self._pair.sign](
            method,
            url,
            headers,
            body or b"",
            access_key=self._access_key,
            secret_key=self._secret_key,
            region=self._pair.region,
            service=self._pair.service,
            now=self._now(),
        )


def of_pair(
    pair: KeyPair | None, secrets: Sequence[str], *, now: Callable[[], float]
) -> tuple[JwtKey | None, Signer | None]:
    """What an account's access key and secret key prove themselves with: a token, or a signature of each request.
    Neither, for an account without them."""
    if pair is None or not secrets:
        return None, None
    access_key, secret_key = secrets
    if pair.signs_requests:
        return None, Signer(pair, access_key, secret_key, now=now)
    return JwtKey(access_key, secret_key, now=now), None


def volcengine(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    access_key: str,
    secret_key: str,
    region: str,
    service: str,
    now: float,
) -> dict[str, str]:
    """Volcengine's HMAC-SHA256 (https://www.volcengine.com/docs/6369/67269): method, path, query, type, host and body
    are signed with a key that is good for this day, region and service."""
    instant = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = "/".join((instant[:8], region, service, "request"))
    digest = sha256(body).hexdigest()
    parts = urlsplit(url)
    given = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    signed = {"host": _host(parts.scheme, parts.netloc), "x-content-sha256": digest, "x-date": instant}
    signed |= {name: given[name] for name in ("content-type", "host") if name in given}
    names = ";".join(sorted(signed))
    # The query as the vendor writes it, sorted: an escape of a base URL's may be spelt another way.
    query = sorted((_escaped(name), _escaped(value)) for name, value in parse_qsl(parts.query, keep_blank_values=True))
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


SIGNATURES: Final[Mapping[str, Callable[..., dict[str, str]]]] = {"volcengine": volcengine}
"""From the word in a description to the function."""


def _host(scheme: str, netloc: str) -> str:
    """As it stands in the request's Host header: a port that goes without saying is left out."""
    host = netloc.rpartition("@")[2].lower()
    return host.removesuffix(f":{PORTS.get(scheme)}")


def _escaped(text: str) -> str:
    return quote(text, safe="")
