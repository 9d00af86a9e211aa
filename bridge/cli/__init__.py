"""The command `genbridge`: speaks to people, and ends with the exit codes of the contract.

Each module here holds the commands of one subject; a command's module is imported only when it is called, so that
`genbridge list` does not pay for the daemon.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import click

from bridge import __version__
from bridge.cli.session import Session, config_option
from bridge.errors import ConfigError, GenbridgeError

COMMANDS: Final = {
    "run": "bridge.cli.run",
    "once": "bridge.cli.run",
    "demo": "bridge.cli.demo",
    "simulate": "bridge.cli.demo",
    "check": "bridge.cli.settings",
    "schema": "bridge.cli.settings",
    "providers": "bridge.cli.settings",
    "add": "bridge.cli.tasks",
    "withdraw": "bridge.cli.tasks",
    "poll": "bridge.cli.tasks",
    "list": "bridge.cli.watches",
    "show": "bridge.cli.watches",
    "explain": "bridge.cli.watches",
    "wait": "bridge.cli.wait",
    "status": "bridge.cli.status",
    "deliveries": "bridge.cli.deliveries",
    "redeliver": "bridge.cli.deliveries",
    "enable": "bridge.cli.deliveries",
    "test": "bridge.cli.deliveries",
}


class Commands(click.Group):
    """Imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        command = getattr(import_module(module), f"{cmd_name}_command")
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="genbridge")
@config_option
@click.pass_context
def genbridge(ctx: click.Context) -> None:
    """Watches asynchronous generation tasks and tells people and programs when they end.

    Start with `genbridge demo` (no key needed). Then write genbridge.yaml, see that `genbridge check` likes it, and
    start `genbridge run`; `genbridge add ID` watches a task.

    Exit codes: 0 good, 1 failure, 2 usage, 69 unavailable, 75 try again later, 78 settings.
    """
    ctx.ensure_object(Session)


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command and end the process with its exit code."""
    sys.exit(outcome(argv))


def outcome(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code. Every expected error is one clear line on stderr."""
    try:
        code = genbridge.main(args=argv, prog_name="genbridge", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.Abort:
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except GenbridgeError as error:
        return _say(error)
    except BaseExceptionGroup as group:
        return _outcome_of_group(group)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone: nothing to add
        return 1
    return code if isinstance(code, int) else 0


def _say(error: GenbridgeError) -> int:
    if isinstance(error, ConfigError):
        for problem in error.problems:  # each begins with its place in the file
            click.echo(problem, err=True)
    else:
        click.echo(f"genbridge: {error}", err=True)
    return error.exit_code


def _outcome_of_group(group: BaseExceptionGroup) -> int:
    """An expected error that reached us through task groups, as if it had come alone; anything else is a bug."""
    expected, rest = group.split(GenbridgeError)
    if expected is None or rest is not None:
        raise group
    error: BaseException = expected
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, GenbridgeError)
    return _say(error)
