"""`init`: writes a first settings file from five answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

import click

from bridge.cli.check import report
from bridge.cli.endpoint_test import sample_sent
from bridge.cli.session import CommandSession, command
from bridge.config import validators
from bridge.control.first_settings import (
    SOURCES,
    FirstSettings,
    exists_already,
    find_provider,
    keep_out_of_git,
    parse_endpoint,
    parse_keys,
    settings_text,
    sources_of,
    usual_keys,
    write_settings,
)
from bridge.domain.quoting import printable, unknown_name
from bridge.domain.source import SourceKind
from bridge.errors import ConfigError, UsageError
from bridge.providers.catalogue import load_descriptions
from bridge.providers.description import Description
from bridge.screen import folded, screen_of

T = TypeVar("T")

YES: Final = {"y": True, "yes": True, "n": False, "no": False}


class Questions:
    """Asks questions on a terminal, and repeats a question after a wrong answer. Without a terminal, the answers are
    lines on stdin, and a wrong one is a UsageError."""

    def __init__(self) -> None:
        self.on_terminal = sys.stdin is not None and sys.stdin.isatty()

    def say(self, text: str) -> None:
        """Print help for the next question."""
        if self.on_terminal:
            screen = screen_of(sys.stdout)
            click.echo("\n".join(folded(text, screen.width)))

    def ask(
        self,
        what: str,
        parse: Callable[[str], T],
        *,
        given: str | None,
        option: str,
        default: str | None = None,
        is_secret: bool = False,
        accepted: Sequence[str] = (),
    ) -> T:
        """The answer to one question; `given` is the answer from the command line. `accepted` are the possible answers,
        if they are few enough to list."""
        if given is not None:
            return self._once(parse, given, option)
        if not self.on_terminal:
            line = "" if sys.stdin is None else sys.stdin.readline()
            answer = line.strip() or default
            if answer is None:
                listed = f"; accepted: {', '.join(accepted)}" if accepted else ""
                raise UsageError(f"no answer to `{what}`: give {option}, or a line on stdin{listed}")
            return self._once(parse, answer, option)
        while True:
            hint = "" if default is None else f" [{default or 'none'}]"
            suffix = " " if what.endswith("?") and not hint else ": "
            answer = click.prompt(
                f"{what}{hint}", default=default, hide_input=is_secret, show_default=False, prompt_suffix=suffix
            )
            try:
                return parse(str(answer).strip())
            except ValueError as error:
                click.echo(f"  {printable(str(error))}")

    def _once(self, parse: Callable[[str], T], text: str, what: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise UsageError(f"{what}: {error}") from None


@command("init")
@click.option("--provider", metavar="NAME", help="The provider; `genbridge providers` lists them.")
@click.option("--base-url", metavar="URL", help="The base URL of its API, if it is not the official host.")
@click.option(
    "--key", metavar="KEY", help="The key itself, ${NAME}, file:/path or credential:NAME. Put a space between two keys."
)
@click.option("--tasks", metavar="WHERE", help=f"Where tasks come from: {', '.join(SOURCES)}.")
@click.option("--to", "to_url", metavar="URL", help='URL of a webhook or group robot, or an Apprise URL; "" for none.')
@click.option("--test/--no-test", "is_tested", default=None, help="Also poll the provider, and send a sample.")
def init_command(
    session: CommandSession,
    provider: str | None,
    base_url: str | None,
    key: str | None,
    tasks: str | None,
    to_url: str | None,
    is_tested: bool | None,
) -> int:
    """Write a first settings file, from five questions.

    Then it checks the file. Each option answers a question. Without a terminal, genbridge reads the other answers from
    stdin, one line per question; an empty line accepts the default. The file is ./genbridge.yaml, or the one that
    --config names. Only you can read it. An existing file is never overwritten, and Ctrl-C writes nothing.

    The exit code is that of `genbridge check`, or 1 when the sample was not accepted.
    """
    path = Path(session.config or os.environ.get("GENBRIDGE_CONFIG") or "genbridge.yaml")
    if path.exists() or path.is_symlink():
        raise UsageError(exists_already(path))
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}; create it first")
    if not os.access(folder, os.W_OK, effective_ids=True):
        raise UsageError(f"no permission to create a file in {folder}; name another file with --config")
    questions = Questions()
    description = _provider(questions, provider)
    address = _address(questions, description, base_url)
    settings = _rest(questions, description, address, key=key, tasks=tasks, to_url=to_url)
    question = "5. Test it now: poll the provider, and send a sample?"
    given = None if is_tested is None else "yes" if is_tested else "no"
    test = questions.ask(question, _yes, given=given, option="--test", default="yes" if questions.on_terminal else "no")
    write_settings(path, settings_text(settings), source=settings.source)
    click.echo(f"Wrote {path}. Only you can read it.")
    if (ignored := keep_out_of_git(path)) is not None:
        click.echo(f"Added it to {ignored.name}: it may hold keys.")
    return _tested(session, path, settings, is_online=test)


def _provider(questions: Questions, given: str | None) -> Description:
    known = load_descriptions({})
    if given is None:
        questions.say("Providers: " + ", ".join(sorted(known)))
    return questions.ask(
        "1. Which provider?",
        lambda text: find_provider(text, known),
        given=given,
        option="--provider",
        accepted=sorted(known),
    )


def _address(questions: Questions, description: Description, given: str | None) -> str | None:
    """The base URL of the account's API; None for the official host."""
    hosts = description.base_url
    if given is None and len(hosts) == 1:
        return None
    if hosts:
        questions.say(f"Official hosts: {', '.join(hosts)}. A key works at one of them, or at an aggregator.")
    return questions.ask(
        "   What is the base URL of its API?",
        validators.base_url,
        given=given,
        option="--base-url",
        default=hosts[0] if hosts else None,
    )


