"""The address that a provider posts its callbacks to."""

from __future__ import annotations

import base64
import hmac
from typing import Final

SECRET_BYTES: Final = 24


def callback_secret(key: bytes, account: str) -> str:
    """The secret in the account's callback address, derived from the store's key."""
    digest = hmac.digest(key, b"callback/" + account.encode(), "sha256")
    return base64.urlsafe_b64encode(digest[:SECRET_BYTES]).decode()


def callback_path(key: bytes, account: str) -> str:
    """The path of the account's callback address."""
    return f"/callbacks/{account}/{callback_secret(key, account)}"
