"""Signed links to copies: anyone who has a link can fetch that one file until the link expires."""

from __future__ import annotations

import base64
import hmac
from typing import Final
from urllib.parse import quote

RESULTS: Final = "/results/"
LINK_LIFE_S: Final = 7 * 86_400
_SIGNATURE_BYTES: Final = 24


def result_link(key: bytes, path: str, *, expires_s: int) -> str:
    """Path and query of the link to a copy."""
    return f"{RESULTS}{quote(path)}?expires={expires_s}&signature={_signature(key, path, expires_s)}"


def is_signed(key: bytes, path: str, *, expires: str, signature: str) -> bool:
    """Whether this is the signature of a link to this copy, expired or not. Takes the same time for every signature."""
    if not expires.isascii() or not expires.isdecimal() or len(expires) > 12:
        return False
    return hmac.compare_digest(signature.encode("utf-8", "replace"), _signature(key, path, int(expires)).encode())


def _signature(key: bytes, path: str, expires_s: int) -> str:
    digest = hmac.digest(key, f"result/{expires_s}/{path}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest[:_SIGNATURE_BYTES]).decode()
