"""The recorded answers, and what their manifest says about each."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

DATA: Final = Path(__file__).parent.parent / "data"
FIXTURES: Final[list[dict[str, Any]]] = json.loads((DATA / "manifest.json").read_text())["fixtures"]


def said(fixture: dict[str, Any]) -> Any:
    """The recorded answer."""
    return json.loads((DATA / fixture["file"]).read_bytes())


def provider_of(fixture: dict[str, Any]) -> str:
    """The description that reads it."""
    return str(fixture["file"].partition("/")[0])


def id_of(fixture: dict[str, Any]) -> str:
    """The id of the task, from the body or else from the request."""
    body = said(fixture)
    inner = body.get("data") or body.get("task") or body if isinstance(body, dict) else body
    first = inner[0] if isinstance(inner, list) else inner
    own = [first.get(key) for key in ("task_id", "id", "name")] if isinstance(first, dict) else []
    stated = [fixture.get("task_id"), fixture.get("id"), *(value for value in own if isinstance(value, str))]
    path, _, query = fixture["request"].partition("?")
    asked = re.findall(r"(?:_ids?|id)=([^&,)]+)", query) or [path.removesuffix("/fetch").rpartition("/")[2]]
    return str(next(filter(None, stated), asked[0]))


def action_of(fixture: dict[str, Any]) -> str | None:
    """The action of the task, if the request shows it."""
    found = re.search(r"/(images|videos|audio)/([a-z0-9-]+)", fixture["request"])
    return f"{found[1]}/{found[2]}" if found else None
