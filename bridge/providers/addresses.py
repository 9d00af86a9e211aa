"""From an account and a task to the address to ask at, and back."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, quote, unquote, urlsplit

from bridge.providers.description import Description


def action_problem(description: Description, action: str | None) -> str | None:
    """Why tasks cannot be asked about with this action, or None when they can."""
    if "{action}" not in description.ask.path:
        return None
    if action is None:
        return "no action is set for this task, nor for its account (e.g. videos/text2video)"
    pattern = description.ask.action
    if pattern is not None and re.fullmatch(pattern, action) is None:
        return f'"{action[:80]}" cannot be an action: it is {{group}}/{{action2}}, e.g. videos/text2video'
    return None


def query_url(description: Description, *, base_url: str, task_id: str, action: str | None) -> str:
    """Where to ask about one task, already percent-encoded. ValueError when the action does not do."""
    if (problem := action_problem(description, action)) is not None:
        raise ValueError(problem)
    path = _path(description, urlsplit(base_url))
    path = path.replace("{action}", quote(action or "", safe="/"))
    return base_url.rstrip("/") + path.replace("{id}", quote(task_id, safe=""))


def locate(description: Description, base_url: str, url: str) -> tuple[str | None, str] | None:
    """Action and task id of a full query URL of this account, or None when it is none. A query is ignored."""
    try:
        base, asked = urlsplit(base_url), urlsplit(url.strip())
        if _origin(base) != _origin(asked):
            return None
    except ValueError:
        return None
    template = base.path.rstrip("/") + _path(description, base)
    pattern = re.escape(template).replace(r"\{action\}", f"(?P<action>{description.ask.action or '.+'})")
    found = re.fullmatch(pattern.replace(r"\{id\}", "(?P<id>[^/]+)"), asked.path.removesuffix("/"))
    if found is None:
        return None
    groups = found.groupdict()
    return groups.get("action"), unquote(groups["id"])


def _path(description: Description, base: SplitResult) -> str:
    direct = description.ask.direct
    return direct.path if direct is not None and base.hostname in direct.hosts else description.ask.path


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
