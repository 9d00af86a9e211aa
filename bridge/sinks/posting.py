"""One POST and the outcome of its answer, for webhooks and robots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bridge.domain.delivery import Deferred, Delivery, Outcome, Undeliverable
from bridge.domain.event import Event
from bridge.net.client import NO_HEADERS, Answer, HttpClient, Request, Unanswered
from bridge.net.failure_kinds import Failure
from bridge.ports import Clock
from bridge.sinks.answers import AnswerReader, Verdict
from bridge.sinks.hook_address import HookAddress, Unaddressed
from bridge.sinks.judging import MOST_ANSWER_BYTES, judge

JSON_TYPE: Final = "application/json"
LACKING_S: Final = 2.0  # how long a queue waits if this machine lacks something for a connection


@dataclass(frozen=True, slots=True, kw_only=True)
class PostSettings:
    """Where the requests of one endpoint go, and with which headers. `holds_secret`: the URL refers to a secret."""

    url: str
    api_key: str | None
    headers: Mapping[str, str]
    client: HttpClient
    clock: Clock
    version: str
    accept: AnswerReader | None = None  # finds refusals in answers; None: use the reader of the format
    holds_secret: bool = False


class Poster:
    """Sends the requests of one endpoint. ValueError if an expression in its URL is invalid."""

    def __init__(self, name: str, settings: PostSettings, *, read: AnswerReader, content_type: str = JSON_TYPE) -> None:
        self._address = HookAddress(settings.url, endpoint=name, holds_secret=settings.holds_secret)
        self._client = settings.client
        self._read = settings.accept or read
        self._headers = _headers(settings, content_type)

    def address(self, event: Event) -> str:
        """The text to store with a delivery of this event, so that its URL never changes."""
        return self._address.fill(event)

    def url(self, delivery: Delivery) -> str | Undeliverable:
        try:
            return self._address.url(delivery.address)
        except Unaddressed as problem:
            return Undeliverable(reason=str(problem))

    async def post(
        self, url: str, body: bytes, *, more: Mapping[str, str] = NO_HEADERS, content_type: str = ""
    ) -> tuple[Outcome, Verdict | None]:
        """Send one request; the verdict is None if there was no answer. `more` and `content_type` apply only to this
        request."""
        headers = self._headers
        if content_type:
            others = {name: value for name, value in headers.items() if name.lower() != "content-type"}
            headers = {**others, "Content-Type": content_type}
        request = Request(method="POST", url=url, headers=headers, body=body, more=more)
        answer = await self._client.fetch(request, cap_bytes=MOST_ANSWER_BYTES)
        if isinstance(answer, Unanswered) and answer.status:  # the status line decides, also without valid headers
            answer = Answer(answer.status, NO_HEADERS, b"", False, answer.reason, False)
        if isinstance(answer, Unanswered) and answer.kind is Failure.LOCAL:
            return not_attempted(answer.reason), None
        if isinstance(answer, Unanswered):
            return Deferred(reason=answer.reason, is_unanswered=answer.may_have_arrived), None
        verdict = self._read(answer)
        return judge(answer, verdict, asked=url), verdict


def not_attempted(reason: str) -> Deferred:
    """This machine lacked something, so the receiver was not involved, and no retry is used up."""
    return Deferred(reason=reason, retry_after_s=LACKING_S, delays_queue=True, is_counted=False)


def _headers(settings: PostSettings, content_type: str) -> dict[str, str]:
    """The headers of every request: genbridge's, and those of the settings, which replace genbridge's."""
    ours = {
        "Content-Type": content_type,
        **({"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}),
        "User-Agent": f"genbridge/{settings.version}",
        "Accept-Encoding": "identity",
    }
    replaced = {name.lower() for name in settings.headers}
    return {name: value for name, value in ours.items() if name.lower() not in replaced} | dict(settings.headers)
