"""Checks of signed requests. They share no code with the signing side, because a test would otherwise prove nothing."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from functools import reduce
from hashlib import sha256
from typing import Final

from starlette.requests import Request

_AUTHORIZATION: Final = re.compile(
    r"HMAC-SHA256 Credential=[^/]+/(\d{8}/[^/]+/[^/]+/request), SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})"
)


def _volcengine(request: Request, body: bytes, secret_key: str) -> bool:
    """Volcengine's signature, version 4. The date and the access key are not checked."""
    headers = request.headers
    found = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    digest = sha256(body).hexdigest()
    if found is None or digest != headers.get("x-content-sha256"):
        return False
    scope, names, signature = found.groups()
    path, query = (request.scope[name].decode("ascii", "replace") for name in ("raw_path", "query_string"))
    signed = "".join(f"{name}:{headers.get(name, '').strip()}\n" for name in names.split(";"))
    canonical = "\n".join((request.method, path, "&".join(sorted(query.split("&"))), signed, names, digest))
    key = reduce(_hmac, scope.split("/"), secret_key.encode())
    text = "\n".join(("HMAC-SHA256", headers.get("x-date", ""), scope, sha256(canonical.encode()).hexdigest()))
    return hmac.compare_digest(_hmac(key, text).hex(), signature)


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


SIGNATURE_CHECKS: Final[Mapping[str, Callable[[Request, bytes, str], bool]]] = {"volcengine": _volcengine}
"""By the name in `vendor.yaml`: whether a request with this body is signed with this secret key."""
