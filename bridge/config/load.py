"""Loads the whole settings file: checks it, resolves its references, and collects the texts that must never be
printed."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypedDict
from urllib.parse import quote, unquote

from bridge.config.field_types import LEVELS, LOG_FORMATS, ROBOTS
from bridge.config.model import Account, Apprise, Log, Settings, Webhook
from bridge.config.parse import parse
from bridge.config.postgres_url import MIN_SECRET_CHARS, PostgresUrl, names_postgres
from bridge.config.problems import Problem
from bridge.config.secret import ReferenceContext, SecretText, has_reference
from bridge.config.settings_file import SettingsFile, named_store, read_settings
from bridge.config.validators import one_of
from bridge.config.yaml import YamlProblem
from bridge.domain.proxies import ProxyRules
from bridge.errors import ConfigError

_HOST: Final = re.compile(r"localhost|([a-z0-9-]+\.)+[a-z]{2,}|[0-9]+(\.[0-9]+){3}|[0-9]{1,5}")
_SHELL: Final = re.compile(r"\$[A-Z][A-Z0-9_]*")
_TOKEN: Final = re.compile(r"\d|.{20}")  # looks like a token, unlike words in a path such as "webhooks"
_SECRET_HEADER: Final = re.compile(r"auth|token|key|secret|cookie|password", re.IGNORECASE)
_SECRET_KEYS: Final = (
    *("api_key", "access_key", "secret_key", "callback_secret", "secret", "headers", "urls", "proxy"),
    *("token", "read_token"),
)


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
    file = read_settings(path, repeated)
    found = [Problem((one.line, one.column), "", one.message) for one in repeated]
    try:
        settings = parse(file.node, name=file.name, found=found)
    except ConfigError:
        if resolvable:
            parse(file.node, name=file.name, found=found, context=_context(file, env))
        raise
    warnings = tuple(_warnings(settings, file.name, file.mode))
    loaded = Loaded(**vars(file), settings=settings, warnings=warnings, proxies=ProxyRules.of(env))
    log_settings(loaded, env)
    return loaded


def resolve(loaded: Loaded, env: Mapping[str, str]) -> Loaded:
    """The same settings with every reference replaced. ConfigError has a line for each one that cannot be resolved."""
    context = _context(loaded, env)
    settings = parse(loaded.node, name=loaded.name, context=context)
    warnings = tuple(dict.fromkeys((*loaded.warnings, *context.warnings)))
    return replace(loaded, settings=settings, warnings=warnings, found=tuple(context.found), env=env)


def _context(file: SettingsFile, env: Mapping[str, str]) -> ReferenceContext:
    return ReferenceContext(env=env, base_dir=file.path.parent)


def log_settings(loaded: Loaded, env: Mapping[str, str], options: Mapping[str, str] | None = None) -> Log:
    """How to log: the settings, overridden by $GENBRIDGE_LOG_LEVEL and $GENBRIDGE_LOG_FORMAT, and these by the
    `options` `level` and `format` of the command line."""
    problems: list[str] = []
    chosen: dict[str, str] = {}
    for key, known in (("level", LEVELS), ("format", LOG_FORMATS)):
        variable = f"GENBRIDGE_LOG_{key.upper()}"
        try:
            if env.get(variable):
                chosen[key] = one_of(env[variable].lower(), known, key)
        except ValueError as error:
            problems.append(f"{variable}: {error}")
    if problems:
        raise ConfigError(problems)
    return loaded.settings.log.model_copy(update={**chosen, **(options or {})})


def secrets(resolved: Loaded, env: Mapping[str, str]) -> list[str]:
    """Every text that must not be printed, longest first: keys, header values, proxies, chat URLs and their secret
    parts, the values of references in webhook addresses, and the store's password; also percent-encoded and decoded."""
    texts = {value for value in resolved.found if not _HOST.fullmatch(value)}
    store = named_store(resolved, env)
    texts |= store.secrets if isinstance(store, PostgresUrl) else set()
    for key, _, secret in _secret_texts(resolved.settings):
        value = secret.reveal()
        if key == "url":  # the URL of a group robot
            texts |= {part for part in _secret_parts(value) if _TOKEN.search(part)}
        else:
            texts |= {value, value.removeprefix("whsec_"), *value.split()}
        if key in {"urls", "proxy"}:
            texts |= _secret_parts(value)
    for proxy in (resolved.proxies.http, resolved.proxies.https):
        texts |= set(re.split(r":", (proxy or "").partition("://")[2].rpartition("@")[0]))
    texts |= {other for text in texts for other in (quote(text, safe=""), unquote(text, errors="replace"))}
    return sorted((text for text in texts if len(text) >= MIN_SECRET_CHARS), key=lambda text: (-len(text), text))


def _secret_texts(settings: Settings) -> Iterator[tuple[str, str, SecretText]]:
    """Each secret text with its key; for the value of a header, also the header's name. Of the webhooks' addresses,
    only those of group robots are secret: anyone who knows one can write into the chat."""
    for owner in (*settings.accounts.values(), *settings.endpoints.values(), settings.http):
        for key in _SECRET_KEYS:
            value = getattr(owner, key, None)
            for name, text in value.items() if isinstance(value, dict) else (("", each) for each in _listed(value)):
                if (key, text.written) != ("proxy", "none"):
                    yield key, name, text
        if isinstance(owner, Webhook) and owner.format in ROBOTS:
            yield "url", "", owner.url


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
    if any(_SHELL.fullmatch(text.written) for key, _, text in secret if key != "url"):
        yield f"{name}: a secret is written as $NAME, which is taken literally; a variable is written ${{NAME}}"
    literal = any(
        not has_reference(text.written, stored=True)
        for key, header, text in secret
        if key != "proxy" and (key != "headers" or _SECRET_HEADER.search(header))
    )
    if settings.store is not None and names_postgres(settings.store):
        literal |= any(not has_reference(unquote(text)) for text in PostgresUrl(settings.store).secrets)
    if literal and mode & stat.S_IROTH:
        yield f"{name}: holds secrets and is readable by others; chmod o-r it, or write ${{NAME}}, file: or credential:"


def _listed(value: SecretText | tuple[SecretText, ...] | None) -> tuple[SecretText, ...]:
    return value if isinstance(value, tuple) else () if value is None else (value,)
