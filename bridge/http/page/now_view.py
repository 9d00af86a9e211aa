"""The first view: whether all is well, what runs, and what has finished."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bridge.http.page.view import View, ViewCall


async def _load(call: ViewCall) -> Mapping[str, Any]:
    found = await call.services.overview()
    return {"counts": found.counts}


VIEW: Final = View(path="/", template="now.html", name="now", load=_load)
