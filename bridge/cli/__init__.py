"""The command `genbridge`: options, output and exit codes.

Each module holds the commands of one subject. It is imported only when one of them is called, so `genbridge list` does
not load the daemon.
"""

from __future__ import annotations

import atexit
import errno
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final, NoReturn, TypeVar

import click

from bridge import __version__, garbage_collector
from bridge.domain.quoting import printable
from bridge.errors import ConfigError, GenbridgeError, first_error, os_reason
from bridge.redaction import guard_tracebacks, hidden, learn_by, report_bug

COMMANDS: Final = {  # the module and the summary of each command
    "run": ("bridge.cli.run", "Run the daemon in the foreground, until SIGTERM or Ctrl-C."),
    "once": ("bridge.cli.run", "Work until all tasks are finished and delivered, then exit."),
    "init": ("bridge.cli.init", "Write a first settings file, from five questions."),
    "demo": ("bridge.cli.demo", "Show genbridge at work in half a minute; needs no key."),
    "simulate": ("bridge.cli.simulate", "Run only the simulated provider."),
    "check": ("bridge.cli.check", "Check the settings, with all their secrets."),
    "schema": ("bridge.cli.check", "Print the JSON Schema of the settings, for editors."),
    "providers": ("bridge.cli.providers", "List providers, print one, or show how it reads an answer."),
    "add": ("bridge.cli.add", "Watch tasks: ids, query URLs, or - to read stdin."),
    "withdraw": ("bridge.cli.watches", "Stop watching tasks, without an event."),
    "poll": ("bridge.cli.watches", "Poll these tasks now."),
    "list": ("bridge.cli.listing", "List watched tasks, the most recently added first."),
    "show": ("bridge.cli.show", "Show one task with its deliveries."),
    "explain": ("bridge.cli.show", "Explain what happened to one task, in order."),
    "wait": ("bridge.cli.wait", "Wait until tasks have finished, with live progress."),
    "status": ("bridge.cli.status", "Show the overall status."),
    "store": ("bridge.cli.store", "Upgrade the store, or move it elsewhere."),
    "backup": ("bridge.cli.store", "Copy the store to a file, also while the daemon is running."),
    "restore": ("bridge.cli.store", "Replace the store with a backup, while no daemon is running."),
    "deliveries": ("bridge.cli.deliveries", "List deliveries, the newest first."),
    "pause": ("bridge.cli.pauses", "Pause an endpoint or an account for maintenance."),
    "resume": ("bridge.cli.pauses", "End the pause of an endpoint or an account."),
    "redeliver": ("bridge.cli.deliveries", "Send deliveries again: accepted, dead or waiting."),
    "enable": ("bridge.cli.deliveries", "Send again to an endpoint that is disabled or asked to wait."),
    "test": ("bridge.cli.endpoint_test", "Send a sample to an endpoint and show its answer."),
    "revoke-links": ("bridge.cli.secret_addresses", "Make every existing link to a copy invalid."),
    "callback-url": ("bridge.cli.secret_addresses", "Print the address for a provider's callbacks."),
}


F = TypeVar("F", bound=Callable[..., Any])

CONFIG: Final = "bridge.config"  # key of the value of --config in a click context
PLACE: Final = re.compile(r".+?:\d+:\d+: ", re.DOTALL)  # file, line and column
NAMELESS: Final = {  # what an OSError is about if it names no file
    errno.ENOSPC: "the output cannot be written: the disk is full; free some space",
    errno.ENOENT: "the working directory no longer exists; change to another one",
}
INTERRUPTED: Final = 130  # the exit code that shells use for Ctrl-C


class Commands(click.Group):
    """Imports a command's module only when the command is called. The overview and completion need only its summary."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return click.Command(cmd_name, help=COMMANDS[cmd_name][1]) if cmd_name in COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not ctx.resilient_parsing:
            from bridge.cli.usage_errors import unknown_command

            ctx.fail(unknown_command(args[0], COMMANDS))
        name, named, rest = super().resolve_command(ctx, args)
        if named is not None:
            session = import_module("bridge.cli.session").CommandSession(config=ctx.meta.get(CONFIG))
            learn_by(session.resolved)  # most commands do not read the secrets
            ctx.obj = session
        called = named and command_called(str(name))
        if called is not None and ctx.resilient_parsing:
            import_module("bridge.cli.completion").offer_words(str(name), called)
        return name, called, rest


def command_called(name: str) -> click.Command:
    """The command of this name, imported."""
    with garbage_collector.resting():  # modules stay, so the collector would search them in vain
        module = import_module(COMMANDS[name][0])
    found: click.Command = getattr(module, f"{name.replace('-', '_')}_command")
    return found


def _choose_config(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.meta[CONFIG] = value
        if ctx.obj is not None:  # the option came after the command's name
            ctx.obj.config = value


def config_option(command: F) -> F:
    """`--config`, accepted before and after the command's name."""
    option: Callable[[F], F] = click.option(
        "--config",
        "-c",
        metavar="FILE",
        type=click.Path(readable=False),  # an unreadable file is an error of the settings, not of usage
        callback=_choose_config,
        expose_value=False,
        help="Settings file. Default: $GENBRIDGE_CONFIG; or else genbridge.yaml in the current folder, "
        "~/.config/genbridge or /etc/genbridge.",
    )
    return option(command)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="genbridge")
