"""Removes the secrets of an Apprise URL from reasons."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from bridge.redaction import hidden
from bridge.sinks.neutral import one_line

MOST_REASON: Final = 300  # characters
MOST_LINES: Final = 8  # maximum number of a plugin's log lines in a reason
SHORTEST: Final = 4  # characters; shorter parts of a URL are not secret

_SEPARATORS: Final = re.compile(r"[/:@?&=,;+#\s]+")


def without_secrets(texts: Iterable[str], *, url: str, shown: str = "") -> str:
    """The texts as one line, without repetition and without the parts of `url`. Its scheme, the names of its options
    and the parts of `shown` stay: that is the URL as Apprise itself shows it to people."""
    scheme, _, rest = url.partition("://")
    options = [each.partition("=") for each in re.split("[?&]", rest)[1:]]
    names = [name for name, _, value in options if value.strip("=")]  # otherwise the name may be a token in base64
    public = {piece.lower() for piece in _pieces("&".join([shown, scheme, *names]))}
    secrets = {piece for piece in _pieces(rest) if len(piece) >= SHORTEST and piece.lower() not in public}
    longest_first = sorted(secrets, key=len, reverse=True)  # so that no part of a longer secret is left

    def clean(text: str) -> str:
        text = hidden(text.replace(url, "***") if url else text)
        for secret in longest_first:
            text = text.replace(secret, "***")
        return one_line(text, most_chars=MOST_REASON)

    lines = dict.fromkeys(filter(None, (clean(text).rstrip(" :") for text in texts)))
    return one_line("; ".join(list(lines)[:MOST_LINES]), most_chars=MOST_REASON)


def _pieces(url: str) -> set[str]:
    """The parts of a URL, in every spelling that a text may contain."""
    raw = {piece for text in (url, unquote(url)) for piece in _SEPARATORS.split(text) if piece}
    plain = {unquote(piece) for piece in raw} | {unquote_plus(piece) for piece in raw}
    return raw | plain | {quote(piece, safe="") for piece in plain} | {quote_plus(piece) for piece in plain}
