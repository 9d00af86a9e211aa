"""Checks the signature of a callback, according to the `signature` of a description."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cache
from hashlib import sha256
from typing import Final

from bridge.domain.callback import CallbackProof, CallbackRequest
from bridge.providers.callback_rules import PLACEHOLDER, CallbackSignature

MAX_SIGNATURES: Final = 10  # maximum that are tried for one callback
MAX_SIGNED_HEADERS: Final = 20
WHSEC: Final = "whsec_"

Verifier = Callable[[bytes, bytes, bytes], bool]
"""Whether a signature is valid. Arguments: key, signature, signed text."""


class SecretProblem(ValueError):
    """A text that cannot be a secret."""


def secret_bytes(rule: CallbackSignature, secret: str) -> bytes:
    """The key for a secret in the settings. SecretProblem if its format is wrong."""
    if rule.secret_as == "text":  # noqa: S105 - a format
        return secret.encode()
    text = secret.removeprefix(WHSEC).rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(WHSEC) or not key:
        raise SecretProblem('is not "whsec_" and base64, as the provider shows it')
    return key


def proof(
    rule: CallbackSignature, request: CallbackRequest, *, ids: Sequence[str], keys: Sequence[bytes], now: float
) -> CallbackProof:
    """What the signature proves. `keys` are all keys that may have signed it; without keys it is not checked. `ids` are
    the task ids in the callback."""
    given = request.headers.get(rule.header)
    if given is None:
        return CallbackProof.UNSIGNED
    verify = _ed25519() if rule.algorithm == "ed25519" else _verify_hmac
    if not keys or verify is None:
        return CallbackProof.UNSIGNED
    text = signed_text(rule, request, ids)
    signatures = _decoded(rule, given)
    if text is None or not any(verify(key, signature, text) for key in keys for signature in signatures):
        return CallbackProof.FORGED
    if rule.timestamp is None:
        return CallbackProof.SIGNED
    made_at = _instant(request.headers.get(rule.timestamp, ""))
    if made_at is None:
        return CallbackProof.FORGED
    return CallbackProof.SIGNED if abs(now - made_at) <= rule.tolerance else CallbackProof.STALE


def signed_text(rule: CallbackSignature, request: CallbackRequest, ids: Sequence[str]) -> bytes | None:
    """The text that was signed; None if the callback lacks a part of it."""
    parts: list[bytes] = []
    end = 0
    for found in PLACEHOLDER.finditer(rule.text):
        part = _part(found[1], rule, request, ids)
        if part is None:
            return None
        parts += [rule.text[end : found.start()].encode(), part]
        end = found.end()
    return b"".join([*parts, rule.text[end:].encode()])


def _part(name: str, rule: CallbackSignature, request: CallbackRequest, ids: Sequence[str]) -> bytes | None:
    if name == "body":
        return request.body
    if name == "body_sha256":
        return sha256(request.body).hexdigest().encode()
    if name == "signed_headers":
        return _header_lines(request.headers, request.headers.get(rule.signed_headers or "", ""))
    texts: Mapping[str, str | None] = {
        "timestamp": request.headers.get(rule.timestamp or ""),
        "id": ids[0] if ids else None,
        "method": request.method,
        "path": request.path,
        "query": request.query,
    }
    text = texts[name] if name in texts else request.headers.get(name.removeprefix("header.").lower())
    return None if text is None else text.encode(errors="surrogateescape")


def _header_lines(headers: Mapping[str, str], listed: str) -> bytes | None:
    names = [name.strip() for name in listed.split(";") if name.strip()]
    if not names or len(names) > MAX_SIGNED_HEADERS or any(name.lower() not in headers for name in names):
        return None
    return "".join(f"{name}:{headers[name.lower()]}\n" for name in names).encode(errors="surrogateescape")


def _decoded(rule: CallbackSignature, given: str) -> list[bytes]:
    """The signatures in the header that can be decoded."""
    found = []
    for each in given.split()[:MAX_SIGNATURES]:
        if not each.startswith(rule.prefix):
            continue
        text = each[len(rule.prefix) :]
        try:
            found.append(bytes.fromhex(text) if rule.encoding == "hex" else base64.b64decode(text, validate=True))
        except ValueError:  # includes binascii.Error
            continue
    return found


def _instant(text: str) -> float | None:
    """Seconds since the epoch: a number of seconds, or an HTTP date."""
    if text.isascii() and text.isdigit():
        return float(text[:15])
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _verify_hmac(key: bytes, signature: bytes, text: bytes) -> bool:
    return hmac.compare_digest(hmac.digest(key, text, "sha256"), signature)


@cache
def _ed25519() -> Verifier | None:
    """The verifier for ed25519, which needs the package cryptography; None without it."""
    try:  # imported here, because few accounts need it and it takes megabytes
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return None

    def verify(key: bytes, signature: bytes, text: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, text)
        except (InvalidSignature, ValueError):
            return False
        return True

    return verify
