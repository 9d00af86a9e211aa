"""The command `genbridge`: speaks to people, and ends with the exit codes of the contract.

Each module here holds the commands of one subject; a command's module is imported only when it is called, so that
`genbridge list` does not pay for the daemon.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import click

from bridge import __version__
from bridge.cli.session import Session, config_option
from bridge.domain.text import printable, quoted
from bridge.errors import ConfigError, GenbridgeError

COMMANDS: Final = {  # the module of each, and the first line of its help
    "run": ("bridge.cli.run", "Run the daemon in the foreground, until SIGTERM or Ctrl-C."),
    "once": ("bridge.cli.run", "Work until all has ended and been told, then exit."),
    "demo": ("bridge.cli.demo", "Show genbridge at work, without a key, in half a minute."),
    "simulate": ("bridge.cli.demo", "Run the simulated provider alone."),
    "check": ("bridge.cli.outside", "Check the settings, with every secret they name."),
    "schema": ("bridge.cli.settings", "Print the JSON Schema of the settings, for editors."),
    "providers": ("bridge.cli.settings", "List the providers, or print one as YAML."),
    "add": ("bridge.cli.add", "Watch tasks: ids, query URLs, or - to read stdin."),
    "withdraw": ("bridge.cli.tasks", "Stop watching; no event is made."),
    "poll": ("bridge.cli.tasks", "Ask about these tasks now."),
    "list": ("bridge.cli.watches", "List watches, the one added last first."),
    "show": ("bridge.cli.show", "Show one watch with its deliveries."),
    "explain": ("bridge.cli.show", "Tell the story of one task in order."),
    "wait": ("bridge.cli.wait", "Wait until tasks have ended, with live progress."),
    "status": ("bridge.cli.status", "Show how the whole stands, at a glance."),
    "store": ("bridge.cli.store", "Bring the store up to date, or move it elsewhere."),
    "deliveries": ("bridge.cli.deliveries", "List deliveries, the newest first."),
    "redeliver": ("bridge.cli.deliveries", "Send again what has been sent or given up."),
    "enable": ("bridge.cli.deliveries", "Send again to an endpoint that had answered 410 Gone."),
    "test": ("bridge.cli.outside", "Send a sample to an endpoint and say what it answered."),
}


INTERRUPTED: Final = 130  # as shells say of Ctrl-C


class Commands(click.Group):
    """Imports a command's module when the command is called: the overview and completion do with what is said of it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return click.Command(cmd_name, help=COMMANDS[cmd_name][1]) if cmd_name in COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not ctx.resilient_parsing:
            for near in difflib.get_close_matches(args[0], COMMANDS, n=1):
                ctx.fail(f"No such command {quoted(args[0])}; did you mean {near}?")
        name, named, rest = super().resolve_command(ctx, args)
        return name, named and command_called(str(name)), rest


def command_called(name: str) -> click.Command:
    """The command of this name, with all it does."""
    found = getattr(import_module(COMMANDS[name][0]), f"{name}_command")
    assert isinstance(found, click.Command)
    return found


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
        click.echo(f"genbridge: {printable(str(error))}", err=True)
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
            click.echo(printable(problem), err=True)
    else:
        click.echo(f"genbridge: {printable(str(error))}", err=True)
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
