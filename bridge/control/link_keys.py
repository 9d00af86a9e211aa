"""The key that signs links to copies."""

from __future__ import annotations

from typing import Protocol

from bridge.domain.store_key import KeyPurpose


class KeyStore(Protocol):
    """The part of a store that replaces keys."""

    def renew_key(self, purpose: KeyPurpose, *, now: float) -> bytes:
        """Create a new key for this purpose; everything that was signed with the old key becomes invalid."""


def revoke_links(store: KeyStore, *, now: float) -> None:
    """Make every existing link to a copy invalid. New links are signed with a new key."""
    store.renew_key(KeyPurpose.RESULTS, now=now)
