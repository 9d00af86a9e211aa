"""Turns YAML nodes into `Settings`, and reports all mistakes at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from bridge.config.mistakes import Mistake, mistakes, without_nulls
from bridge.config.model import Settings
from bridge.config.problems import Problem, Steps, at_key, at_value
from bridge.config.provider_trees import builtin_names, effective_tree, official_hosts
from bridge.config.secret import ReferenceContext
from bridge.config.yaml import Pairs, as_free, as_text
from bridge.domain.quoting import unknown
from bridge.errors import ConfigError

LATER_KEYS: Final = {  # keys of a later version; `*` matches any name
    *(("batch",), ("accounts", "*", "batch"), ("polling", "batch")),
}
NO_BASE_URL: Final = "is missing; write where the API begins, e.g. https://api.example.com"


def parse(
    node: Pairs, *, name: str, found: Sequence[Problem] = (), context: ReferenceContext | None = None
) -> Settings:
    """The settings in `node`. Without `context`, references stay references; with it they are replaced.

    ConfigError has a line `name:line:column: key: what is wrong` for each mistake, sorted by location, including those
    in `found`.
    """
    written = as_text(node)
    tree = without_nulls(written, [Settings])
    if isinstance(tree.get("providers"), dict):
        tree["providers"] = as_free(node.values["providers"])  # numbers in descriptions stay numbers
    problems = {*found, *_unknown_names(tree, node), *_account_problems(tree, node)}
    try:
        settings = Settings.model_validate(tree, context=context, by_alias=True, by_name=False)
    except ValidationError as error:
        problems |= {_problem(mistake, node) for mistake in mistakes(error, Settings, written)}
    if problems:
        problems.update(_missing_base_urls(tree, node))
        # Raised here, so that it is not chained to pydantic's error, which contains the input.
        raise ConfigError([problem.line(name) for problem in sorted(problems)])
    return settings


def _problem(mistake: Mistake, node: Pairs) -> Problem:
    path = mistake.path
    if mistake.is_unknown and {path, (*path[:1], "*", *path[2:])} & LATER_KEYS:
        return at_key(node, path, "is not in this version")
    return mistake.problem(node)


def _unknown_names(tree: Mapping[str, Any], node: Pairs) -> Iterator[Problem]:
    """Routes that name unknown accounts or endpoints."""
    routes = tree.get("routes")
    for number, route in enumerate(routes if isinstance(routes, list) else ()):
        for section in ("accounts", "endpoints"):
            known = _mapping(tree.get(section))
            names = route.get(section) if isinstance(route, dict) else None
            for position, name in enumerate(names if isinstance(names, list) else ()):
                if isinstance(name, str) and name not in known:
                    steps: Steps = ("routes", number, section, position)
                    yield at_value(node, steps, unknown(section.removesuffix("s"), name, known))


def _account_problems(tree: Mapping[str, Any], node: Pairs) -> Iterator[Problem]:
    """Accounts with an unknown provider, or without exactly one kind of key."""
    own = _mapping(tree.get("providers"))
    known = (*builtin_names(), *own)
    for name, account in _accounts(tree):
        provider = account.get("provider")
        if isinstance(provider, str) and provider not in known:
            yield at_value(node, ("accounts", name, "provider"), unknown("provider", provider, known))
        key, message = _key_mistake(account)
        if message and not (key not in account and _needs_no_key(provider, own)):
            yield at_key(node, ("accounts", name, key), message, holder=key not in account)


def _missing_base_urls(tree: Mapping[str, Any], node: Pairs) -> Iterator[Problem]:
    """Accounts of built-in providers that need a base URL and have none. If there are no other mistakes, and for the
    settings' own providers, the catalogue gives more details."""
    own = _mapping(tree.get("providers"))
    for name, account in _accounts(tree):
        provider = account.get("provider")
        if isinstance(provider, str) and provider not in own and "base_url" not in account:
            if len(official_hosts(effective_tree(provider, own))) != 1:
                yield at_key(node, ("accounts", name, "base_url"), NO_BASE_URL, holder=True)


def _accounts(tree: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return ((name, account) for name, account in _mapping(tree.get("accounts")).items() if isinstance(account, dict))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _needs_no_key(provider: object, own: Mapping[str, Any]) -> bool:
    """Whether accounts of a provider may have no key."""
    ask = effective_tree(provider, own).get("ask") if isinstance(provider, str) else None
    return isinstance(ask, Mapping) and ask.get("auth") == "none"


def _key_mistake(account: Mapping[str, Any]) -> tuple[str, str]:
    """The key with the mistake, and the mistake; empty if the account has an api_key, or an access_key with its
    secret_key."""
    pair = [key for key in ("access_key", "secret_key") if key in account]
    if "api_key" in account:
        return (pair[0], "cannot be combined with api_key; remove one of them") if pair else ("", "")
    if len(pair) == 1:
        return pair[0], "access_key and secret_key go together"
    return ("", "") if pair else ("api_key", "is missing")
