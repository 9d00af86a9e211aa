"""The reader of the page: language, time zone, theme, and permissions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from starlette.requests import Request

from bridge.http.accept_headers import accepted
from bridge.http.access import AccessMiddleware, Right

LANGUAGES: Final = ("en", "zh")
THEMES: Final = ("light", "dark")
CHOICES: Final = {"lang": LANGUAGES, "theme": (*THEMES, "system"), "zone": ("utc", "local")}
"""The choices in the footer: a parameter of any view, then a cookie."""
ZONE_COOKIE: Final = "zone_name"  # set by the page's script: the browser's time zone
COOKIE_S: Final = 365 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """The person who reads one page. `zone` is the reader's time zone if it is known, or else the daemon's."""

    language: str
    zone: tzinfo
    is_utc: bool  # the reader chose UTC
    theme: str | None  # None: follow the system
    right: Right
    is_signed_in: bool  # with a cookie, so that the reader can sign out
    base_path: str  # what the reader's browser has in front of every path of the page

    @property
    def may_read(self) -> bool:
        """Whether to show anything but the sign-in page."""
        return self.right is not Right.OPEN

    @property
    def may_act(self) -> bool:
        """Whether to show buttons that change something."""
        return self.right is Right.FULL


def visitor_of(request: Request) -> Visitor:
    access: AccessMiddleware = request.app.state.access
    rules = access.rules
    is_utc = choice(request, "zone") == "utc"
    theme = choice(request, "theme")
    return Visitor(
        language=choice(request, "lang") or preferred_language(request.headers),
        zone=UTC if is_utc else _zone(request.cookies.get(ZONE_COOKIE), access.now()),
        is_utc=is_utc,
        theme=theme if theme in THEMES else None,
        right=rules.right_of_browser(request.headers, access.now()),
        is_signed_in=rules.right_of(request.headers) is Right.OPEN,
        base_path=rules.base_path_of(request.headers),
    )


def choice(request: Request, name: str) -> str | None:
    """The choice in the footer, from this request or an earlier one."""
    for value in (request.query_params.get(name), request.cookies.get(name)):
        if value in CHOICES[name]:
            return value
    return None


def preferred_language(headers: Mapping[str, str]) -> str:
    """The best available language for Accept-Language; English if none fits."""
    best, best_weight = "en", 0.0
    for name, _, weight in accepted(headers.get("accept-language", "")):
        code = name.partition("-")[0]
        if code in LANGUAGES and weight > best_weight:
            best, best_weight = code, weight
    return best


def _zone(name: str | None, now: float) -> tzinfo:
    own = datetime.fromtimestamp(now, UTC).astimezone().tzinfo or UTC
    if not name or len(name) > 60:
        return own
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return own
