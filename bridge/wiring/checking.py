"""Mistakes in settings that only the rooms can find. `run`, `once`, `check` and `test` report the same ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, ParamSpec

from bridge.clock import SystemClock
from bridge.config.endpoint_settings import Apprise, Webhook
from bridge.config.load import Loaded, secrets, sound_part
from bridge.config.model import Account
from bridge.config.postgres_url import names_postgres
from bridge.config.provider_trees import official_host
from bridge.config.secret import SecretText
from bridge.config.yaml_nodes import KeyPath
from bridge.domain.proxies import NO_PROXY, ProxyRules
from bridge.domain.source import SourceKind
from bridge.errors import ConfigError, how_to_install
from bridge.expressions.query import Query
from bridge.net.client import address_problem, proxy_problem
from bridge.redaction import hide
from bridge.sinks.hook_address import HookAddress
from bridge.sources.queue_files import takes
from bridge.wiring.account_catalogue import catalogue
from bridge.wiring.plan_builder import PlanBuilder

Checked = Iterator[tuple[KeyPath, str | None]]  # each key with what is wrong; None: nothing
P = ParamSpec("P")

_LOCATION: Final = re.compile(r":(\d+):(\d+): ")


def with_further_mistakes(error: ConfigError, path: Path, env: Mapping[str, str]) -> ConfigError:
    """The mistakes of settings that are not valid, together with those that `check` finds in the parts that are."""
    rest = sound_part(path, env)
    if rest is None:
        return error
    try:
        hide(secrets(rest, env))
        check(rest)
    except ConfigError as further:
        return ConfigError(sorted({*error.problems, *further.problems}, key=_location))
    return error


def _location(line: str) -> tuple[int, ...]:
    """Where a mistake is, according to its line `file:line:column: ...`."""
    found = _LOCATION.search(line)
    return tuple(map(int, found.groups())) if found else ()


def check(loaded: Loaded) -> None:
    """ConfigError with every mistake that only the rooms can find in resolved settings, each with its location."""
    problems = [*_refusal(catalogue, loaded), *dict.fromkeys(loaded.problems(_mistakes(loaded)))]
    if not problems:
        problems += _unbuildable(loaded)
    if problems:
        raise ConfigError(problems)


def _mistakes(loaded: Loaded) -> Iterator[tuple[KeyPath, str]]:
    for name, account in loaded.settings.accounts.items():
        yield from _named(("accounts", name), _account_problems(account, loaded))
    for name, endpoint in loaded.settings.endpoints.items():
        if isinstance(endpoint, Webhook):
            found = _webhook_problems(endpoint, loaded.proxies)
        else:
            found = _chat_problems(endpoint, loaded.proxies)
        yield from _named(("endpoints", name), found)

    yield from _own_files_in_queue(loaded)
    archive = loaded.settings.archive
    if archive is not None and archive.folder is None and find_spec("obstore") is None:
        how = how_to_install("s3", "obstore>=0.12")
        yield ("archive", "to"), f"the Python package for buckets is missing: {how}"


def _own_files_in_queue(loaded: Loaded) -> Iterator[tuple[KeyPath, str]]:
    """The first file or folder in these settings that the queue would take as a task file, and remove."""
    archive, store, sources = loaded.settings.archive, loaded.settings.store, dict(loaded.source_paths)
    folder = sources.pop(SourceKind.QUEUE, None)
    if folder is None:
        return
    named = {  # the archive's own files are all in one folder for each year
        "the settings file": str(loaded.path),
        **{f"sources.{kind}": str(path) for kind, path in sources.items()},
        "store": None if store is None or names_postgres(store) else store,
        "archive.to": None if archive is None or archive.folder is None else f"{archive.folder}/2026",
    }
    for what, path in named.items():
        if path is not None and takes(folder, loaded.under(path)):
            yield ("sources", "queue"), f"genbridge would take {what} as a task file; name a folder of its own"
            return


def _named(above: KeyPath, found: Checked) -> Iterator[tuple[KeyPath, str]]:
    for key, wrong in found:
        if wrong is not None:
            yield (*above, *key), wrong


def _account_problems(account: Account, loaded: Loaded) -> Checked:
    if account.base_url is not None:
        yield ("base_url",), address_problem(account.base_url)
    base_url = account.base_url or official_host(account.provider, loaded.settings.providers)
    yield from _proxy_problems(account.proxy, base_url, loaded.proxies)


def _webhook_problems(endpoint: Webhook, environment: ProxyRules) -> Checked:
    url = endpoint.url.reveal()
    yield ("url",), address_problem(url) or _problem(HookAddress, url)
    yield from _proxy_problems(endpoint.proxy, url, environment)
    if endpoint.accept is not None:
        yield ("accept",), _problem(Query, endpoint.accept)
    if endpoint.is_for_people:
        yield from _text_problems(endpoint)
    elif endpoint.body is not None:
        from bridge.sinks.template_payloads import body_template  # here and below: few settings have templates or chats

        yield ("body",), _problem(body_template, endpoint.body)


def _problem(build: Callable[[str], object], text: str) -> str | None:
    """Why this cannot be built, in one line; None if it can."""
    try:
        build(text)
    except ValueError as error:
        return str(error)
    return None


def _proxy_problems(proxy: SecretText | None, url: str, environment: ProxyRules) -> Checked:
    """What is wrong with the proxy of an account or endpoint, or with the proxy that the environment sets for `url`."""
    if proxy is None:
        yield ("proxy",), proxy_problem(url, environment)
    elif proxy.reveal() != NO_PROXY:
        yield ("proxy",), address_problem(proxy.reveal())


def _text_problems(endpoint: Webhook | Apprise) -> Checked:
    for key, template in (("title", endpoint.title), ("body", endpoint.body)):
        if template is not None:
            from bridge.sinks.texts import chat_template

            yield (key,), _problem(chat_template, template)


def _chat_problems(endpoint: Apprise, environment: ProxyRules) -> Checked:
    yield from _proxy_problems(endpoint.proxy, "", environment)
    yield from _text_problems(endpoint)
    from bridge.sinks.apprise_plugin import check_url

    for place, url in enumerate(endpoint.urls):
        yield ("urls", place), check_url(url.reveal())


def _unbuildable(loaded: Loaded) -> Iterator[str]:
    """Other mistakes that make an account or endpoint unusable. Sends nothing."""
    builder = PlanBuilder(SystemClock())
    for name in loaded.settings.accounts:
        yield from _refusal(builder.account, name, loaded)
    for name in loaded.settings.endpoints:
        yield from _refusal(builder.endpoint, name, loaded)
    yield from _refusal(builder.archive, loaded)


def _refusal(build: Callable[P, object], *args: P.args, **more: P.kwargs) -> Sequence[str]:
    """The mistakes that keep this from being built."""
    try:
        build(*args, **more)
    except ConfigError as error:
        return error.problems
    return ()
