"""What the gateway changes in the requests and answers that it forwards: targets, headers, redirects, repeated keys."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from bridge.domain.origins import origin_of

Pair = tuple[bytes, bytes]

HOP_BY_HOP: Final = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"),
        *(b"te", b"trailer", b"transfer-encoding", b"upgrade"),
    }
)
"""Headers about one connection (RFC 9110, 7.6.1). The headers that `Connection` names are added."""
OURS: Final = b"genbridge-"
NOT_SENT: Final = frozenset({b"host", b"expect", b"content-length", b"cookie", b"authorization"})
KEY_HEADERS: Final = frozenset({b"x-api-key", b"api-key", b"x-goog-api-key", b"x-key"})  # SDKs send keys in these
NOT_RETURNED: Final = frozenset({b"set-cookie", b"alt-svc", b"strict-transport-security", b"clear-site-data", b"date"})
"""Headers that apply to a whole origin. The provider set them for its own, and they must not apply to genbridge's."""
READABLE: Final = frozenset({b"gzip", b"x-gzip", b"deflate", b"identity"})

TARGET: Final = re.compile(rb"[\x21-\x7e]*")
CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")
MOST_DECODED: Final = 4  # decodings: a provider's own proxies may decode once more than the provider itself


def target_of(rest: bytes, query: bytes, *, base_path: str) -> bytes:
    """The target of the request at the provider: path and query unchanged byte by byte, below `base_path`.

    ValueError, with a text for people, if the path may lead out of `base_path`.
    """
    if TARGET.fullmatch(rest) is None or TARGET.fullmatch(query) is None:
        raise ValueError("the address has characters that must be percent-encoded")
    if rest.startswith(b"//"):
        raise ValueError("the path begins with two slashes: remove the slash at the end of the base URL")
    decoded = rest
    for _ in range(MOST_DECODED):
        if b"\\" in decoded or CONTROL.search(decoded) is not None:
            raise ValueError("the path has a backslash or a control character")
        if {b".", b".."} & {segment.partition(b";")[0] for segment in decoded.split(b"/")}:
            raise ValueError('the path has the segment "." or ".."')
        decoded = unquote_to_bytes(decoded)
    path = base_path.rstrip("/").encode("ascii") + rest or b"/"
    return path + b"?" + query if query else path


def sent_headers(given: Iterable[Pair], *, key_header: str, token: str, is_read: bool) -> list[Pair]:
    """The caller's headers for the provider, without those about the connection to genbridge, cookies, and all headers
    with keys. `is_read`: genbridge reads the answer, so only compressions that it can decode are allowed."""
    given, secret = list(given), token.encode()
    dropped = HOP_BY_HOP | NOT_SENT | KEY_HEADERS | {key_header.lower().encode()} | connection_options(given)
    kept = []
    for name, value in given:
        lower = name.lower()
        if lower not in dropped and not lower.startswith(OURS) and secret not in value:
            kept.append((name, _readable(value) if is_read and lower == b"accept-encoding" else value))
    return kept


def returned_headers(given: Sequence[Pair], *, base_url: str, below: str) -> list[Pair]:
    """The provider's headers for the caller. Content-Length is removed from a chunked answer. `below`: the path of the
    account at the gateway. The server adds Date."""
    names = {name.lower() for name, _ in given}
    dropped = HOP_BY_HOP | NOT_RETURNED | connection_options(given)
    if b"transfer-encoding" in names:
        dropped |= {b"content-length"}
    return [
        (name, _location(value, base_url, below) if name.lower() in {b"location", b"content-location"} else value)
        for name, value in given
        if name.lower() not in dropped and not name.lower().startswith(OURS) and CONTROL.search(value) is None
    ]


def connection_options(given: Iterable[Pair]) -> frozenset[bytes]:
    """The names of the headers that `Connection` lists."""
    values = (value for name, value in given if name.lower() == b"connection")
    return frozenset(option.strip().lower() for value in values for option in value.split(b","))


def rewritten_location(location: str, *, base_url: str, below: str) -> str:
    """A redirect target for the caller: an address below `base_url` becomes one of the gateway, at the path `below`.
    Any other absolute address is unchanged. A path outside `base_url` becomes an absolute address of the provider."""
    try:
        base, at = urlsplit(base_url), urlsplit(location.strip())
        whole = at._replace(scheme=at.scheme or base.scheme, netloc=at.netloc or base.netloc)
        is_ours = origin_of(base) == origin_of(whole)
    except ValueError:
        return location
    if not is_ours or "@" in at.netloc or not at.path.startswith("/"):
        return location  # relative to the current path, which is the same at the gateway; or at another host
    root = base.path.rstrip("/")
    rest = location.strip().partition("://")[2] if at.scheme else location.strip().removeprefix("//")
    tail = rest[rest.index("/") :] if at.netloc else rest
    if at.path == root or at.path.startswith(f"{root}/"):
        return below + tail[len(root) :]
    return f"{base.scheme}://{base.netloc}{tail}"


class KeyMask:
    """Replaces each character of a secret in a stream with an asterisk, even if the secret is split over chunks. Sizes
    do not change."""

    def __init__(self, secrets: Collection[bytes]) -> None:
        self._secrets = tuple(secrets)
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """The masked bytes that can be passed on now. The start of a possible secret is kept back until the next
        chunk."""
        data = masked(self._held + chunk, self._secrets)
        held = max((_overlap(data, secret) for secret in self._secrets), default=0)
        self._held = data[len(data) - held :]
        return data[: len(data) - held]

    def rest(self) -> bytes:
        """The bytes that are still kept back at the end of the stream."""
        held, self._held = self._held, b""
        return held


def masked(data: bytes, secrets: Iterable[bytes]) -> bytes:
    """The data with asterisks in place of each secret; the size is the same."""
    for secret in secrets:
        if secret in data:
            data = data.replace(secret, b"*" * len(secret))
    return data


def _overlap(data: bytes, secret: bytes) -> int:
    """How many bytes at the end of the data are also the beginning of the secret; the largest such number."""
    sizes = range(min(len(secret) - 1, len(data)), 0, -1)
    return next((size for size in sizes if data.endswith(secret[:size])), 0)


def _location(value: bytes, base_url: str, below: str) -> bytes:
    return rewritten_location(value.decode("latin-1"), base_url=base_url, below=below).encode("latin-1")


def _readable(accepted: bytes) -> bytes:
    """Those codings of an Accept-Encoding header that genbridge can decode."""
    codings = [each.strip() for each in accepted.split(b",")]
    kept = [each for each in codings if each.partition(b";")[0].strip().lower() in READABLE]
    return b", ".join(kept) or b"identity"
