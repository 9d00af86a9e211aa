"""Why a chat did not take a message, in one line that holds no secret."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from bridge.logs import hidden
from bridge.sinks.neutral import one_line

FORBIDDEN: Final = frozenset({"retry", "wait"})  # Apprise's own retries live in memory only
MOST_SAID: Final = 8  # lines of a plugin that make it into a reason
SHORTEST: Final = 4  # characters; shorter pieces of a URL are no secrets

_SEPARATORS: Final = re.compile(r"[/:@?&=,;+#\s]+")


def forbidden_options(url: str) -> str | None:
    """The option of this Apprise URL that may not be there, if any."""
    for option in url.partition("?")[2].split("&"):
        name = unquote(option.partition("=")[0]).strip().lower()
        if name in FORBIDDEN:
            return name
    return None


class Scrubber:
    """Takes the pieces of one URL out of texts, save its scheme and what `shown` (the URL as Apprise itself shows it
    to people) gives away."""

    def __init__(self, url: str, *, shown: str) -> None:
        scheme, _, rest = url.partition("://")
        public = {piece.lower() for piece in _pieces(shown)} | {scheme.lower()}
        secret = {piece for piece in _pieces(rest) if len(piece) >= SHORTEST and piece.lower() not in public}
        # Longest first, so that no half of a secret stays behind.
        self._secret = sorted(secret, key=len, reverse=True)
        self._url = url

    def clean(self, texts: Iterable[str], *, most_chars: int) -> str:
        """The texts as one line, each said once."""
        said = [one_line(self._scrub(text), most_chars=most_chars) for text in texts if text]
        return one_line("; ".join(list(dict.fromkeys(said))[:MOST_SAID]), most_chars=most_chars)

    def _scrub(self, text: str) -> str:
        text = hidden(text.replace(self._url, "***") if self._url else text)
        for secret in self._secret:
            text = text.replace(secret, "***")
        return text


def _pieces(url: str) -> set[str]:
    """The parts of a URL in every spelling they may be told in."""
    raw = {piece for piece in _SEPARATORS.split(url) if piece}
    plain = {unquote(piece) for piece in raw} | {unquote_plus(piece) for piece in raw}
    return raw | plain | {quote(piece, safe="") for piece in plain} | {quote_plus(piece) for piece in plain}
