"""One POST to a program: its body, headers and signatures (Standard Webhooks, or new-api's digest of the body)."""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from standardwebhooks import Webhook

from bridge.domain.delivery import Deferred, Delivery, Outcome, Undeliverable
from bridge.domain.event import Event, Parcel
from bridge.encoding import documented
from bridge.sinks.answers import read_nothing
from bridge.sinks.payloads import PAYLOADS, Payload
from bridge.sinks.posting import JSON_TYPE, Poster, PostSettings


class WebhookSink:
    """One webhook endpoint. ValueError if a template is invalid. The settings have checked secrets and headers.

    `format` is one of `PAYLOADS`, or `template`; then `template` names one of `SHIPPED`, or `body` is its source.
    """

    def __init__(
        self,
        *,
        name: str,
        settings: PostSettings,
        secrets: Sequence[str],
        format: str = "documented",
        template: str | None = None,
        body: str | None = None,
    ) -> None:
        self._name = name
        self._clock = settings.clock
        self._payload: Payload
        content_type = JSON_TYPE
        if format == "template":
            from bridge.sinks.template_payloads import SHIPPED, TemplatePayload, shipped  # here, because few need it

            content_type = SHIPPED[template] if template else JSON_TYPE
            self._payload = TemplatePayload(endpoint=name, source=shipped(template) if template else body or "")
        else:
            if format == "newapi":
                import bridge.sinks.texts  # noqa: F401 - now, and not when the first task ends

            self._payload = PAYLOADS[format]
        self._poster = Poster(name, settings, read=read_nothing, content_type=content_type)
        self._secrets = secrets if format == "newapi" else ()
        self._signers = [] if format == "newapi" else [Webhook(secret) for secret in secrets]

    def parcels(self, event: Event, *, plain: bool = False) -> Sequence[Parcel]:
        payload = documented if plain else self._payload
        body, address, is_documented = payload(event), self._poster.address(event), payload is documented
        return [Parcel(endpoint=self._name, target="", body=body, address=address, is_documented=is_documented)]

    def targets(self) -> Sequence[str]:
        return [""]

    async def deliver(self, delivery: Delivery) -> Outcome:
        if delivery.target:
            return Deferred(reason=f"created for a chat, but endpoints.{self._name} is now a webhook")
        url = self._poster.url(delivery)
        if isinstance(url, Undeliverable):
            return url
        second = math.floor(self._clock.now())
        headers = {"webhook-id": delivery.event_id, "webhook-timestamp": str(second)}
        if self._signers:  # Standard Webhooks 1.0.0, with a signature for each secret
            at, text = datetime.fromtimestamp(second, UTC), delivery.body.decode()
            headers["webhook-signature"] = " ".join(each.sign(delivery.event_id, at, text) for each in self._signers)
        for secret in self._secrets:  # new-api's, in lower-case hex; any text can be the secret, and there is only one
            headers["X-Webhook-Signature"] = hmac.new(secret.encode(), delivery.body, hashlib.sha256).hexdigest()
        outcome, _ = await self._poster.post(url, delivery.body, more=headers)
        # A receiver recognizes a repeat by its webhook-id, so an early retry does no harm.
        return replace(outcome, is_unanswered=False) if isinstance(outcome, Deferred) else outcome