def _rest(
    questions: Questions,
    description: Description,
    base_url: str | None,
    *,
    key: str | None,
    tasks: str | None,
    to_url: str | None,
) -> FirstSettings:
    call = description.route(base_url or description.default_base_url or "")
    keys: Mapping[str, str] = {}
    if call.auth != "none":
        keys = questions.ask(
            "2. The API key, or ${NAME} for a variable (not shown)",
            lambda text: parse_keys(text, description, call),
            given=key,
            option="--key",
            default=usual_keys(description, call),
            is_secret=True,
        )
    sources = sources_of(call)
    for number, (name, meaning) in enumerate(sources.items() if tasks is None else (), 1):
        questions.say(f"   {number} {name:<10}{meaning}")
    source = questions.ask(
        "3. Where do tasks come from?",
        lambda text: _one_of(text, sources),
        given=tasks,
        option="--tasks",
        default=SourceKind.QUEUE.value,
        accepted=list(sources),
    )
    if to_url is None:
        questions.say("   A webhook's URL, or an Apprise URL such as tgram://TOKEN/CHAT_ID")
    endpoint = questions.ask(
        "4. Where should genbridge send results?",
        parse_endpoint,
        given=to_url,
        option="--to",
        default="",
    )
    action = description.action
    return FirstSettings(
        description=description,
        base_url=base_url,
        keys=keys,
        action=action.example if action and description.task_rules.needs_action and not action.default else None,
        source=source,
        endpoint=endpoint,
    )


def _one_of(text: str, known: Mapping[str, str]) -> str:
    names = list(known)
    if text.isascii() and text.isdigit() and 1 <= int(text) <= len(names):
        return names[int(text) - 1]
    if text.lower() not in names:
        raise ValueError(unknown_name("source", text, names))
    return text.lower()


def _yes(text: str) -> bool:
    if text.lower() not in YES:
        raise ValueError("answer yes or no")
    return YES[text.lower()]


def _tested(session: CommandSession, path: Path, settings: FirstSettings, *, is_online: bool) -> int:
    """Check the new settings, and print the next steps."""
    session.config = str(path)
    try:
        code = report(session, online=is_online)
    except ConfigError:
        click.echo("Not ready yet. Fix this, then run `genbridge check`:", err=True)
        raise
    if is_online and settings.endpoint is not None:
        code = max(code, 0 if sample_sent(session, settings.endpoint.name) else 1)
    if settings.action is not None:
        click.echo(f"note: the action {settings.action} is an example: write yours, or use `genbridge add --action`")
    next_step = "`genbridge run` starts the daemon; `genbridge add ID` watches a task"
    click.echo(f"Next: {next_step}." if code == 0 else f"Fix this in {path}, then run `genbridge check --online`.")
    return code
