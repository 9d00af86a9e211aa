"""Tab completion of accounts, endpoints, providers and the ids of watched tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

import click
from click.shell_completion import CompletionItem

from bridge.cli.session import CommandSession
from bridge.config.provider_trees import builtin_names
from bridge.errors import GenbridgeError

MOST_IDS: Final = 1000  # only the newest tasks are offered

Completer: TypeAlias = "Callable[[CommandSession], Iterator[tuple[str, str | None]]]"
"""Yields every possible word, with a description that a shell may show."""


def _accounts(session: CommandSession) -> Iterator[tuple[str, str | None]]:
    for name, account in session.file.accounts.items():
        yield name, account.provider


def _endpoints(session: CommandSession) -> Iterator[tuple[str, str | None]]:
    for name in session.file.queues:
        yield name, None


def _both(session: CommandSession) -> Iterator[tuple[str, str | None]]:
    yield from _endpoints(session)
    yield from _accounts(session)


def _ids(session: CommandSession) -> Iterator[tuple[str, str | None]]:
    with session.reader() as store:
        for view in store.list_watches(limit=MOST_IDS):
            yield view.task_id, f"{view.phase}{f', {view.label}' if view.label else ''}"


def _providers(session: CommandSession) -> Iterator[tuple[str, str | None]]:
    for name in builtin_names():
        yield name, None


BY_NAME: Final[Mapping[str, Completer]] = {
    "account": _accounts,
    "endpoint": _endpoints,
    "endpoints": _endpoints,
    "ids": _ids,
    "task": _ids,
    "task_id": _ids,
    "provider": _providers,
}
OF_COMMAND: Final[Mapping[tuple[str, str], Completer | None]] = {
    ("add", "ids"): None,  # ids of new tasks cannot be completed
    ("pause", "name"): _both,
    ("resume", "name"): _both,
    ("providers", "name"): _providers,
}


def offer_words(name: str, command: click.Command) -> None:
    """Make the command's options and arguments offer words from the settings and the store."""
    for param in command.params:
        completer = OF_COMMAND.get((name, str(param.name)), BY_NAME.get(str(param.name)))
        if completer is not None:
            param.type = _Words(completer)


class _Words(click.ParamType[str]):
    name = "text"

    def __init__(self, completer: Completer) -> None:
        self._completer = completer

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        given = ctx.params.get(str(param.name))
        taken = set(given) if isinstance(given, tuple) else set()
        try:
            words = [each for each in self._completer(ctx.obj) if each[0].startswith(incomplete)]
        except (GenbridgeError, OSError):
            return []  # no settings, or no store yet
        return [CompletionItem(word, help=about) for word, about in words if word not in taken and word.isprintable()]
