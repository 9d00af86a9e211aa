"""The files of results, for chats that attach them. Each is downloaded once for all endpoints, and kept for the retries
of their messages."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

import anyio
import anyio.to_thread

from bridge.domain.content_sniffing import HEAD_BYTES, WrongContent, sniffed
from bridge.domain.delivery import Delivery
from bridge.domain.ids import WatchKey
from bridge.net.client import Unanswered
from bridge.net.failure_kinds import BodyStopped
from bridge.net.outside_client import OutsideAnswer, OutsideClient

if TYPE_CHECKING:
    from bridge.sinks.chat_cards import CardLink, ChatCard  # a daemon that notifies only programs does not load them

MOST_FILES: Final = 10  # maximum in one message, and in a Telegram album
MOST_KEPT: Final = 200  # files in memory, and failures that an endpoint remembers
REFUSED_FILE: Final = "sent as a link: the service refused the file"
NOTHING_KNOWN: Final[Mapping[str, bytes]] = {}

_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")

_Key = TypeVar("_Key")


class ResultFile(NamedTuple):
    """One result in memory."""

    name: str
    media_type: str
    content: bytes


ReadCopy = Callable[[str, int], bytes | None]
"""Reads a copy in the archive by its path, if it has at most this many bytes; otherwise returns None. Blocks."""


class NoFile(Exception):
    """A result cannot be attached. The text says why, in one line without its URL."""


class KeptFiles:
    """Results in memory by their URLs, for all endpoints: at most `most_bytes` together."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._files: OrderedDict[tuple[WatchKey, str], ResultFile] = OrderedDict()
        self._fetching: dict[tuple[WatchKey, str], anyio.Lock] = {}

    async def get(self, task: WatchKey, url: str, fetch: Callable[[], Awaitable[ResultFile]]) -> ResultFile:
        """A task's result at this URL. It is fetched if it is not kept; other callers wait for the same fetch."""
        key = task, url  # a server may write the results of several tasks to the same URL
        async with _alone(self._fetching, key):
            if (kept := self._files.get(key)) is not None:
                return kept
            file = self._files[key] = await fetch()
            self.limit(self._most_bytes)
            return file

    def limit(self, most_bytes: int) -> None:
        """Keep at most this many bytes from now on."""
        self._most_bytes = most_bytes
        while len(self._files) > MOST_KEPT or sum(len(each.content) for each in self._files.values()) > most_bytes:
            self._files.popitem(last=False)


@asynccontextmanager
async def _alone(locks: dict[_Key, anyio.Lock], key: _Key) -> AsyncIterator[None]:
    """Run the block while no other block with this key runs."""
    lock = locks.setdefault(key, anyio.Lock())
    try:
        async with lock:
            yield
    finally:
        if not lock.locked():
            locks.pop(key, None)


