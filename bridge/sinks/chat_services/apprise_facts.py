"""What genbridge must know about Apprise's plugin for a service."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from bridge.sinks.attached_files import ResultFile
from bridge.sinks.chat_cards import CardLink, ChatCard


class CardForm(NamedTuple):
    """How Apprise's plugin gets a card. `title` is a template; "" if the title is in the body. `body` makes the body;
    `above_files` makes it if its files follow in a separate message, and `with_pictures` if the pictures with these
    names are attached."""

    format: str
    title: str
    body: Callable[[ChatCard], str]
    above_files: Callable[[ChatCard], str] | None = None
    with_pictures: Callable[[ChatCard, Sequence[str]], str] | None = None
    takes_odd_urls: bool = True  # False: cards with `has_odd_urls` are sent as text


@dataclass(frozen=True, slots=True, kw_only=True)
class AppriseFacts:
    """What genbridge must know about Apprise's plugin for a service, whose URLs have one of these `schemes`.

    `url` is an example. `ignores_refusals`: the plugin takes every answer with HTTP 200 for a success.
    `card`: the service shows more than plain text even if its URL has no `format=`. `counts_bytes`: its limit is in
    bytes, although Apprise counts characters. `pause_s` is the pause between two messages if Apprise does not know the
    service's limit; Apprise itself would wait 5.5 s. `prepare` changes a new plugin; it gets the options in its URL.

    `takes_files`: whether this plugin accepts files. `files_of` returns the results that are sent as files, and
    `file_bytes` their maximum size together. `joins_files`: whether this text and these files fit into one message.
    `file_options` are switches of the plugin that are on for messages with files.
    """

    schemes: frozenset[str] = frozenset()
    url: str = ""
    ignores_refusals: bool = False
    card: CardForm | None = None
    counts_bytes: bool = False
    pause_s: float = 1.0
    prepare: Callable[[Any, Sequence[str]], None] = lambda plugin, options: None
    takes_files: Callable[[Any], bool] = lambda plugin: True
    files_of: Callable[[ChatCard], Sequence[CardLink]] = lambda card: card.links
    file_bytes: Callable[[ChatCard], int] = lambda card: 50_000_000
    joins_files: Callable[[str, Sequence[ResultFile]], bool] = lambda text, files: False
    file_options: tuple[str, ...] = ()


UNKNOWN: Final = AppriseFacts()
