"""The random keys in a store, and the addresses that they protect. The daemons of a shared store use the same keys."""

from __future__ import annotations

import base64
import hmac
from enum import StrEnum
from typing import Final
from urllib.parse import quote

KEY_BYTES: Final = 32
RESULTS: Final = "/results/"
LINK_LIFE_S: Final = 7 * 86_400
_PROOF_BYTES: Final = 24


class KeyPurpose(StrEnum):
    """Each purpose has its own key, so that one can be replaced without the others."""

    CALLBACKS = "callbacks"  # the secrets in callback addresses
    RESULTS = "results"  # the signatures of links to copies
    FORMS = "forms"  # the forms of the page


def callback_secret(key: bytes, account: str) -> str:
    """The secret in the account's callback address, derived from the store's key."""
    return _proof(key, f"callback/{account}")


def callback_path(key: bytes, account: str) -> str:
    return f"/callbacks/{account}/{callback_secret(key, account)}"


def result_link(key: bytes, path: str, *, expires_s: int) -> str:
    """Path and query of the link to a copy."""
    return f"{RESULTS}{quote(path)}?expires={expires_s}&signature={_proof(key, f'result/{expires_s}/{path}')}"


def is_signed(key: bytes, path: str, *, expires: str, signature: str) -> bool:
    """Whether this is the signature of a link to this copy, expired or not. Takes the same time for every signature."""
    if not expires.isascii() or not expires.isdecimal() or len(expires) > 12:
        return False
    expected = _proof(key, f"result/{int(expires)}/{path}")
    return hmac.compare_digest(signature.encode("utf-8", "replace"), expected.encode())


def _proof(key: bytes, text: str) -> str:
    return base64.urlsafe_b64encode(hmac.digest(key, text.encode(), "sha256")[:_PROOF_BYTES]).decode()
