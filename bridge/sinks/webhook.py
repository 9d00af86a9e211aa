"""One POST: its headers, its signatures, and what the answer means."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

from standardwebhooks import Webhook

from bridge.domain.backoff import parse_retry_after
from bridge.domain.delivery import Accepted, Deferred, Delivery, Outcome, Refused
from bridge.domain.event import Event, Parcel
from bridge.errors import ConfigError
from bridge.logs import hidden
from bridge.net.client import Answer, HttpClient, Request, Unanswered
from bridge.ports import Clock
from bridge.sinks.neutral import one_line
from bridge.sinks.payloads import documented

MOST_ANSWER_BYTES: Final = 64 * 1024  # read of an answer, so that the connection can be used again
MOST_EXCERPT: Final = 200  # characters of an answer kept in a reason
OURS: Final = frozenset({"connection", "content-length", "host", "transfer-encoding"})  # and every webhook-*


class WebhookSink:
    """One webhook endpoint. ConfigError when a secret is not `whsec_` and base64.

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
    ) -> None:
        self._name = name
        self._url = url
        self._client = client
        self._clock = clock
        self._signers = [_signer(name, secret) for secret in secrets]
        self._headers = _fixed_headers(api_key, headers, version)

    def parcels(self, event: Event) -> Sequence[Parcel]:
        return [Parcel(endpoint=self._name, target="", body=documented(event))]

    def targets(self) -> Sequence[str]:
        return [""]

    async def deliver(self, delivery: Delivery) -> Outcome:
        if delivery.target:
            return Deferred(reason=f"made for a chat, but endpoints.{self._name} is a webhook now")
        headers = {**self._headers, **self._signed_headers(delivery)}
        request = Request(method="POST", url=self._url, headers=headers, body=delivery.body)
        answer = await self._client.fetch(request, cap_bytes=MOST_ANSWER_BYTES)
        if isinstance(answer, Unanswered):
            return Deferred(reason=answer.reason)
        return judge(answer)

    def _signed_headers(self, delivery: Delivery) -> dict[str, str]:
        """The headers of this attempt (Standard Webhooks 1.0.0)."""
        second = math.floor(self._clock.now())
        headers = {"webhook-id": delivery.event_id, "webhook-timestamp": str(second)}
        if self._signers:
            at, text = datetime.fromtimestamp(second, UTC), delivery.body.decode()
            signatures = [signer.sign(delivery.event_id, at, text) for signer in self._signers]
            headers["webhook-signature"] = " ".join(signatures)
        return headers


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


def _signer(name: str, secret: str) -> Webhook:
    try:
        # Strictly: the library takes any text for base64, and would sign with what is left of it.
        text = secret.removeprefix("whsec_").rstrip("=")
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith("whsec_") or not key:
        problem = 'is not "whsec_" and base64; make one with: echo "whsec_$(openssl rand -base64 32)"'
        raise ConfigError([f"endpoints.{name}.secret: {problem}"])
    return Webhook(key)


def _fixed_headers(api_key: str | None, own: Mapping[str, str], version: str) -> dict[str, str]:
    ours = {
        "Content-Type": "application/json",
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
