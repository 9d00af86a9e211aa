"""Chats, mails and the like through Apprise: one plugin, one bounded thread, one attempt.

The only importer of Apprise, and only when the first message goes out: loading it costs a quarter of a second and
30 MiB. A plugin is called by itself, in a thread of ours; Apprise's own pool is shared by all services of a process
and lets hanging ones starve the healthy.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import orjson

from bridge.domain.delivery import Accepted, Deferred, Delivery, Outcome
from bridge.domain.event import Event, Parcel, Topic
from bridge.sinks.chat_reasons import Scrubber, forbidden_options
from bridge.sinks.neutral import one_line
from bridge.sinks.seats import NoReturn, NoSeat, Seats
from bridge.sinks.texts import ChatTexts

THREADS_PER_URL: Final = 2  # attempts at one URL at once; a lane needs no more concurrency
MOST_REASON: Final = 300  # characters

_TONES: Final[Mapping[str, str]] = {
    Topic.TASK_SUCCEEDED: "success",
    Topic.ACCOUNT_RESTORED: "success",
    Topic.TASK_FAILED: "failure",
    Topic.TASK_TIMED_OUT: "failure",
    Topic.ACCOUNT_BLOCKED: "warning",
    Topic.ENDPOINT_DISABLED: "warning",
    Topic.TASK_CANCELED: "warning",
    Topic.TASK_NOT_FOUND: "warning",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatUrl:
    """One Apprise URL: as written in the settings (which names its queue), and with its secrets resolved."""

    text: str
    url: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode(errors="replace")).hexdigest()[:12]


class ChatSink:
    """One endpoint of Apprise URLs, each a queue of its own. ConfigError when a template is wrong; URLs are judged
    by `check_url`, or when they are used.

    `storage_path` is where plugins may keep things (Matrix: its keys); without it they keep nothing.
    """

    def __init__(
        self,
        *,
        name: str,
        urls: Sequence[ChatUrl],
        title: str | None,
        body: str | None,
        timeout_s: float,
        storage_path: str | None = None,
    ) -> None:
        self._name = name
        self._texts = ChatTexts(endpoint=name, title=title, body=body)
        self._lines = [_Line(f"{name}-{place}", url, timeout_s, storage_path) for place, url in enumerate(urls, 1)]
        self._targets = [f"{place}:{url.digest}" for place, url in enumerate(urls, 1)]
        self._by_digest = {url.digest: line for url, line in reversed(list(zip(urls, self._lines, strict=True)))}

    def parcels(self, event: Event) -> Sequence[Parcel]:
        title, body = self._texts.write(event)
        message = orjson.dumps({"title": title, "body": body})
        return [Parcel(endpoint=self._name, target=target, body=message) for target in self._targets]

    def targets(self) -> Sequence[str]:
        return self._targets

    async def deliver(self, delivery: Delivery) -> Outcome:
        line = self._line(delivery.target)
        if line is None:
            return Deferred(reason=f"its URL is no longer in the settings (endpoints.{self._name}.urls)")
        try:
            message = orjson.loads(delivery.body)
            title, body = str(message["title"]), str(message["body"])
        except (ValueError, KeyError, TypeError):
            return Deferred(reason=f"made for a webhook, but endpoints.{self._name} is a chat now")
        return await line.send(title, body, tone=_TONES.get(delivery.topic, "info"))

    def _line(self, target: str) -> _Line | None:
        """The URL of a queue: the very one, else the same text elsewhere in the list, else what stands there now."""
        if target in self._targets:
            return self._lines[self._targets.index(target)]
        place, _, digest = target.partition(":")
        if digest in self._by_digest:
            return self._by_digest[digest]
        if place.isascii() and place.isdecimal() and 1 <= int(place) <= len(self._lines):
            return self._lines[int(place) - 1]
        return None


def check_url(url: str) -> str | None:
    """Why Apprise cannot use this (resolved) URL, in one line without its secrets; None when it can. Sends nothing.
    Loads Apprise."""
    found = forbidden_options(url)
    if found:
        return f"{found}= is not supported: genbridge itself tries again, durably (delivery.retries); take it out"
    with _listening() as said:
        try:
            _plugin(url, None)
        except _Unusable as error:
            return error.reason(said)
    return None


class _Unusable(Exception):
    """Apprise makes no plugin of this URL."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(why)
        self._url = url
        self._why = why

    def reason(self, said: Sequence[str]) -> str:
        return Scrubber(self._url, shown="").clean([self._why, *said], most_chars=MOST_REASON)


