"""One POST: its headers, its signatures, and what the answer means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

from bridge.domain.backoff import parse_retry_after
from bridge.domain.delivery import Accepted, Deferred, Delivery, Outcome, Refused
from bridge.domain.event import Event, Parcel
from bridge.logs import hidden
from bridge.net.client import Answer, HttpClient, Request, Unanswered
from bridge.ports import Clock
from bridge.sinks.neutral import one_line
from bridge.sinks.own_payloads import SHIPPED, OwnPayload, shipped
from bridge.sinks.payloads import PAYLOADS, Payload
from bridge.sinks.signatures import BODY_DIGEST, digest_signing, standard_signing

MOST_ANSWER_BYTES: Final = 64 * 1024  # read of an answer, so that the connection can be used again
MOST_EXCERPT: Final = 200  # characters of an answer kept in a reason
OURS: Final = frozenset(  # and every webhook-*
    {"connection", "content-length", "host", "transfer-encoding", BODY_DIGEST.lower()}
)
JSON_TYPE: Final = "application/json"


class WebhookSink:
    """One webhook endpoint. ConfigError when a secret does not suit the format, or a template is none.

    `form` is a format of `PAYLOADS`, or `template`: then `template` names one of `SHIPPED`, or `body` is its source.
    `headers` are the operator's own; they are sent in place of ours of the same name, except those of `OURS` and
    `webhook-*`, and except Authorization when there is an `api_key`.
    """

    def __init__(
        self,
        *,
        name: str,
        url: str,
        api_key: str | None,
        secrets: Sequence[str],
        headers: Mapping[str, str],
        client: HttpClient,
        clock: Clock,
        version: str,
        form: str = "documented",
        template: str | None = None,
        body: str | None = None,
    ) -> None:
        self._name = name
        self._url = url
        self._client = client
        self._clock = clock
        if form == "template":
            self._payload: Payload = OwnPayload(endpoint=name, source=shipped(template) if template else body or "")
        else:
            self._payload = PAYLOADS[form]
        self._sign = (digest_signing if form == "newapi" else standard_signing)(secrets, endpoint=name)
        content_type = SHIPPED[template] if template else JSON_TYPE
        self._headers = _fixed_headers(api_key, headers, content_type=content_type, version=version)

    def parcels(self, event: Event) -> Sequence[Parcel]:
        return [Parcel(endpoint=self._name, target="", body=self._payload(event))]

    def targets(self) -> Sequence[str]:
        return [""]

    async def deliver(self, delivery: Delivery) -> Outcome:
        if delivery.target:
            return Deferred(reason=f"made for a chat, but endpoints.{self._name} is a webhook now")
        request = Request(
            method="POST", url=self._url, headers=self._headers, body=delivery.body, more=self._signed(delivery)
        )
        answer = await self._client.fetch(request, cap_bytes=MOST_ANSWER_BYTES)
        if isinstance(answer, Unanswered):
            return Deferred(reason=answer.reason)
        return judge(answer)

    def _signed(self, delivery: Delivery) -> dict[str, str]:
        """The headers of this attempt alone."""
        second = math.floor(self._clock.now())
        identity = {"webhook-id": delivery.event_id, "webhook-timestamp": str(second)}
        return {**identity, **self._sign(delivery, second)}


def judge(answer: Answer) -> Outcome:
    """What an answer means for the delivery: its status line decides, whatever the body."""
    if 200 <= answer.status < 300:
        return Accepted(detail=f"HTTP {answer.status}")
    reason = _reason(answer)
    if answer.status == HTTPStatus.GONE:
        return Refused(reason=reason)
    # As late as the receiver likes: the plan of retries caps it at its longest step.
    retry_after_s = parse_retry_after(
        answer.headers.get("retry-after"), date=answer.headers.get("date"), most_s=math.inf
    )
    return Deferred(reason=reason, retry_after_s=retry_after_s)


def _reason(answer: Answer) -> str:
    try:
        status = f"HTTP {answer.status} {HTTPStatus(answer.status).phrase}"
    except ValueError:
        status = f"HTTP {answer.status}"
    if 300 <= answer.status < 400:
        status += " (redirects are not followed)"
    said = one_line(hidden(answer.body[: 8 * MOST_EXCERPT].decode(errors="replace")), most_chars=MOST_EXCERPT)
    return f"{status}: {said}" if said else status


def _fixed_headers(api_key: str | None, own: Mapping[str, str], *, content_type: str, version: str) -> dict[str, str]:
    ours = {
        "Content-Type": content_type,
        **({"Authorization": f"Bearer {api_key}"} if api_key else {}),
        "User-Agent": f"genbridge/{version}",
        "Accept-Encoding": "identity",
    }
    kept = OURS | ({"authorization"} if api_key else frozenset())
    theirs = {
        header: value
        for header, value in own.items()
        if header.lower() not in kept and not header.lower().startswith("webhook-")
    }
    replaced = {header.lower() for header in theirs}
    return {header: value for header, value in ours.items() if header.lower() not in replaced} | theirs