class ResultFiles:
    """Fetches results for one endpoint: at most `most_bytes` together, within `within_s`.

    The files are kept in `kept`; None: in memory of its own, at most twice `most_bytes`. It also remembers failures. No
    key is sent. `known` are files that need not be downloaded, by their URLs; `read_copy` reads copies in the archive.
    """

    def __init__(
        self,
        client: OutsideClient,
        *,
        most_bytes: int,
        within_s: float,
        known: Mapping[str, bytes] = NOTHING_KNOWN,
        read_copy: ReadCopy | None = None,
        kept: KeptFiles | None = None,
    ) -> None:
        self._client = client
        self._known = known
        self._read_copy = read_copy
        self.most_bytes: Final = most_bytes
        self._within_s = within_s
        self._kept = kept or KeptFiles(2 * most_bytes)
        self._failed: OrderedDict[object, str] = OrderedDict()  # why they could not be fetched
        self._fetching: dict[object, anyio.Lock] = {}  # several targets need the same files at the same time

    async def of_card(
        self, card: ChatCard, wanted: Sequence[CardLink], most_bytes: int, delivery: Delivery
    ) -> tuple[Sequence[ResultFile], str]:
        """The files to attach to the message of this delivery; or none, and the reason."""
        if not card.has_files:
            return (), "sent as a link: it opens only with the API key"
        if len(card.links) > MOST_FILES:
            return (), f"sent as links: more than {MOST_FILES} results"
        try:
            task = WatchKey(delivery.account, delivery.subject)
            return await self.fetch(wanted, most_bytes=most_bytes, task=task), ""
        except NoFile as problem:
            return (), f"sent as a link: {problem}"

    async def fetch(self, wanted: Sequence[CardLink], *, most_bytes: int, task: WatchKey) -> tuple[ResultFile, ...]:
        """All of these results of a task. NoFile if one of them cannot be attached."""
        key = (task, *(each.url for each in wanted))
        async with _alone(self._fetching, key):
            if key in self._failed:
                raise NoFile(self._failed[key])
            try:
                with anyio.fail_after(self._within_s):
                    return await self._fetch_all(task, wanted, min(most_bytes, self.most_bytes))
            except (NoFile, TimeoutError) as problem:
                self._failed[key] = str(problem) or f"not fetched within {self._within_s:g} s"
                if len(self._failed) > MOST_KEPT:
                    self._failed.popitem(last=False)
                raise NoFile(self._failed[key]) from None

    async def _fetch_all(self, task: WatchKey, wanted: Sequence[CardLink], most_bytes: int) -> tuple[ResultFile, ...]:
        files: list[ResultFile] = []
        for number, each in enumerate(wanted, 1):
            left = most_bytes - sum(len(file.content) for file in files)
            file = await self._kept.get(task, each.url, partial(self._fetch, each, number, left, most_bytes))
            if len(file.content) > left:
                raise NoFile(_too_large(most_bytes))
            is_new = all(other.name != file.name for other in files)  # emails need unique names
            files.append(file if is_new else file._replace(name=f"{number}-{file.name}"))
        return tuple(files)

    async def _copy(self, wanted: CardLink, number: int, left: int) -> ResultFile | None:
        """The copy in the archive, if it exists and fits."""
        if not wanted.copy or self._read_copy is None:
            return None
        content = await anyio.to_thread.run_sync(self._read_copy, wanted.copy, left, abandon_on_cancel=True)
        if not content:
            return None
        return _file(wanted.kind, wanted.copy, number, content)

    async def _fetch(self, wanted: CardLink, number: int, left: int, most_bytes: int) -> ResultFile:
        if copy := await self._copy(wanted, number, left):
            return copy
        kind, url = wanted.kind, wanted.url
        if url in self._known:
            return _file(kind, url, number, self._known[url])
        answer = await self._client.open(url)
        if isinstance(answer, Unanswered):
            raise NoFile(answer.reason)
        try:
            if answer.status != 200:
                raise NoFile(f"its URL answered HTTP {answer.status}")
            if not answer.has_end:
                raise NoFile("the server does not state the length of the file, so it may be incomplete")
            content = await _content(answer, left, most_bytes)
        finally:
            answer.close()
        return _file(kind, url, number, content, stated=answer.headers.get("content-type", ""))


async def _content(answer: OutsideAnswer, left: int, most_bytes: int) -> bytes:
    """The whole body. NoFile if it is larger or truncated."""
    length = answer.headers.get("content-length", "")
    if length.isdecimal() and int(length) > left:
        raise NoFile(_too_large(most_bytes))
    content = bytearray()
    try:
        async for chunk in answer.chunks():
            content += chunk
            if len(content) > left:
                raise NoFile(_too_large(most_bytes))
    except BodyStopped as problem:
        raise NoFile(str(problem)) from None
    return bytes(content)


def _too_large(most_bytes: int) -> str:
    return f"larger than {most_bytes / 1e6:.3g} MB (attach_max, or the limit of the service)"


def _file(kind: str, url: str, number: int, content: bytes, *, stated: str = "") -> ResultFile:
    """The content with its type and a short, safe name that matches the type. NoFile if it is something else, such as
    an error page."""
    try:
        found = sniffed(content[:HEAD_BYTES], kind=kind, url=url, stated=stated)
    except WrongContent as problem:
        raise NoFile(str(problem)) from None
    stem = _NAME.sub("-", PurePosixPath(unquote(urlsplit(url).path)).stem).strip("-.")[:40] or f"result-{number}"
    name = f"{stem}.{found.extension.removeprefix('data.')}"
    return ResultFile(name=name, media_type=found.media_type, content=content)


def counted_files(files: Sequence[ResultFile]) -> str:
    """The number of files in a message, in words."""
    return "1 file attached" if len(files) == 1 else f"{len(files)} files attached"
