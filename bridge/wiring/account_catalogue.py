"""The providers that the settings can use, and whether each account fits its provider."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from bridge.config.load import Loaded
from bridge.config.model import Account
from bridge.config.provider_trees import lacking_base_url
from bridge.config.secret import has_reference
from bridge.config.settings_file import AccountEntry, SettingsFile
from bridge.config.validators import scheme_problem
from bridge.domain.rate_limiter import RateLimits
from bridge.errors import ConfigError
from bridge.providers.auth import SCHEMES
from bridge.providers.callback_signatures import secret_bytes
from bridge.providers.calls import KeyPlace
from bridge.providers.catalogue import DescriptionsRefused, load_descriptions
from bridge.providers.description import Description


def base_url_of(account: Account | AccountEntry, description: Description) -> str:
    """The base URL of the account's API: its own `base_url`, or else the provider's only official host."""
    return account.base_url or description.default_base_url or ""


def limits_of(account: Account, description: Description) -> RateLimits:
    """The account's own limits, or else its provider's, or else the defaults."""
    own, wanted = account.limits, description.limits
    given = own.model_fields_set
    return RateLimits(
        rate=own.rate if "rate" in given else wanted.rate or own.rate,
        burst=own.burst if "burst" in given else wanted.burst or own.burst,
        concurrency=own.concurrency if "concurrency" in given else wanted.concurrency or own.concurrency,
    )


def known_providers(file: SettingsFile) -> Mapping[str, Description]:
    """Every provider by name, built-in or of the settings. ConfigError lists the mistakes in the settings' own."""
    try:
        return load_descriptions(file.providers)
    except DescriptionsRefused as refused:
        found = ((("providers", *each.path), each.message) for each in refused.found)
        raise ConfigError(file.problems(found)) from None


def catalogue(loaded: Loaded) -> Mapping[str, Description]:
    """The descriptions by name. ConfigError for an invalid one, or an account that does not fit its provider."""
    known = known_providers(loaded)
    if wrong := loaded.problems(_account_problems(loaded, known)):
        raise ConfigError(wrong)
    return known


def _account_problems(loaded: Loaded, known: Mapping[str, Description]) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, account in loaded.settings.accounts.items():
        description = known[account.provider]
        problems = {
            "base_url": None if account.base_url else lacking_base_url(account.provider, loaded.settings.providers),
            "api_key" if account.access_key is None else "access_key": _keys_problem(description, account),
            "callback_secret": _callback_secret_problem(description, account),
            "action": _action_problem(description, account.action),
            "discover": _discover_problem(known, account),
        }
        yield from ((("accounts", name, key), why) for key, why in problems.items() if why)


def _action_problem(description: Description, action: str | None) -> str | None:
    return None if action is None or has_reference(action) else description.task_rules.action_problem(action)


def _discover_problem(known: Mapping[str, Description], account: Account) -> str | None:
    description = known[account.provider]
    call = description.route(base_url_of(account, description)).discover
    if account.discover_s is None or (call is not None and (call.actions or account.action or not call.takes_action)):
        return None
    if call is not None:
        found = f"{account.provider} has one list of tasks for each action"
        return f"{found}; set action, or ask.discover.actions in its description"
    able = ", ".join(sorted(name for name, each in known.items() if each.ask.discover is not None))
    return f"{account.provider} has no list of its tasks that genbridge can read; providers with one: {able}"


def _callback_secret_problem(description: Description, account: Account) -> str | None:
    """Why the account's callbacks cannot be checked with its secret; None if they can, or if it has no secret."""
    if not account.callback_secret:
        return None
    rule = description.callback
    if rule is None or rule.signature is None or not rule.needs_secret:
        return f"{account.provider} does not sign callbacks with a secret of yours; remove this key"
    for secret in account.callback_secret:
        try:
            if secret.is_resolved:
                secret_bytes(rule.signature, secret.reveal())
        except ValueError as problem:
            return str(problem)
    return None


def _keys_problem(description: Description, account: Account) -> str | None:
    if account.access_key is not None:
        if description.key_pair is not None:
            return None
        return f"{account.provider} does not use a pair of keys; write api_key instead of access_key and secret_key"
    base_url = base_url_of(account, description)
    auth = description.route(base_url).auth
    if account.api_key is None:
        return None if auth == "none" else "is missing"
    if auth == "signed":
        host = None if has_reference(base_url) else urlsplit(base_url).hostname
        return f"requests to {host or 'this account'} are signed: write access_key and secret_key instead of api_key"
    is_prefixed = bool(auth.prefix) if isinstance(auth, KeyPlace) else auth in SCHEMES
    return scheme_problem(account.api_key.reveal()) if is_prefixed and account.api_key.is_resolved else None
