"""Signs requests that carry no key. A description names the function for that (`key_pair: {sign}`)."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from bridge.providers.auth import JwtKey
from bridge.providers.calls import KeyPair
from bridge.providers.task_requests import PORTS

Signer = Callable[[str, str, Mapping[str, str], bytes | None], dict[str, str]]
"""Signs a request: takes method, URL, headers and body, and returns the headers to add. A signature is valid for
minutes."""


def signer(pair: KeyPair, access_key: str, secret_key: str, *, now: Callable[[], float]) -> Signer:
    """The function that signs the requests of one account. `now` returns wall-clock seconds."""
    sign, region, service = SIGNATURES[pair.sign], pair.region, pair.service
    keys = {"access_key": access_key, "secret_key": secret_key, "region": region, "service": service}
    return lambda method, url, headers, body: sign(method, url, headers, body or b"", now=now(), **keys)


def of_pair(
    pair: KeyPair | None, secrets: Sequence[str], *, now: Callable[[], float]
) -> tuple[JwtKey | None, Signer | None]:
    """For an account with access key and secret key: its token, or the function that signs its requests. Other accounts
    get None for both."""
    if pair is None or not secrets:
        return None, None
    access_key, secret_key = secrets
    if pair.signs_requests:
        return None, signer(pair, access_key, secret_key, now=now)
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
    are signed with a key for this day, region and service."""
    instant = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = "/".join((instant[:8], region, service, "request"))
    digest = sha256(body).hexdigest()
    parts = urlsplit(url)
    given = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    signed = {"host": _host(parts.scheme, parts.netloc), "x-content-sha256": digest, "x-date": instant}
    signed |= {name: given[name] for name in ("content-type", "host") if name in given}
    names = ";".join(sorted(signed))
    # Sorted and escaped as the vendor does it, because a base URL may be escaped differently.
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
"""The function for each word in a description."""


def _host(scheme: str, netloc: str) -> str:
    """The value of the Host header: without the default port."""
    host = netloc.rpartition("@")[2].lower()
    return host.removesuffix(f":{PORTS.get(scheme)}")


def _escaped(text: str) -> str:
    return quote(text, safe="")
