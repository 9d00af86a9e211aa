"""The command `genbridge`: speaks to people, and ends with the exit codes of the contract.

Each module here holds the commands of one subject; a command's module is imported only when it is called, so that
`genbridge list` does not pay for the daemon.
"""

from __future__ import annotations

import difflib
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import click

from bridge import __version__
from bridge.cli.session import Session, config_option
from bridge.cli.text import safe
from bridge.config.durations import shown
from bridge.errors import ConfigError, GenbridgeError

COMMANDS: Final = {
    "run": "bridge.cli.run",
    "once": "bridge.cli.run",
    "demo": "bridge.cli.demo",
    "simulate": "bridge.cli.demo",
    "check": "bridge.cli.outside",
    "schema": "bridge.cli.settings",
    "providers": "bridge.cli.settings",
    "add": "bridge.cli.add",
    "withdraw": "bridge.cli.tasks",
    "poll": "bridge.cli.tasks",
    "list": "bridge.cli.watches",
    "show": "bridge.cli.show",
    "explain": "bridge.cli.show",
    "wait": "bridge.cli.wait",
    "status": "bridge.cli.status",
    "store": "bridge.cli.store",
    "deliveries": "bridge.cli.deliveries",
    "redeliver": "bridge.cli.deliveries",
    "enable": "bridge.cli.deliveries",
    "test": "bridge.cli.outside",
}


INTERRUPTED: Final = 130  # as shells say of Ctrl-C


class Commands(click.Group):
    """Imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not ctx.resilient_parsing:
            for near in difflib.get_close_matches(args[0], COMMANDS, n=1):
                ctx.fail(f"No such command {shown(args[0])}; did you mean {near}?")
        return super().resolve_command(ctx, args)

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

    Tab completion for bash: eval "$(_GENBRIDGE_COMPLETE=bash_source genbridge)"; zsh and fish likewise.
    """
    ctx.ensure_object(Session)


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command and end the process with its exit code."""
    if "run" in (sys.argv if argv is None else argv):
        # Until the daemon heeds signals itself: half a second in which nothing has begun that would need an end.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(0))
    sys.exit(outcome(argv))


def outcome(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code. Every expected error is one clear line on stderr."""
    try:
        code = genbridge.main(args=argv, prog_name="genbridge", standalone_mode=False)
    except click.Abort:
        return INTERRUPTED
    except click.ClickException as error:
        return _say_usage(error)
    except GenbridgeError as error:
        return _say(error)
    except BaseExceptionGroup as group:
        return _outcome_of_group(group)
    except OSError as error:  # what nobody foresaw: a full disk under stdout, a settings file that vanished
        click.echo(f"genbridge: {safe(str(error))}", err=True)
        return 1
    return code if isinstance(code, int) else 0


def _say_usage(error: click.ClickException) -> int:
    error.show()
    if isinstance(error, click.NoSuchOption) and error.ctx and _takes_ids(error.ctx.command):
        click.echo(f"An id that begins with - goes behind --, as in: {error.ctx.command_path} -- -x7", err=True)
    return error.exit_code


def _takes_ids(command: click.Command) -> bool:
    return any(isinstance(param, click.Argument) and param.name in {"ids", "task_id"} for param in command.params)


def _say(error: GenbridgeError) -> int:
    if isinstance(error, ConfigError):
        for problem in error.problems:  # each begins with its place in the file
            click.echo(safe(problem), err=True)
    else:
        click.echo(f"genbridge: {safe(str(error))}", err=True)
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
