"""Chats, emails and the like through Apprise, which is loaded only if a URL is checked, has several targets, or sends
its first message."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from bridge.domain.delivery import Deferred, Delivery, Outcome
from bridge.domain.event import Event, Parcel
from bridge.sinks.apprise_plugin import separate_targets
from bridge.sinks.attached_files import ResultFiles
from bridge.sinks.chat_attempts import ChatTarget
from bridge.sinks.message_values import USUAL_STYLE, ChatStyle
from bridge.sinks.requests_hook import ChatNetwork
from bridge.sinks.texts import ChatTexts, bare_texts, read_stored

GIVE_UP_S: Final = 600.0  # an attempt that takes longer counts as failed


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatUrl:
    """One Apprise URL: as it is written in the settings (which identifies its queue), and with its secrets resolved."""

    text: str
    url: str

    @property
    def digest(self) -> str:
        return _digest(self.text)


class ChatSink:
    """One endpoint of Apprise URLs. ValueError if a template is invalid. URLs are checked by `check_url`, or when they
    are used.

    Each target has its own queue with the name `PLACE:DIGEST`: the URL's position in `urls`, and the digest of its
    text. For a URL with several targets it is `PLACE.N:DIGEST`, with a digest of the text and the target. Deliveries of
    an earlier version may have a queue for such a URL as a whole.
    """

    def __init__(
        self,
        *,
        name: str,
        urls: Sequence[ChatUrl],
        title: str | None,
        body: str | None,
        timeout_s: float,
        give_up_s: float = GIVE_UP_S,
        network: ChatNetwork | None = None,
        style: ChatStyle = USUAL_STYLE,
        files: ResultFiles | None = None,
    ) -> None:
        self._name = name
        self._texts = ChatTexts(endpoint=name, title=title, body=body, style=style)
        self._new_target = partial(
            ChatTarget,
            name=name,
            timeout_s=timeout_s,
            give_up_s=give_up_s,
            words=style.words,
            files=files,
            network=network,
            previews=style.previews,
        )
        self._urls = urls
        self._wholes = {f"{place}:{url.digest}": self._new_target(url=url.url) for place, url in enumerate(urls, 1)}
        self._found: dict[str, ChatTarget] | None = None

    def parcels(self, event: Event, *, plain: bool = False) -> Sequence[Parcel]:
        body = (bare_texts if plain else self._texts.write)(event).stored()
        return [Parcel(endpoint=self._name, target=target, body=body) for target in self.targets()]

    def targets(self) -> Sequence[str]:
        return list(self._queues())

    async def deliver(self, delivery: Delivery) -> Outcome:
        target = self._target(delivery.target)
        if target is None:
            return Deferred(reason=f"its URL is no longer in the settings (endpoints.{self._name}.urls)")
        try:
            written = read_stored(delivery.body)
        except (ValueError, KeyError, TypeError):
            return Deferred(reason=f"created for a webhook, but endpoints.{self._name} is now a chat")
        return await target.send(written, delivery)

    def _queues(self) -> Mapping[str, ChatTarget]:
        if self._found is None:
            self._found = {
                queue: target for place, url in enumerate(self._urls, 1) for queue, target in self._of_url(place, url)
            }
        return self._found

    def _of_url(self, place: int, url: ChatUrl) -> Iterator[tuple[str, ChatTarget]]:
        targets = separate_targets(url.url)
        if not targets:
            whole = f"{place}:{url.digest}"
            yield whole, self._wholes[whole]
        for number, target in enumerate(targets, 1):
            digest = _digest(f"{url.text}\0{target.identity}")
            yield f"{place}.{number}:{digest}", self._new_target(url=url.url, target=target)

    def _target(self, queue: str) -> ChatTarget | None:
        """The target of a queue: the same queue if it exists; else the same text at another position of the list; else
        the current URL at the same position."""
        known = {**self._wholes, **self._queues()}
        if queue in known:
            return known[queue]
        place, _, digest = queue.partition(":")
        by_digest = {each.partition(":")[2]: target for each, target in reversed(known.items())}
        by_place = {each.partition(":")[0]: target for each, target in known.items()}
        return by_digest.get(digest) or by_place.get(place)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]
