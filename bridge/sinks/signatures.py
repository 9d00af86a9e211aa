"""Signs attempts: Standard Webhooks, or new-api's digest of the body."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook

from bridge.domain.delivery import Delivery
from bridge.errors import ConfigError

BODY_DIGEST: Final = "X-Webhook-Signature"

Signing = Callable[[Delivery, int], Mapping[str, str]]
"""Returns the signature headers of one attempt in this second; empty without a secret."""


def standard_signing(secrets: Sequence[str], *, endpoint: str) -> Signing:
    """Standard Webhooks 1.0.0, with a signature for each secret. ConfigError if a secret is not `whsec_` and base64."""
    signers = [_signer(endpoint, secret) for secret in secrets]

    def sign(delivery: Delivery, second: int) -> Mapping[str, str]:
        if not signers:
            return {}
        at, text = datetime.fromtimestamp(second, UTC), delivery.body.decode()
        return {"webhook-signature": " ".join(signer.sign(delivery.event_id, at, text) for signer in signers)}

    return sign


def digest_signing(secrets: Sequence[str], *, endpoint: str) -> Signing:
    """new-api's signature: HMAC-SHA256 of the body in lower-case hex. Any text can be the secret. ConfigError for
    several secrets, because there is only one header."""
    if len(secrets) > 1:
        raise ConfigError([f"endpoints.{endpoint}.secret: format newapi signs with one secret; remove the others"])

    def sign(delivery: Delivery, second: int) -> Mapping[str, str]:
        if not secrets:
            return {}
        return {BODY_DIGEST: hmac.new(secrets[0].encode(), delivery.body, hashlib.sha256).hexdigest()}

    return sign


def _signer(endpoint: str, secret: str) -> Webhook:
    try:
        # Strict, because the library would accept any text as base64 and sign with the part that it can decode.
        text = secret.removeprefix("whsec_").rstrip("=")
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith("whsec_") or not key:
        problem = 'is not "whsec_" and base64; make one with: echo "whsec_$(openssl rand -base64 32)"'
        raise ConfigError([f"endpoints.{endpoint}.secret: {problem}"])
    return Webhook(key)
