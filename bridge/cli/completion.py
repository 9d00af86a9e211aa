"""Tab completion of accounts, endpoints, providers and the ids of watched tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import click
from click.shell_completion import CompletionItem

from bridge.cli.session import CommandSession
from bridge.config.provider_trees import builtin_names
from bridge.errors import GenbridgeError

MOST_IDS: Final = 1000  # only the newest tasks are offered

Completer: TypeAlias = "Callable[[CommandSession], Mapping[str, str | None]]"
"""Returns every possible word, with a description that a shell may show."""


def _accounts(session: CommandSession) -> Mapping[str, str | None]:
    return {name: account.provider for name, account in session.file.accounts.items()}


def _endpoints(session: CommandSession) -> Mapping[str, str | None]:
    return dict.fromkeys(session.file.queues)


def _both(session: CommandSession) -> Mapping[str, str | None]:
    return {**_endpoints(session), **_accounts(session)}


def _ids(session: CommandSession) -> Mapping[str, str | None]:
    with session.reader() as store:
        views = store.list_watches(limit=MOST_IDS)
    return {view.task_id: ", ".join(filter(None, (view.phase, view.label))) for view in views}


def _providers(session: CommandSession) -> Mapping[str, str | None]:
    return dict.fromkeys(builtin_names())


BY_NAME: Final[Mapping[str, Completer]] = {
    **dict.fromkeys(("endpoint", "endpoints"), _endpoints),
    **dict.fromkeys(("ids", "task", "task_id"), _ids),
    "account": _accounts,
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
            words = self._completer(ctx.obj)
        except (GenbridgeError, OSError):
            return []  # no settings, or no store yet
        fitting = {word for word in words if word.startswith(incomplete) and word.isprintable()} - taken
        return [CompletionItem(word, help=about) for word, about in words.items() if word in fitting]
