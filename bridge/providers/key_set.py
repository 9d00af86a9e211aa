"""The public keys that a provider signs callbacks with (a JSON Web Key Set), cached."""

from __future__ import annotations

import base64
import math
from collections.abc import Awaitable, Callable
from typing import Final

import orjson

MAX_KEYS: Final = 20
FRESH_S: Final = 86_400.0  # keys are fetched once a day ...
AGAIN_S: Final = 300.0  # ... and at most this often after a failure, or if a signature matches none of them

Fetch = Callable[[str], Awaitable[bytes | None]]
"""Returns the body at an address; None if that fails. No redirect is followed."""


class KeySet:
    """The keys at one address, which comes from the description. `keys` is empty until the first `refresh`."""

    def __init__(self, url: str, *, fetch: Fetch) -> None:
        self._url = url
        self._fetch = fetch
        self._fetched_at = self._tried_at = -math.inf
        self._is_doubted = False
        self.keys: tuple[bytes, ...] = ()

    def doubt(self) -> None:
        """A signature matches no key, so the provider may have new keys."""
        self._is_doubted = True

    def wait_s(self, now: float) -> float:
        """Seconds until `refresh` is due."""
        due_at = self._fetched_at + FRESH_S
        if self._is_doubted or not self.keys:
            due_at = min(due_at, self._tried_at + AGAIN_S)
        return max(0.0, max(due_at, self._tried_at + AGAIN_S) - now)

    async def refresh(self, now: float) -> bool:
        """Fetch the keys. Returns whether that succeeded; if not, the old keys stay."""
        self._tried_at = now
        body = await self._fetch(self._url)
        keys = parse_key_set(body) if body is not None else ()
        if keys:
            self.keys, self._fetched_at, self._is_doubted = keys, now, False
        return bool(keys)


def parse_key_set(body: bytes) -> tuple[bytes, ...]:
    """The ed25519 keys of a JSON Web Key Set (RFC 8037)."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ()
    listed = answer.get("keys") if isinstance(answer, dict) else None
    found = []
    for key in listed[:MAX_KEYS] if isinstance(listed, list) else ():
        text = key.get("x") if isinstance(key, dict) and key.get("crv", "Ed25519") == "Ed25519" else None
        if isinstance(text, str):
            try:
                found.append(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            except ValueError:
                continue
    return tuple(key for key in found if len(key) == 32)
