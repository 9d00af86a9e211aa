"""The `callback` of a description: where a callback contains the task's id, and how its signature is checked."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from hashlib import sha256
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, model_validator

from bridge.config.validators import header_name
from bridge.domain.backoff import http_instant
from bridge.domain.callback import CallbackProof, CallbackRequest
from bridge.providers.calls import DescriptionModel, DurationS
from bridge.providers.selector import Select, SelectFirst

MAX_SIGNATURES: Final = 10  # maximum that are tried for one callback
MAX_SIGNED_HEADERS: Final = 20
WHSEC: Final = "whsec_"
PLACEHOLDER: Final = re.compile(r"\{([a-z0-9_]+|header\.[A-Za-z0-9-]+)\}")
# In addition to header.NAME.
FILLED: Final = frozenset({*("body", "body_sha256", "timestamp", "id", "method", "path", "query", "signed_headers")})

Verifier = Callable[[bytes, bytes, bytes], bool]
"""Whether a signature is valid. Arguments: key, signature, signed text."""


def _signed_text(text: str) -> str:
    for name in PLACEHOLDER.findall(text):
        if not name.startswith("header.") and name not in FILLED:
            known = ", ".join(f"{{{each}}}" for each in sorted(FILLED))
            raise ValueError(f"{{{name}}} is not available here; you can use {known} and {{header.NAME}}")
    return text


def _key_set(url: str) -> str:
    if urlsplit(url).scheme != "https" or not urlsplit(url).hostname:
        raise ValueError("a key set must have an https:// address")
    return url


Header = Annotated[str, AfterValidator(header_name), AfterValidator(str.lower)]


class CallbackSignature(DescriptionModel):
    """How a callback is signed. `header` contains one signature, or several separated by spaces. Each begins with
    `prefix`; others are ignored.

    `text` is the signed text. `{body}` is the raw body, `{body_sha256}` its digest in hex, `{timestamp}` the time in
    the header `timestamp` or after `time_prefix`, `{id}` the task's id, `{header.NAME}` a header. `{method}`, `{path}`
    and `{query}` are those of the request. `{signed_headers}` is a line "NAME:VALUE" for each header that the header
    `signed_headers` lists.
    """

    header: Header
    algorithm: Literal["hmac-sha256", "ed25519"] = "hmac-sha256"
    encoding: Literal["base64", "hex"] = "base64"
    prefix: str = ""
    text: Annotated[str, AfterValidator(_signed_text)]
    timestamp: Header | None = None  # seconds since the epoch, or an HTTP date
    time_prefix: str = ""  # of the time, if it is in `header` as well; commas separate the parts of `header` then
    tolerance: DurationS = 300.0  # how old a signature may be
    signed_headers: Header | None = None
    # Where the key comes from. callback_secret: the account's settings; api_key: the account's key; key_set: public
    # keys of the provider
    secret: Literal["callback_secret", "api_key", "key_set"] = "callback_secret"  # noqa: S105 - the name of a setting
    secret_as: Literal["text", "whsec"] = "text"  # noqa: S105 - a format; whsec: base64 after `whsec_`
    key_set: Annotated[str, AfterValidator(_key_set)] | None = None

    @model_validator(mode="after")
    def _check(self) -> CallbackSignature:
        if (self.algorithm == "ed25519") != (self.secret == "key_set") or (self.key_set is None) != (  # noqa: S105
            self.secret != "key_set"  # noqa: S105
        ):
            raise ValueError("ed25519 needs secret: key_set and the address of the key_set; hmac-sha256 needs neither")
        if "{timestamp}" in self.text and not self.has_time:
            raise ValueError("{timestamp} is signed: write the name of its header under timestamp")
        if ("{signed_headers}" in self.text) != (self.signed_headers is not None):
            raise ValueError("{signed_headers} needs the key signed_headers, and vice versa")
        return self

    @property
    def has_time(self) -> bool:
        return self.timestamp is not None or self.time_prefix != ""


class CallbackRule(DescriptionModel):
    """What the provider posts to a callback address. `id` selects all task ids. `status` selects the provider's status
    word, for people. `challenge` selects a value that the response must repeat."""

    field: str  # the field to set at the provider, such as `callback_url`
    id: SelectFirst = ()
    status: SelectFirst = ()
    challenge: Select | None = None
    signature: CallbackSignature | None = None

    @property
    def needs_secret(self) -> bool:
        """Whether its signature can only be checked with the account's `callback_secret`."""
        return self.signature is not None and self.signature.secret == "callback_secret"  # noqa: S105


def secret_bytes(rule: CallbackSignature, secret: str) -> bytes:
    """The key for a secret in the settings. ValueError if its format is wrong."""
    if rule.secret_as == "text":  # noqa: S105 - a format
        return secret.encode()
    text = secret.removeprefix(WHSEC).rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(WHSEC) or not key:
        raise ValueError('is not "whsec_" and base64, as the provider shows it')
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
    if not rule.has_time:
        return CallbackProof.SIGNED
    made_at = _instant(_time(rule, request) or "")
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
        "timestamp": _time(rule, request),
        "id": ids[0] if ids else None,
        "method": "POST",
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


def _time(rule: CallbackSignature, request: CallbackRequest) -> str | None:
    if not rule.time_prefix:
        return request.headers.get(rule.timestamp or "")
    parts = _parts(rule, request.headers.get(rule.header, ""))
    return next((each[len(rule.time_prefix) :] for each in parts if each.startswith(rule.time_prefix)), None)


def _parts(rule: CallbackSignature, given: str) -> list[str]:
    return [each.strip() for each in given.split("," if rule.time_prefix else None)[:MAX_SIGNATURES]]


def _decoded(rule: CallbackSignature, given: str) -> list[bytes]:
    found = []
    for each in _parts(rule, given):
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
        return http_instant(text).timestamp()
    except ValueError:
        return None


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
