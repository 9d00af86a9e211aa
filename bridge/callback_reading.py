"""Builds the reader for an account's callbacks from the settings."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from bridge.account_catalogue import base_url_of
from bridge.callback_ports import CallbackReader
from bridge.config.model import Account
from bridge.net.client import Answer, HttpClient, Request
from bridge.providers.callbacks import callback_reader
from bridge.providers.description import Description

KEY_SET_BYTES: Final = 64 << 10


def callbacks_of(account: Account, known: Description, client: HttpClient) -> CallbackReader:
    """The reader of the account's callbacks. It fetches the provider's public keys with the account's client."""
    return callback_reader(
        known,
        host=urlsplit(base_url_of(account, known)).hostname,
        api_key=account.api_key.reveal() if account.api_key else "",
        secrets=[secret.reveal() for secret in account.callback_secret],
        fetch=partial(_key_set, client),
    )


async def _key_set(client: HttpClient, url: str) -> bytes | None:
    """The public keys at this address, requested without the account's key; None if that fails."""
    answer = await client.fetch(Request("GET", url), cap_bytes=KEY_SET_BYTES)
    if not isinstance(answer, Answer) or answer.status != HTTPStatus.OK or not answer.complete:
        return None
    return answer.body
