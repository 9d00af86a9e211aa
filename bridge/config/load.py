"""Loads the whole settings file: checks it, resolves its references, and collects the secret texts."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NoReturn, TypedDict
from urllib.parse import quote, unquote

from pydantic import ValidationError

from bridge.config.endpoint_settings import Apprise, Webhook
from bridge.config.mistakes import Mistake, mistakes
from bridge.config.model import Account, Log, Settings
from bridge.config.postgres_url import MIN_SECRET_CHARS, PostgresUrl, names_postgres
from bridge.config.problems import Problem, at_key, at_value, written_key
from bridge.config.provider_trees import builtin_names, effective_tree, lacking_base_url, unknown_provider
from bridge.config.secret import ReferenceContext, SecretText, has_reference
from bridge.config.settings_file import SettingsFile, named_store, read_settings
from bridge.config.yaml import YamlProblem
from bridge.config.yaml_nodes import KeyPath, Node, Pairs, as_free, as_text, respelled, walk
from bridge.domain.proxies import ProxyRules
from bridge.domain.quoting import unknown_name
from bridge.domain.secret_headers import SCHEMES, header_secrets, is_secret_header
from bridge.errors import ConfigError

LATER_KEYS: Final = {("batch",), ("accounts", "*", "batch"), ("polling", "batch")}  # `*` matches any name
_ANY_ACCOUNT: Final = {"none": {"provider": "comfyui"}}  # a valid one, because at least one is needed
_HOST: Final = re.compile(r"localhost|([a-z0-9-]+\.)+[a-z]{2,}|[0-9]+(\.[0-9]+){3}|[0-9]{1,5}")
_SHELL: Final = re.compile(r"\$[A-Z][A-Z0-9_]*")
_TOKEN: Final = re.compile(r"\d|.{20}")  # looks like a token, unlike words in a path such as "webhooks"


class Network(TypedDict):
    """How the connections of one account or endpoint leave the machine, as the clients take it."""

    proxy: str | None
    ca_file: str | None
    environment: ProxyRules


@dataclass(frozen=True, kw_only=True)
class Loaded(SettingsFile):
    """Settings that have been checked as a whole, with their file."""

    settings: Settings
    warnings: tuple[str, ...] = ()
    found: tuple[str, ...] = field(default=(), repr=False)  # the values of references in secrets
    proxies: ProxyRules = field(default=ProxyRules(), repr=False)  # from the environment; may contain passwords

    def network(self, of: Account | Webhook | Apprise) -> Network:
        return Network(
            proxy=of.proxy.reveal() if of.proxy else None,
            ca_file=str(self.under(of.ca_file)) if of.ca_file else None,
            environment=self.proxies,
        )


def load(path: Path, env: Mapping[str, str], *, resolvable: bool = False) -> Loaded:
    """Read and check settings; references stay references. ConfigError lists every mistake, sorted by location. With
    `resolvable`, and if there are other mistakes, it also lists the references that cannot be resolved."""
    repeated: list[YamlProblem] = []
    file = read_settings(path, repeated, variables=env)
    found = [Problem((one.line, one.column), "", one.message) for one in repeated]
    try:
        settings = _parse(file.node, name=file.name, found=found)
    except ConfigError:
        if resolvable:
            _parse(file.node, name=file.name, found=found, context=ReferenceContext(env=env, base_dir=file.path.parent))
        raise
    warnings = tuple(_warnings(settings, file.name, file.mode))
    loaded = Loaded(**vars(file), settings=settings, warnings=warnings, proxies=ProxyRules.of(env))
    log_settings(loaded, env)
    return loaded


def resolve(loaded: Loaded, env: Mapping[str, str]) -> Loaded:
    """The same settings with every reference replaced. ConfigError has a line for each one that cannot be resolved."""
    context = ReferenceContext(env=env, base_dir=loaded.path.parent)
    settings = _parse(loaded.node, name=loaded.name, context=context)
    warnings = tuple(dict.fromkeys((*loaded.warnings, *context.warnings)))
    return replace(loaded, settings=settings, warnings=warnings, found=tuple(context.found), env=env)


def sound_part(path: Path, env: Mapping[str, str]) -> Loaded | None:
    """The resolved settings without the accounts, endpoints and other parts that have mistakes, so that the rest can be
    checked further. None if the file cannot be read, or if the rest is not valid. A read of a part of the file that was
    left out raises ConfigError."""
    try:
        file = read_settings(path, [], check=_left_out)
    except ConfigError:
        return None
    context = ReferenceContext(env=env, base_dir=file.path.parent)
    tree = _tree(file.node)
    for problem in _validated(tree, file.node, context)[1]:
        section, is_inside, _ = problem.key.partition(".")
        if is_inside and section in {"accounts", "endpoints"}:
            parts = _mapping(tree.get(section))
            wrong = {name for name in parts if f"{problem.key}.".startswith(f"{written_key((section, name))}.")}
            tree[section] = {name: part for name, part in parts.items() if name not in wrong}
            tree.pop("routes", None)  # they may name what was left out
        else:
            tree.pop(section.partition("[")[0], None)
    tree["accounts"] = tree.get("accounts") or _ANY_ACCOUNT
    settings, problems = _validated(tree, file.node, context)
    if settings is None or problems:
        return None
    return Loaded(**vars(file), settings=settings, found=tuple(context.found), proxies=ProxyRules.of(env))


def _left_out() -> NoReturn:
    raise ConfigError([])


def log_settings(loaded: Loaded, env: Mapping[str, str], options: Mapping[str, str] | None = None) -> Log:
    """How to log: the settings, overridden by $GENBRIDGE_LOG_LEVEL and $GENBRIDGE_LOG_FORMAT, and these by the
    `options` `level` and `format` of the command line."""
    variables = {key: f"GENBRIDGE_LOG_{key.upper()}" for key in ("level", "format")}
    chosen = {key: env[name].lower() for key, name in variables.items() if env.get(name)}
    try:
        Log.model_validate(chosen)
    except ValidationError as error:
        wrong = [f"{variables[str(one.path[0])]}: {one.message}" for one in mistakes(error, Log, chosen)]
        raise ConfigError(wrong) from None
    return loaded.settings.log.model_copy(update={**chosen, **(options or {})})


def secrets(resolved: Loaded, env: Mapping[str, str]) -> list[str]:
    """Every text that must not be printed, longest first: keys, secret headers, proxies, chat URLs and their secret
    parts, the values of references in webhook addresses, and the store's password; also percent-encoded and decoded."""
    texts = {value for value in resolved.found if not _HOST.fullmatch(value)}
    store = named_store(resolved, env)
    texts |= store.secrets if isinstance(store, PostgresUrl) else set()
    for key, name, secret in _secret_texts(resolved.settings):
        value = secret.reveal()
        if key == "url":  # the URL of a group robot
            texts |= {part for part in _secret_parts(value) if _TOKEN.search(part)}
        elif key == "headers":
            texts |= header_secrets({name: value})
        else:
            words = {word for word in value.split() if not re.fullmatch(SCHEMES, word, re.IGNORECASE)}
            texts |= {value, value.removeprefix("whsec_"), *words}
        if key in {"urls", "proxy"}:
            texts |= _secret_parts(value)
    for proxy in (resolved.proxies.http, resolved.proxies.https):
        texts |= set((proxy or "").partition("://")[2].rpartition("@")[0].split(":"))
    texts |= {other for text in texts for other in (quote(text, safe="", errors="replace"), unquote(text))}
    return sorted((text for text in texts if len(text) >= MIN_SECRET_CHARS), key=lambda text: (-len(text), text))


