"""What genbridge must know about a chat service: its hosts, what its answers mean, and how to write to its
robots, and to Apprise's plugin for it."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import urljoin, urlsplit

from bridge.domain.task import Json
from bridge.sinks.answers import AnswerReader, read_nothing
from bridge.sinks.attached_files import ResultFile
from bridge.sinks.chat_cards import CardLink, ChatCard
from bridge.sinks.splitting import Measure, MessageLimit

RobotMessage = dict[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """Where a robot's message goes, in addition to its URL: Telegram's chat, and a topic in it. With `previews`, the
    service is asked to show pictures and players of the results."""

    chat_id: str = ""
    thread_id: str = ""
    previews: bool = False


class FileForm(NamedTuple):
    """One request with files, as `multipart/form-data`. If `method` is set, it replaces the last segment of the robot's
    path. With `then`, the request only uploads a file, before the text is sent: `then` returns the message that shows
    the file, from the id that the service gave it."""

    fields: Mapping[str, str]
    files: Mapping[str, ResultFile]
    method: str = ""
    then: Callable[[str], RobotMessage] | None = None

    def url(self, robot_url: str) -> str:
        """The URL of this request, derived from the robot's URL for messages."""
        if not self.method:
            return robot_url
        url, query = urljoin(robot_url, self.method), urlsplit(robot_url).query
        return f"{url}{'&' if '?' in url else '?'}{query}" if query else url

    def encoded(self) -> tuple[bytes, str]:
        """Its body and its content type."""
        from urllib3 import encode_multipart_formdata  # here, because few robots send files

        parts = list[Any]()
        for name, text in self.fields.items():
            media_type = "application/json" if name == "payload_json" else "text/plain; charset=utf-8"
            parts.append((name, (None, text.encode("utf-8", "replace"), media_type)))
        parts += [(name, (each.name, each.content, each.media_type)) for name, each in self.files.items()]
        return encode_multipart_formdata(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Robot:
    """How to send a message to a group robot.

    `limit` is the maximum text in one message. `write` returns the body of a message. `write_card` returns the same for
    a card. It returns None if the service has no cards or the card does not fit; then the text is sent. `url` completes
    the URL of the settings. `probe_url` returns a URL whose GET shows whether the robot exists, without notifying
    anybody. `sign` returns the signed URL and body for one attempt. `penalty_s` is the wait after a rate limit that
    still applies at the next attempt.

    The files of a message have at most `file_bytes` together (0: this robot accepts no files). `write_form` returns one
    request with a card and its files. It returns None if the files need separate requests after the text; these come
    from `later_files`.
    """

    limit: MessageLimit
    write: Callable[[str, Chat], RobotMessage]
    write_card: Callable[[ChatCard, Chat], RobotMessage | None]
    url: Callable[[str], str] = str
    probe_url: Callable[[str], str] | None = None
    penalty_s: float = 0.0
    file_bytes: int = 0
    write_form: Callable[[ChatCard, Chat, Sequence[ResultFile]], FileForm | None] | None = None
    later_files: Callable[[Chat, Sequence[ResultFile]], Sequence[RobotMessage | FileForm]] | None = None
    sign: Callable[[str, RobotMessage, str, float], tuple[str, RobotMessage]] | None = None

    def message(self, said: str | ChatCard, chat: Chat) -> RobotMessage:
        """The body of a message. A card must fit into one message."""
        if isinstance(said, str):
            return self.write(said, chat)
        return self.write_card(said, chat) or self.write(said.title, chat)


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
    `card`: the service shows more than plain text even if its URL has no `format=`. `measure` is the size of a text as
    the service counts it; Apprise counts characters. `most` is the largest size, if Apprise's own limit is larger.
    `pause_s` is the pause between two messages if Apprise does not know the service's limit; Apprise itself would wait
    5.5 s. `prepare` changes a new plugin; it gets the options in its URL.

    `takes_files`: whether this plugin accepts files. `files_of` returns the results that are sent as files, and
    `file_bytes` their maximum size together. `joins_files`: whether this text and these files fit into one message.
    `file_options` are switches of the plugin that are on for messages with files. `file_text` is the text of a message
    that has only files, for a service that refuses an empty one.
    """

    schemes: frozenset[str] = frozenset()
    url: str = ""
    ignores_refusals: bool = False
    card: CardForm | None = None
    measure: Measure = len
    most: int = 0
    pause_s: float = 1.0
    prepare: Callable[[Any, Sequence[str]], None] = lambda plugin, options: None
    takes_files: Callable[[Any], bool] = lambda plugin: True
    files_of: Callable[[ChatCard], Sequence[CardLink]] = lambda card: card.links
    file_bytes: Callable[[ChatCard], int] = lambda card: 50_000_000
    joins_files: Callable[[str, Sequence[ResultFile]], bool] = lambda text, files: False
    file_options: tuple[str, ...] = ()
    file_text: str = ""


UNKNOWN: Final = AppriseFacts()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatService:
    """One chat service.

    `name` is the format's name in the settings. `hosts` maps each public host to the name that people know. A webhook's
    path begins with `path`. `read` finds refusals and waits in an answer. Without a `robot`, messages go through
    Apprise.
    """

    name: str
    hosts: Mapping[str, str] = field(default_factory=dict)
    read: AnswerReader = read_nothing
    path: str = ""
    robot: Robot | None = None
    apprise: AppriseFacts = UNKNOWN

    def name_at(self, host: str) -> str | None:
        """The service's name for people if the host belongs to it."""
        names = (name for known, name in self.hosts.items() if host == known or host.endswith(f".{known}"))
        return next(names, None)


def hmac_sha256(key: str, text: str) -> str:
    """The HMAC-SHA256 signature of a text, in base64."""
    return base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()).decode()
