"""The accounts at the gateway, built from the settings when they are first used."""

from __future__ import annotations

from typing import NamedTuple

import anyio

from bridge.clock import SystemClock
from bridge.config.load import Loaded
from bridge.config.model import Account
from bridge.net.streaming_client import StreamingClient
from bridge.providers.description import Description
from bridge.providers.pass_through import PassThrough
from bridge.wiring.account_catalogue import base_url_of, known_providers, limits_of
from bridge.wiring.archive_builder import allowed_hosts
from bridge.wiring.plan_builder import network_basis, revealed


class GatewayAccount(NamedTuple):
    """One account: the rules of its provider's description, and the client that sends its requests."""

    name: str
    rules: PassThrough
    client: StreamingClient


class GatewayAccounts:
    """Keeps the accounts that it has built, with their connections, as long as their settings stay the same."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[object, GatewayAccount]] = {}

    async def find(self, name: str, loaded: Loaded) -> GatewayAccount | None:
        """The account with this name in these settings, which must be the current ones; None for an unknown name."""
        account = loaded.settings.accounts.get(name)
        basis = account, loaded.settings.providers, account and network_basis(loaded, account), allowed_hosts(loaded)
        if name in self._made and self._made[name][0] != basis:
            _, changed = self._made.pop(name)
            await changed.client.aclose()
        if account is None:
            return None
        if name not in self._made:
            description = known_providers(loaded)[account.provider]
            self._made[name] = basis, _built(name, account, description, loaded)
        return self._made[name][1]

    async def run(self) -> None:
        """Wait until canceled, then close every connection."""
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                while self._made:
                    await self._made.popitem()[1][1].client.aclose()


def _built(name: str, account: Account, description: Description, loaded: Loaded) -> GatewayAccount:
    base_url = base_url_of(account, description)
    rules = PassThrough(
        description,
        base_url=base_url,
        api_key=account.api_key.reveal() if account.api_key else "",
        has_key_pair=account.access_key is not None,
        action=account.action,
        headers=revealed(account.headers),
        allowed=allowed_hosts(loaded),
        now=SystemClock().now,
    )
    most_idle = limits_of(account, description).concurrency
    client = StreamingClient(base_url=base_url, most_idle=most_idle, **loaded.network(account))
    return GatewayAccount(name, rules, client)