def _secret_texts(settings: Settings) -> Iterator[tuple[str, str, SecretText]]:
    """Each secret text with its key; for the value of a header, also the header's name. Of the webhooks' addresses,
    only those of group robots are secret: anyone who knows one can write into the chat."""
    for owner in (*settings.accounts.values(), *settings.endpoints.values(), settings.http):
        open_url = owner.url if isinstance(owner, Webhook) and not owner.is_for_people else None
        for key, value in owner or ():
            several = value if isinstance(value, tuple) else (value,)
            for name, text in value.items() if isinstance(value, dict) else (("", each) for each in several):
                if isinstance(text, SecretText) and text is not open_url and (key, text.written) != ("proxy", "none"):
                    yield key, name, text


def _secret_parts(url: str) -> set[str]:
    """User info, and every longer part that is not a host name: hosts, paths and queries may contain tokens."""
    rest = url.partition("://")[2]
    user, at, _ = rest.rpartition("@")
    pieces = re.split(r"[/:?&=,#]", rest.replace("@", "/"))
    parts = {piece for piece in pieces if len(piece) >= 8 and not _HOST.fullmatch(piece)}
    return parts | set(re.split(r"[/:]", user)) if at else parts


def _warnings(settings: Settings, name: str, mode: int) -> Iterator[str]:
    secret = list(_secret_texts(settings))
    if not settings.endpoints:
        yield f"{name}: no endpoints are set: results are stored, but nobody is notified"
    elif settings.routes == ():
        yield f"{name}: routes is an empty list, so nobody is notified; remove the key to notify every endpoint"
    if any(_SHELL.fullmatch(text.written) for key, _, text in secret if key != "url"):
        yield f"{name}: a secret is written as $NAME, which is taken literally; a variable is written ${{NAME}}"
    literal = any(
        not has_reference(text.written, stored=True)
        for key, header, text in secret
        if key != "proxy" and (key != "headers" or is_secret_header(header))
    )
    if settings.store is not None and names_postgres(settings.store):
        literal |= any(not has_reference(unquote(text)) for text in PostgresUrl(settings.store).secrets)
    if literal and mode & stat.S_IROTH:
        how = "chmod o-r it, or write ${NAME}, file:PATH or credential:NAME"
        yield f"{name}: holds secrets and is readable by others; {how}"


