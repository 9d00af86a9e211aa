"""Outgoing connections and the HTTP server. Only this room (and tests) imports httpx."""

from __future__ import annotations

from bridge.lean_imports import absent

with absent("rich", "pygments"):  # httpx has a command of its own that draws with them: 4 MB
    import httpx  # noqa: F401 - here first, before any module of this room imports it
