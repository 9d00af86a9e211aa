"""How a key is shown to a provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final


def bearer(api_key: str) -> dict[str, str]:
    """The key itself, as RFC 6750 has it."""
    return {"Authorization": f"Bearer {api_key}"}


AUTH: Final[Mapping[str, Callable[[str], dict[str, str]]]] = {"bearer": bearer}
"""From the word in a description to the headers that carry the key."""