def _parse(
    node: Pairs, *, name: str, found: Sequence[Problem] = (), context: ReferenceContext | None = None
) -> Settings:
    """The settings in `node`. Without `context`, references stay references; with it they are replaced.

    ConfigError has a line `name:line:column: key: what is wrong` for each mistake, sorted by location, including those
    in `found`.
    """
    tree = _tree(node)
    settings, wrong = _validated(tree, node, context)
    if settings is None or wrong or found:
        problems = {*found, *wrong, *(() if settings is None else _missing_base_urls(tree, node))}
        raise ConfigError([problem.line(name) for problem in sorted(problems)])
    return settings


def _tree(node: Pairs) -> dict[str, Any]:
    tree: dict[str, Any] = {**as_text(node)}
    if isinstance(node.values.get("providers"), Pairs):
        tree["providers"] = as_free(node.values["providers"])  # numbers in descriptions stay numbers
    return tree


def _validated(
    tree: Mapping[str, Any], node: Pairs, context: ReferenceContext | None
) -> tuple[Settings | None, set[Problem]]:
    """The settings, if they are valid, and what is wrong. pydantic's error is dropped, as it contains the input."""
    problems = {*_unknown_names(tree, node), *_account_problems(tree, node)}
    misspelled: set[Problem] = set()
    right: Node = node
    try:
        return Settings.model_validate(tree, context=context, by_alias=True, by_name=False), problems
    except ValidationError as error:
        found = [*mistakes(error, Settings, as_text(node))]
    for one in found:
        above, left = walk(right, one.path[:-1])
        if one.meant and isinstance(above, Pairs) and not left and one.meant not in above.values:
            right = respelled(right, one.path, one.meant)
            misspelled.add(_problem(one, node))
    if misspelled and isinstance(right, Pairs):
        # What follows from a misspelled key, such as "is missing", is no mistake of its own.
        whole = _tree(right)
        return None, {*misspelled, *_validated(whole, right, context)[1], *_missing_base_urls(whole, right)}
    wrong = {_problem(one, node) for one in found}
    places = {(one.location, one.key) for one in wrong}
    rest = {*problems, *_missing_base_urls(tree, node)}
    return None, wrong | {one for one in rest if (one.location, one.key) not in places}


def _problem(mistake: Mistake, node: Pairs) -> Problem:
    path = mistake.path
    if mistake.is_unknown and {path, (*path[:1], "*", *path[2:])} & LATER_KEYS:
        return at_key(node, path, "is not in this version; remove it")
    return mistake.problem(node)


def _unknown_names(tree: Mapping[str, Any], node: Pairs) -> Iterator[Problem]:
    """Routes that name unknown accounts or endpoints."""
    routes = tree.get("routes")
    for number, route in enumerate(routes if isinstance(routes, list) else ()):
        for section in ("accounts", "endpoints"):
            known = tree.get(section) or {}
            if not isinstance(known, dict) or (section == "accounts" and not known):
                continue  # that is a mistake already
            names = route.get(section) if isinstance(route, dict) else None
            for position, name in enumerate(names if isinstance(names, list) else ()):
                if isinstance(name, str) and name not in known:
                    steps: KeyPath = ("routes", number, section, position)
                    yield at_value(node, steps, unknown_name(section.removesuffix("s"), name, known))


def _account_problems(tree: Mapping[str, Any], node: Pairs) -> Iterator[Problem]:
    """Accounts with an unknown provider, or without exactly one kind of key."""
    own = _mapping(tree.get("providers"))
    known = (*builtin_names(), *own)
    for name, account in _accounts(tree):
        provider = account.get("provider")
        if isinstance(provider, str) and provider not in known:
            yield at_value(node, ("accounts", name, "provider"), unknown_provider(provider, known))
        key, message = _key_mistake(account)
        if message and not (key not in account and _needs_no_key(provider, own)):
            yield at_key(node, ("accounts", name, key), message, holder=key not in account)


def _missing_base_urls(tree: Mapping[str, Any], node: Pairs) -> Iterator[Problem]:
    """Accounts that need a base URL and have none. If there are no other mistakes, the catalogue reports them."""
    own = _mapping(tree.get("providers"))
    for name, account in _accounts(tree):
        provider = account.get("provider")
        if isinstance(provider, str) and "base_url" not in account:
            if (lacking := lacking_base_url(provider, own)) is not None:
                yield at_value(node, ("accounts", name, "base_url"), lacking)


def _accounts(tree: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, account in _mapping(tree.get("accounts")).items():
        if isinstance(account, dict):
            yield name, {key: value for key, value in account.items() if value is not None}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _needs_no_key(provider: object, own: Mapping[str, Any]) -> bool:
    ask = effective_tree(provider, own).get("ask") if isinstance(provider, str) else None
    return isinstance(ask, Mapping) and ask.get("auth") == "none"


def _key_mistake(account: Mapping[str, Any]) -> tuple[str, str]:
    """The key with the mistake, and the mistake; empty if there is an api_key or a whole pair of keys."""
    pair = [key for key in ("access_key", "secret_key") if key in account]
    if "api_key" in account:
        return (pair[0], "cannot be combined with api_key; remove one of them") if pair else ("", "")
    if len(pair) == 1:
        return pair[0], "set both access_key and secret_key"
    return ("", "") if pair else ("api_key", "is missing")