class _Line:
    """One URL, its threads, and its plugins at rest: each in one thread at a time, kept for its pace and connection,
    thrown away after a failure."""

    def __init__(self, name: str, url: ChatUrl, timeout_s: float, storage_path: str | None) -> None:
        self._url = url.url
        self._timeout_s = timeout_s
        self._storage_path = storage_path
        self._seats = Seats(count=THREADS_PER_URL, name=f"chat-{name}")
        self._resting: list[Any] = []

    async def send(self, title: str, body: str, *, tone: str) -> Outcome:
        """One attempt, within the time-out; never raises but on cancellation."""
        try:
            return await self._seats.run(partial(self._attempt, title, body, tone), timeout_s=self._timeout_s)
        except (NoSeat, NoReturn) as trouble:
            return Deferred(reason=str(trouble))

    def _attempt(self, title: str, body: str, tone: str) -> Outcome:
        """In a thread: whatever the plugin does, an outcome."""
        with _listening() as said:
            plugin: Any = None
            try:
                plugin = self._rested() or _plugin(self._url, self._storage_path)
                if _notify(plugin, title, body, tone):
                    self._resting.append(plugin)
                    return Accepted(detail=one_line(str(plugin.service_name), most_chars=60))
                why = ""
            except _Unusable as error:
                return Deferred(reason=error.reason(said))
            # Also what is no Exception: a plugin that calls sys.exit must not take the delivery with it.
            except BaseException as error:
                why = f"{type(error).__name__}: {error}"
            shown = _shown(plugin)
            reason = Scrubber(self._url, shown=shown).clean([why, *said], most_chars=MOST_REASON)
            return Deferred(reason=reason or "the service did not take it and gave no reason")

    def _rested(self) -> Any:
        try:
            return self._resting.pop()
        except IndexError:
            return None


def _plugin(url: str, storage_path: str | None) -> Any:
    """Apprise's plugin for this URL. _Unusable when there is none."""
    import apprise

    try:
        plugin = apprise.Apprise.instantiate(url, asset=_asset(apprise, storage_path), suppress_exceptions=False)
    except Exception as error:
        raise _Unusable(url, str(error)) from error
    if plugin is None:
        missing = "its Python package is missing (for mqtt:// and xmpp://: install genbridge's extra notify)"
        raise _Unusable(url, f"not a URL Apprise can use here: unknown service, or {missing}")
    return plugin


def _asset(apprise: Any, storage_path: str | None) -> Any:
    """Our name, no files, no redirects (they would carry credentials on), no retries beside our own."""
    kept = {"storage_path": storage_path, "storage_mode": "auto"} if storage_path else {"storage_mode": "memory"}
    return apprise.AppriseAsset(
        app_id="genbridge",
        app_desc="genbridge",
        http_redirects=False,
        default_service_retry=0,
        pgp_autogen=bool(storage_path),
        pem_autogen=bool(storage_path),
        **kept,
    )


def _notify(plugin: Any, title: str, body: str, tone: str) -> bool:
    import apprise

    text, markdown = apprise.NotifyFormat.TEXT, apprise.NotifyFormat.MARKDOWN
    # To a service set to Markdown our text goes as it is: Apprise would escape the URLs in it.
    form = markdown if plugin.resolve_format(text) == markdown else text
    # What is too long for the service goes in parts, unless its URL asks for truncating.
    overflow = "split" if plugin.overflow_mode == apprise.OverflowMode.UPSTREAM else None
    return bool(plugin.notify(body=body, title=title, notify_type=tone, body_format=form, overflow=overflow))


def _shown(plugin: Any) -> str:
    """The plugin's URL as Apprise shows it to people: what is in it is no secret."""
    try:
        return str(plugin.url(privacy=True)) if plugin is not None else ""
    except Exception:  # a plugin's fault must not hide the reason of the first one
        return ""


class _Ear(logging.Handler):
    """Hands every record of the thread that listens to it, and drops all others."""

    def __init__(self) -> None:
        super().__init__(level=logging.DEBUG)
        self.heard = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        said: list[str] | None = getattr(self.heard, "said", None)
        if said is None:
            return
        text = record.getMessage()
        # The cause of a failed connection is told at debug, beside whole payloads, and last in a long chain.
        if record.levelno >= logging.WARNING:
            said.append(text)
        elif text.startswith("Socket Exception"):
            said.append(text.rpartition("Caused by ")[2])


_ear: Final = _Ear()


@contextmanager
def _listening() -> Iterator[list[str]]:
    """What Apprise says in this very thread meanwhile; nothing of it reaches the log, as it may name tokens."""
    logger = logging.getLogger("apprise")
    logger.addHandler(_ear)  # once, however often it is added
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    said: list[str] = []
    _ear.heard.said = said
    try:
        yield said
    finally:
        _ear.heard.said = None
