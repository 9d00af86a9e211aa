"""Wrong usage, in one line: what is wrong, and what to type instead. Imported only after a mistake."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from typing import Final

import click

from bridge.domain.quoting import printable, quoted, unknown_name

ENOUGH_ALIKE: Final = 0.7  # `statsu` is close enough to `status`; `stop` is not close enough to `store`


def unknown_command(name: str, known: Collection[str], group: str = "genbridge") -> str:
    """The message about a command that does not exist in this group of commands."""
    said = f"no command {quoted(name)}"
    near = difflib.get_close_matches(name[:100].lower(), known, n=1, cutoff=ENOUGH_ALIKE)
    return f"{said}; did you mean `{group} {near[0]}`?" if near else f"{said}; `{group} --help` lists the commands"


def usage_line(error: click.ClickException) -> str:
    """What is wrong with the command line, and the command that shows help."""
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    text = _text(error)
    if ctx is None or text.endswith("?") or "`" in text:
        return text
    _, _, command = ctx.command_path.partition(" ")
    return f"{f'{command}: ' if command else ''}{text}; see `{ctx.command_path} --help`"


def _text(error: click.ClickException) -> str:
    match error:
        case click.NoSuchOption(possibilities=near, option_name=name):
            said = f"no option {printable(name)}"
            if error.ctx is not None and _takes_ids(error.ctx.command) and not name.startswith("--"):
                return f"{said}; an id that begins with - goes after --, as in `{error.ctx.command_path} -- -x7`"
            if near and difflib.get_close_matches(name.strip("-")[:100], [near[0].strip("-")], cutoff=ENOUGH_ALIKE):
                return f"{said}; did you mean {near[0]}?"
            return _misplaced(error) or said
        case click.MissingParameter(param=click.Parameter() as param):
            return f"{param.make_metavar(error.ctx or click.Context(click.Command(''))).strip('[]')} is missing"
        case click.BadParameter(param=param, param_hint=hint, ctx=click.Context() as ctx) if param or hint:
            named = str(param.get_error_hint(ctx) if param else hint).strip(chr(39))
            return f"{named}: {_choice(error, named.strip('-')) or _small(error.message)}"
        case click.BadOptionUsage(option_name=name) if error.message.endswith("requires an argument."):
            return f"{printable(name)} needs a value"
        case click.UsageError(ctx=click.Context(command=click.Group() as group) as ctx) if given := re.match(
            r"No such command '(.*)'\.", error.message, re.DOTALL
        ):
            return unknown_command(given[1], group.list_commands(ctx), ctx.command_path)
        case _:
            return _small(error.format_message())


def _misplaced(error: click.NoSuchOption) -> str | None:
    """The message about an option in front of its command."""
    if error.ctx is None or not isinstance(group := error.ctx.command, click.Group):
        return None
    for name in group.list_commands(error.ctx):
        _, command, _ = group.resolve_command(error.ctx, [name])
        if command is not None and any(error.option_name in param.opts for param in command.params):
            option = printable(error.option_name)
            return f"{option} goes after the command, as in `{error.ctx.command_path} {name} {option}`"
    return None


def _choice(error: click.BadParameter, what: str) -> str | None:
    """The message about a word that is none of the expected ones."""
    if error.param is None or not isinstance(kind := error.param.type, click.Choice):
        return None
    given = re.match(r"'(.*)' is not one of", error.message, re.DOTALL)
    return unknown_name(what, given[1], map(str, kind.choices), most=len(kind.choices)) if given else None


def _takes_ids(command: click.Command) -> bool:
    return any(isinstance(param, click.Argument) and param.name in {"ids", "task_id"} for param in command.params)


def _small(text: str) -> str:
    """The sentence with a lower-case beginning, for use after a colon."""
    text = printable(text.rstrip("."))
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
