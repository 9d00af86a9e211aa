"""`check` and `schema`: checks the settings and everything that they name, and prints their JSON Schema."""

from __future__ import annotations

import sys
from typing import Final

import anyio
import click

from bridge.cli.output import print_json
from bridge.cli.session import CommandSession, command
from bridge.config.json_schema import json_schema
from bridge.config.load import Loaded
from bridge.control.settings_check import check_offline, check_online
from bridge.domain.finding import Finding, Level, exit_code
from bridge.domain.quoting import printable
from bridge.redaction import hidden
from bridge.screen import fitted, screen_of

LEVEL_CELLS: Final = 8
LEVEL_STYLES: Final = {Level.OK: "good", Level.WARNING: "warn", Level.ERROR: "bad"}


@command("check")
@click.option(
    "--online", is_flag=True, help="Also poll each account for an unknown task, and test each endpoint's address."
)
def check_command(session: CommandSession, online: bool) -> int:
    """Check the settings, with all their secrets.

    Each line is `ok`, `warning` or `error`, then the thing, then what was found. Mistakes in the settings are lines
    `file:line:column: key: what is wrong; how to fix it` on stderr, and the exit code is 78.

    It opens the store and each source. It creates nothing and notifies nobody. If there is an error, the exit code is
    69 for a store or an address that cannot be used, 78 for a missing driver, and 1 otherwise.
    """
    return report(session, online=online)


@command("schema")
def schema_command(_: CommandSession) -> None:
    """Print the JSON Schema of the settings, for editors."""
    print_json(json_schema())


def report(session: CommandSession, *, online: bool) -> int:
    """Print a line about each thing; returns the exit code. ConfigError if the settings are invalid."""
    loaded = session.working()
    found: list[Finding] = []
    for finding in check_offline(loaded, session.placed):
        _say(finding, found)
    if online:
        anyio.run(_say_online, loaded, found)
    return exit_code(found)


async def _say_online(loaded: Loaded, found: list[Finding]) -> None:
    async for finding in check_online(loaded):
        _say(finding, found)


def _say(finding: Finding, found: list[Finding]) -> None:
    found.append(finding)
    screen = screen_of(sys.stdout)
    level, rest = finding.level.value, printable(hidden(finding.line())).removeprefix(finding.level.value)
    line = fitted(level + rest, screen, hang=LEVEL_CELLS)
    click.echo(screen.painted(level, LEVEL_STYLES[finding.level]) + line.removeprefix(level))
