"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from bridge.clock import SystemClock
from bridge.config.duration_syntax import parse_duration
from bridge.control.formats import instant
from bridge.domain.quoting import quoted
from bridge.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def checked(check: Callable[[str], T]) -> Callable[[str], T]:
    """The type of an option whose value `check` reads. The text of its ValueError is the error of the command."""

    def read(text: str) -> T:
        try:
            return check(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return read


duration = checked(parse_duration)  # as in the settings, in seconds


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """The type of an option. (click's IntRange would show the range in the help as `1<=x<=1000000000`.)"""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise ValueError(f"{quoted(text)} is not a whole number") from None
        if not least <= number <= most:
            raise ValueError(f"must be between {least} and {most}")
        return number

    return checked(read)


def since_option(help_text: str) -> Callable[[F], F]:
    """`--since`, a time or a duration back from now."""
    return click.option(
        "--since", type=checked(lambda text: instant(text, SystemClock().now())), metavar="TIME", help=help_text
    )


limit_option = click.option("--limit", type=whole_number(1, 10**9), metavar="N", help="At most this many.")
watch_option = click.option("--watch", is_flag=True, help="Refresh once a second, in place, until Ctrl-C.")
wide_option = click.option("--wide", is_flag=True, help="Cut nothing on a terminal, and show all columns.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON; times are RFC 3339, UTC.")
account_option = click.option("--account", metavar="NAME", help="The account, if several watch this id.")


def check_display(*, as_json: bool, watch: bool) -> None:
    """UsageError for options that contradict each other."""
    if as_json and watch:
        raise UsageError("give --json or --watch, not both; `GET /api/v1/events` streams JSON")
