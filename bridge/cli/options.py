"""Options that several commands share, and how their values are read."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from bridge.clock import SystemClock
from bridge.config.durations import parse_duration
from bridge.domain.text import quoted


def duration(text: str) -> float:
    """A duration as in the settings, in seconds."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def since(text: str) -> float:
    """The instant that a time (RFC 3339; without an offset it is UTC) or a duration back from now names."""
    try:
        return SystemClock().now() - parse_duration(text)
    except ValueError:
        pass  # then it is a time
    try:
        at = datetime.fromisoformat(text.strip())
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{quoted(text)} is neither a time, as in 2025-11-01T12:00:00Z, nor a duration, as in 2h"
        ) from None


limit_option = click.option("--limit", type=click.IntRange(1, 10**9), metavar="N", help="At most so many.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON; times are RFC 3339, UTC.")
account_option = click.option("--account", metavar="NAME", help="When several accounts watch this id.")
