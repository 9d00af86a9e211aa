"""The address that a provider posts its callbacks to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.config.secret import fill
from bridge.config.settings_file import SettingsFile
from bridge.domain.quoting import unknown_name
from bridge.domain.store_key import KeyPurpose, callback_path
from bridge.errors import ConfigError, UnknownNameError
from bridge.wiring.account_catalogue import known_providers

if TYPE_CHECKING:
    from bridge.store.command_store import CommandStore


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackAddress:
    """The address, and the field of the provider that takes it; None if the description names no field."""

    url: str
    field: str | None


def callback_address(
    store: CommandStore, file: SettingsFile, account: str, env: Mapping[str, str], *, now: float
) -> CallbackAddress:
    """The callback address of an account. UsageError for an unknown account, ConfigError without `http.public_url`."""
    if account not in file.accounts:
        raise UnknownNameError(f"{file.path}: {unknown_name('account', account, file.accounts)}", at="account")
    if file.public_url is None:
        message = "is missing; write the address at which providers reach genbridge, e.g. https://bridge.example.com"
        raise ConfigError([file.problem(("http", "public_url"), message)])
    try:
        public_url = fill(file.public_url, env)
    except ValueError as error:
        raise ConfigError([file.problem(("http", "public_url"), str(error))]) from None
    rule = known_providers(file)[file.accounts[account].provider].callback
    path = callback_path(store.ensure_key(KeyPurpose.CALLBACKS, now=now), account)
    return CallbackAddress(url=public_url.rstrip("/") + path, field=None if rule is None else rule.field)