@config_option
def genbridge() -> None:
    """Watches asynchronous generation tasks and notifies people and programs as soon as they finish.

    Start with `genbridge demo` (no key needed). Then write genbridge.yaml with `genbridge init`, and start
    `genbridge run`. `genbridge add ID` watches a task.

    Exit codes: 0 success, 1 failure, 2 usage, 69 unavailable, 75 try again later, 78 settings.

    \b
    Tab completion for bash (for zsh: zsh_source):
      eval "$(_GENBRIDGE_COMPLETE=bash_source genbridge)"
    """


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command and end the process with its exit code."""
    guard_tracebacks()
    _guard_interrupts()
    _replace_unprintable()
    _end_at_once(_flushed(outcome(argv)))


def _replace_unprintable() -> None:
    """Let outputs replace characters that their encoding lacks, so that a label cannot make a command fail. A terminal
    gets one cell for each, so that its tables and progress bars stay aligned."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace" if stream.isatty() else "backslashreplace")


def _guard_interrupts() -> None:
    """End the process if Ctrl-C arrives in a finalizer, as during imports. Python would print it and continue."""
    report = sys.unraisablehook

    def end_or_report(hook_args: sys.UnraisableHookArgs) -> None:
        if isinstance(hook_args.exc_value, KeyboardInterrupt):
            os._exit(INTERRUPTED)
        report(hook_args)

    sys.unraisablehook = end_or_report


def _flushed(code: int) -> int:
    """The exit code after everything is written. What cannot be written is dropped, because the interpreter would try
    again, report that as a bug, and exit with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            code = code or _say(error)
    return code


def _end_at_once(code: int) -> NoReturn:
    """End the process without shutting down the interpreter, which takes a seventh of a quick command's time. It would
    also wait for abandoned calls, for minutes if a bucket or network folder does not answer."""
    atexit._run_exitfuncs()
    os._exit(_flushed(code))


def outcome(argv: Sequence[str] | None) -> int:
    """Run a command; returns its exit code. An expected error is one line on stderr, a bug is a traceback."""
    try:
        return _outcome(argv)
    except (Exception, BaseExceptionGroup) as error:
        if is_interrupt(error):
            return INTERRUPTED
        report_bug(error)
        return 1


def is_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C caused this error. Before Python 3.12, it is a RuntimeError while a class is created."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__
    return False


def _outcome(argv: Sequence[str] | None) -> int:
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
    except OSError as error:  # such as a full disk under stdout, or a deleted settings file
        return _say(error)
    return code if isinstance(code, int) else 0


def _say_usage(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
    else:
        from bridge.cli.usage_errors import usage_line  # imported here, because only mistakes need it

        click.echo(f"genbridge: {usage_line(error)}", err=True)
    return error.exit_code


def _say(error: GenbridgeError | OSError) -> int:
    if isinstance(error, ConfigError):
        for problem in error.problems:
            # A problem in a file begins with file:line:column, which editors recognize.
            start = "" if PLACE.match(problem) else "genbridge: "
            click.echo(start + printable(hidden(problem)), err=True)
    else:
        reason = os_reason(error) if isinstance(error, OSError) else str(error)
        if isinstance(error, OSError) and error.filename is None:
            reason = NAMELESS.get(error.errno or 0, reason)
        click.echo(f"genbridge: {printable(hidden(reason))}", err=True)
    return error.exit_code if isinstance(error, GenbridgeError) else 1


def _outcome_of_group(group: BaseExceptionGroup) -> int:
    """Report an expected error that came through task groups. Anything else is a bug and is raised again."""
    expected, rest = group.split((GenbridgeError, OSError))
    if expected is None or rest is not None:
        raise group
    error = first_error(expected)
    assert isinstance(error, GenbridgeError | OSError)
    return _say(error)
