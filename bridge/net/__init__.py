"""Outgoing connections and the HTTP server. Only this room (and tests) imports httpx."""

from __future__ import annotations

from bridge.lean_imports import absent

with absent("rich", "pygments"):  # httpx imports them (4 MB) only for its own command
    import httpx  # noqa: F401 - here first, before any module of this room imports it
