"""`providers`: lists the providers, prints a description, and shows how it reads an answer."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import click
import yaml

from bridge.cli.options import checked, json_option, whole_number
from bridge.cli.output import Column, print_json, print_table, table_lines
from bridge.cli.session import CommandSession, command
from bridge.clock import SystemClock
from bridge.config import settings_file
from bridge.config.load import Loaded
from bridge.config.provider_trees import unknown_provider
from bridge.control.answer_reading import AnswerReading, RecordedAnswer, read_answer, usual_request
from bridge.domain.ids import clean_task_id
from bridge.domain.quoting import printable
from bridge.errors import ConfigError, UnknownNameError, UsageError
from bridge.providers.catalogue import BUILT_IN, effective
from bridge.providers.description import Description
from bridge.screen import screen_of
from bridge.wiring.account_catalogue import known_providers

WIDTH: Final = 80
MOST_BYTES: Final = 64 << 20


@command("providers")
@click.argument("name", required=False)
@click.option("--read", "file", metavar="FILE|-", help="Show how the answer in FILE (or on stdin) is read.")
@click.option(
    "--status", type=whole_number(100, 599), metavar="N", help="The HTTP status of the answer; 200 by default."
)
@click.option(
    "--id",
    "task_id",
    type=checked(clean_task_id),
    metavar="ID",
    help="The task that was polled; by default the one in the answer.",
)
@click.option("--action", metavar="PATH", help="The action of the task.")
@click.option("--second", metavar="FILE", help="The answer to the second request, for a provider that needs one.")
@click.option(
    "--second-status",
    type=whole_number(100, 599),
    default=200,
    metavar="N",
    help="The HTTP status of the second answer; 200 by default.",
)
@json_option
def providers_command(
    session: CommandSession,
    name: str | None,
    file: str | None,
    status: int | None,
    task_id: str | None,
    action: str | None,
    second: str | None,
    second_status: int,
    as_json: bool,
) -> None:
    """List providers, print one, or show how it reads an answer.

    With NAME, it prints the full description, as you could write it under `providers:` in the settings. The list
    includes your own providers.

    --read sends nothing. `curl ... | genbridge providers kie --read -` shows which form fits the answer, and why the
    others do not. It also shows the status, the results and times, what is ignored, and what the answer means for the
    task. The output of `curl -i` works, too; it includes the HTTP status.
    """
    if file is None and (status, task_id, action, second) != (None, None, None, None):
        raise UsageError("--status, --id, --action and --second need --read, as in: --read answer.json")
    loaded = _loaded(session)
    known = BUILT_IN if loaded is None else known_providers(loaded)
    if name is None:
        if file is not None:
            raise UsageError("--read needs the name of a provider, as in: genbridge providers kie --read answer.json")
        _list(known, as_json=as_json)
        return
    if name not in known:
        raise UnknownNameError(unknown_provider(name, known))
    if file is not None:
        base_url, usual_action = usual_request(known[name], loaded)
        found = read_answer(
            known[name],
            RecordedAnswer(data=_bytes(file), status=status),
            base_url=base_url,
            now=SystemClock().now(),
            task_id=task_id,
            action=action or usual_action,
            second=None if second is None else RecordedAnswer(data=_bytes(second), status=second_status),
        )
        if as_json:
            print_json(found.json())
        else:
            _explain(known[name], found, is_given=task_id is not None)
    elif as_json:
        print_json(effective(known[name]))
    else:
        click.echo(yaml.safe_dump(effective(known[name]), sort_keys=False, allow_unicode=True).rstrip())


def _list(known: Mapping[str, Description], *, as_json: bool) -> None:
    if as_json:
        rows = [{"provider": key, "title": each.title, "base_url": list(each.base_url)} for key, each in known.items()]
        print_json(rows)
        return
    screen = screen_of(sys.stdout)
    if screen.is_terminal:
        columns: Sequence[Column[tuple[str, Description]]] = (
            Column("PROVIDER", lambda item: item[0], style="bold"),
            Column("WHAT", lambda item: item[1].title, least=24),
            Column("BASE URL", lambda item: item[1].default_base_url or "", goes=1, style="dim"),
        )
        click.echo("\n".join(table_lines(list(known.items()), columns, screen)))
        return
    print_table(
        known.items(),
        {
            "PROVIDER": lambda item: item[0],
            "BASE URL": lambda item: item[1].default_base_url or "-",
            "WHAT": lambda item: item[1].title,
        },
    )


def _loaded(session: CommandSession) -> Loaded | None:
    """The settings. None without valid ones: somebody who looks for a provider's name may be about to correct them."""
    try:
        settings_file.find(session.config, os.environ)
    except ConfigError:
        return None
    try:
        return session.checked()
    except ConfigError as error:
        said = "the settings are invalid, so only the built-in providers are known"
        click.echo(f"note: {said}: {printable(error.problems[0])}", err=True)
        return None


def _explain(description: Description, found: AnswerReading, *, is_given: bool) -> None:
    where = "--id" if is_given else "from the answer" if found.is_named else "the answer has none; set it with --id"
    _print("provider", f"{description.name}: {description.title}")
    _print("id", f"{found.task_id} ({where})")
    for step in found.steps:
        for at, line in enumerate(step.lines):
            _print("" if at else step.what, line)


def _bytes(file: str) -> bytes:
    try:
        if file != "-":
            with Path(file).open("rb") as answer:
                return answer.read(MOST_BYTES)
        if sys.stdin is None:
            raise UsageError("stdin is closed")
        return sys.stdin.buffer.read(MOST_BYTES)
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from None


def _print(what: str, line: str) -> None:
    """Print one line of the explanation: the subject, then the text, wrapped at `WIDTH`."""
    if len(what) > 14:
        click.echo(printable(what))
        what = ""
    begin = printable(what).ljust(16)
    wrapped = textwrap.TextWrapper(WIDTH, begin, " " * 16, break_long_words=False, break_on_hyphens=False)
    click.echo(wrapped.fill(printable(line)) or begin)
