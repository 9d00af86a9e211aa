"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from bridge.clock import SystemClock
from bridge.config.duration_syntax import parse_duration
from bridge.control.formats import instant
from bridge.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])


def duration(text: str) -> float:
    """Parse a duration as in the settings; returns seconds."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def since_option(help_text: str) -> Callable[[F], F]:
    """`--since`, a time or a duration back from now."""
    return click.option("--since", type=_since, metavar="TIME", help=help_text)


def _since(text: str) -> float:
    try:
        return instant(text, SystemClock().now())
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


limit_option = click.option("--limit", type=click.IntRange(1, 10**9), metavar="N", help="At most this many.")
watch_option = click.option("--watch", is_flag=True, help="Refresh once a second, in place, until Ctrl-C.")
wide_option = click.option("--wide", is_flag=True, help="Cut nothing on a terminal, and show all columns.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON; times are RFC 3339, UTC.")
account_option = click.option("--account", metavar="NAME", help="The account, if several watch this id.")


def check_display(*, as_json: bool, watch: bool) -> None:
    """UsageError for options that contradict each other."""
    if as_json and watch:
        raise UsageError("give --json or --watch, not both; `GET /api/v1/events` streams JSON")
