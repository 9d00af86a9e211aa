"""A webhook receiver as a careful user would write it: checks key and signature, accepts each id once, answers 200."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bridge.net.http_server import RequestBodyError, read_body
from bridge.ports import Clock

TOLERANCE_S: Final = 300
"""How far the timestamp of a webhook may be from now: as Standard Webhooks 1.0.0 suggests."""
MAX_BODY_BYTES: Final = 2**20
PATH: Final = "/webhook"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedWebhook:
    """A webhook that was accepted. `arrived_at` is `clock.steady()` at its first arrival."""

    webhook_id: str
    topic: str
    data: Mapping[str, Any]
    arrived_at: float

    @property
    def task_id(self) -> str:
        """Empty for topics about an account or an endpoint."""
        return str(self.data.get("task_id") or "")

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(map(str, self.data.get("urls") or ()))

    @property
    def reason(self) -> str:
        return str(self.data.get("reason") or "")

    def line(self) -> str:
        """One line for people: topic, task and event id."""
        return f"{self.topic:<14} {self.task_id:<19} {self.webhook_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverOutage:
    """The receiver is down once: from the first webhook after `after` accepted ones, for `lasts_s`."""

    after: int
    lasts_s: float


class Receiver:
    """Accepts webhooks at `PATH`.

    `webhooks` has each one by its id, in the order of arrival, and `on_webhook` is called once for each. `repeats`
    counts arrivals of a known id, `refused` those with a wrong key, signature or body. During an `outage` the answer is
    503. `turned_away` counts these answers by task id, and `on_turned_away` is called for each.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        api_key: str,
        secret: str,
        on_webhook: Callable[[ReceivedWebhook], None],
        outage: ReceiverOutage | None = None,
        on_turned_away: Callable[[ReceivedWebhook], None] = lambda webhook: None,
    ) -> None:
        self.webhooks: dict[str, ReceivedWebhook] = {}
        self.repeats = 0
        self.refused = 0
        self.turned_away: Counter[str] = Counter()
        self._outage = outage
        self._down_until: float | None = None
        self._on_turned_away = on_turned_away
        self._clock = clock
        self._authorization = f"Bearer {api_key}".encode()
        self._secret = base64.b64decode(secret.removeprefix("whsec_"))
        self._on_webhook = on_webhook
        self.app: Final = Starlette(routes=[Route(PATH, self._handle, methods=["POST"])])

    async def _handle(self, request: Request) -> Response:
        try:
            body = await read_body(request, max_bytes=MAX_BODY_BYTES)
        except RequestBodyError as error:
            return self._refuse(error.status, str(error))
        reason = self._mistake(request.headers, body)
        if reason is not None:
            return self._refuse(HTTPStatus.UNAUTHORIZED, reason)
        try:
            content = orjson.loads(body)
            topic, data = str(content["topic"]), dict(content["data"])
        except (ValueError, TypeError, KeyError):
            return self._refuse(HTTPStatus.BAD_REQUEST, 'the body is not {"topic", "data"}')
        webhook_id = request.headers["webhook-id"]
        webhook = ReceivedWebhook(webhook_id=webhook_id, topic=topic, data=data, arrived_at=self._clock.steady())
        if self._is_down():
            self.turned_away[webhook.task_id] += 1
            self._on_turned_away(webhook)
            return Response("down for maintenance", HTTPStatus.SERVICE_UNAVAILABLE, media_type="text/plain")
        self._keep(webhook)
        return Response("{}", media_type="application/json")

    def _is_down(self) -> bool:
        if self._outage is None or len(self.webhooks) < self._outage.after:
            return False
        if self._down_until is None:
            self._down_until = self._clock.steady() + self._outage.lasts_s
        return self._clock.steady() < self._down_until

    def _keep(self, webhook: ReceivedWebhook) -> None:
        if webhook.webhook_id in self.webhooks:
            self.repeats += 1
            return
        self.webhooks[webhook.webhook_id] = webhook
        self._on_webhook(webhook)

    def _mistake(self, headers: Headers, body: bytes) -> str | None:
        """What is wrong with the key or the signature. Checks Standard Webhooks without the library that signs."""
        if not hmac.compare_digest(headers.get("authorization", "").encode(), self._authorization):
            return "the bearer key is wrong"
        webhook_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not webhook_id or not (timestamp.isascii() and timestamp.isdigit()):
            return "webhook-id or webhook-timestamp is missing"
        if len(timestamp) > 15 or abs(self._clock.now() - int(timestamp)) > TOLERANCE_S:
            return "webhook-timestamp is too far from now"
        signed = hmac.digest(self._secret, f"{webhook_id}.{timestamp}.".encode() + body, hashlib.sha256)
        wanted = b"v1," + base64.b64encode(signed)
        given = headers.get("webhook-signature", "").encode().split()
        if not any(hmac.compare_digest(signature, wanted) for signature in given):
            return "no signature matches"
        return None

    def _refuse(self, status: HTTPStatus, reason: str) -> Response:
        self.refused += 1
        return Response(reason, status, media_type="text/plain")
