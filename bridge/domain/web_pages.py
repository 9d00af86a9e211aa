"""What a web page says that arrives instead of an answer."""

from __future__ import annotations

import html
import re
from typing import Final

# An attribute has no "<" here: otherwise a page of a megabyte that repeats "<title" would take a minute.
_TITLE: Final = re.compile(rb"<title[^<>]*+>([^<]{1,400})", re.IGNORECASE)


def described(page: bytes, status: int) -> str:
    """`a web page with the title "..."`; "" if the title only repeats the status."""
    found = _TITLE.search(page)
    title = html.unescape(found[1].decode(errors="replace")).strip() if found else ""
    if title.startswith(str(status)):
        return ""
    return f'a web page with the title "{title}"' if title else "a web page"
