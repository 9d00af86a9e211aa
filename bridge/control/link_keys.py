"""The key that signs links to copies."""

from __future__ import annotations

from typing import Protocol

from bridge.domain.store_key import KeyPurpose


class KeyStore(Protocol):
    """The part of a store that replaces keys."""

    def renew_key(self, purpose: KeyPurpose, *, now: float) -> bytes:
        """A new key for this purpose; everything signed with the old one is void."""


def revoke_links(store: KeyStore, *, now: float) -> None:
    """Make every link to a copy void. Later ones are signed with a new key."""
    store.renew_key(KeyPurpose.RESULTS, now=now)
