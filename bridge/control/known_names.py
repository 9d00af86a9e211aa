"""Names of the settings that people and programs write: an unknown one is refused, and a near one suggested."""

from __future__ import annotations

from bridge.config.settings_file import SettingsFile
from bridge.domain.filters import DeliveryFilter, WatchFilter
from bridge.domain.quoting import unknown
from bridge.errors import UnknownNameError
from bridge.store import ReadStore


def known_account(store: ReadStore, file: SettingsFile, account: str | None) -> None:
    """UnknownNameError unless the settings have this account, or the store still has tasks of it. None is no account
    at all."""
    if account is None or account in file.accounts or store.list_watches(WatchFilter(account=account), limit=1):
        return
    raise UnknownNameError(f"{file.path}: {unknown('account', account, file.accounts)}", at="account")


def known_endpoint(file: SettingsFile, endpoint: str) -> None:
    """UnknownNameError unless the settings have this endpoint."""
    if endpoint not in file.queues:
        raise UnknownNameError(f"{file.path}: {unknown('endpoint', endpoint, file.queues)}", at="endpoint")


def listed_endpoint(store: ReadStore, file: SettingsFile, endpoint: str | None) -> None:
    """As `known_endpoint`, for listings: an endpoint that the settings no longer have is known while the store has
    deliveries to it. None is no endpoint at all."""
    if endpoint is None or endpoint in file.queues:
        return
    if not store.list_deliveries(DeliveryFilter(endpoint=endpoint), limit=1):
        known_endpoint(file, endpoint)
