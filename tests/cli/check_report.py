"""What `check` reports, and settings that it accepts."""

from __future__ import annotations

import re
from typing import Final

from tests.cli.shell import Said

ACCOUNT: Final = {"provider": "kling", "base_url": "http://127.0.0.1:9", "api_key": "k"}
HOOK: Final = {"type": "webhook", "url": "http://127.0.0.1:9/hook"}
LINE: Final = re.compile(r"(ok|warning|error) +([^ ]+): (.+)")


def report(said: Said) -> dict[str, tuple[str, str]]:
    """The level and the text of each line of `check`, by its subject. If a subject has several lines, the last one
    counts."""
    found = {}
    for line in said.out.splitlines():
        match = LINE.fullmatch(line)
        assert match, line
        found[match[2]] = match[1], match[3]
    return found
