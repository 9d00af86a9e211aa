"""What `check` reports: warnings about valid settings, the store, the sources, and the answers of servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Final, cast

import anyio

from bridge.clock import SystemClock
from bridge.config.changed_meanings import changed_meanings
from bridge.config.endpoint_settings import Apprise, Webhook
from bridge.config.load import Loaded
from bridge.config.model import Account
from bridge.control.archive_check import archive_findings, archive_reached
from bridge.control.formats import span
from bridge.control.machine_check import DatedClient, clock_finding, disk_findings, listen_finding
from bridge.control.service_user import seen_by, service_user
from bridge.control.store_survey import survey
from bridge.domain.event import OPERATOR_TOPICS
from bridge.domain.finding import Finding, Level
from bridge.domain.plurals import count
from bridge.domain.task import ABOUT_ACCOUNT, Reading, ReadingKind
from bridge.errors import GenbridgeError
from bridge.expressions.hook_url import plain_url
from bridge.net.client import Answer, Request, Unanswered
from bridge.net.failure_kinds import Failure
from bridge.ports import Intake, Provider, TaskLists
from bridge.providers.base_url_advice import advice, repeated_path
from bridge.providers.description import Description
from bridge.providers.task_requests import harmless_action
from bridge.sinks.apprise_plugin import usable_plugin
from bridge.sinks.chat_services import ROBOTS, host_warning, probe_url
from bridge.sinks.hook_address import SAMPLE, has_address_without_task
from bridge.sinks.judging import redirection
from bridge.sinks.message_values import ChatStyle
from bridge.sinks.texts import fault_of_template
from bridge.wiring.account_catalogue import base_url_of, known_providers
from bridge.wiring.parts import file_sources
from bridge.wiring.plan_builder import PlanBuilder
from bridge.wiring.store_location import StoreLocation

CONNECT_S: Final = 10.0
TAKES_NO_FILES: Final = "accepts no files from this kind of endpoint: with attach: file, results are sent as links"
PROBE_ID: Final = "genbridge-check"  # an unused id: polling it is harmless and free
# Any answer about the task is good enough: some aggregators answer the same for every id.
ANSWERING: Final = (
    frozenset(ReadingKind)
    - ABOUT_ACCOUNT
    - {ReadingKind.RATE_LIMITED, ReadingKind.TRANSIENT, ReadingKind.AMBIGUOUS, ReadingKind.NO_ROUTE}
)


def check_offline(loaded: Loaded, placed: StoreLocation) -> Iterator[Finding]:
    """The findings about valid settings, their store and their sources. Creates and sends nothing."""
    settings = loaded.settings
    accounts, endpoints = count(len(settings.accounts), "account"), count(len(settings.endpoints), "endpoint")
    yield Finding(Level.OK, "settings", f"{loaded.path}: {accounts}, {endpoints}")
    for warning in loaded.warnings:
        yield Finding(Level.WARNING, "settings", warning)
    for thing, warning in (*_about_accounts(loaded), *_about_endpoints(loaded)):
        yield Finding(Level.WARNING, thing, warning)
    user = service_user(loaded.path)
    yield from seen_by(user, partial(archive_findings, loaded))
    yield from _store(loaded, placed)
    yield from disk_findings(loaded, placed.place)
    sources = file_sources(loaded, intake=cast(Intake, None), clock=SystemClock())  # they are not run
    yield from seen_by(user, lambda: (source.inspect() for source in sources))


async def check_online(loaded: Loaded) -> AsyncIterator[Finding]:
    """Yields the result of each network check: of accounts, lists for `discover`, endpoints, the archive's bucket, and
    this machine's clock. The checks notify nobody."""
    known = known_providers(loaded)
    offsets_s: list[float] = []
    async with aclosing(PlanBuilder(SystemClock(), client=partial(DatedClient, offsets_s))) as builder:
        for name, account in loaded.settings.accounts.items():
            plan = builder.account(name, loaded)
            yield await _asked(plan.provider, f"accounts.{name}", account, known[account.provider])
            if account.discover_s is not None and plan.lists is not None:
                yield await _listed(name, plan.lists, account.action)
        for name, endpoint in loaded.settings.endpoints.items():
            if isinstance(endpoint, Apprise):
                for place, chat in enumerate(endpoint.urls, 1):
                    direct = not (endpoint.proxy or loaded.proxies.http or loaded.proxies.https)
                    yield await _chat(
                        f"endpoints.{name}[{place}]", usable_plugin(chat.reveal()).server if direct else None
                    )
                continue
            client = builder.client_of(name, endpoint, loaded)
            url = plain_url(endpoint.url.reveal(), SAMPLE)
            if (asked := probe_url(endpoint.format, url)) is not None:
                answer = await client.fetch(Request(method="GET", url=asked), cap_bytes=65536)
                yield _known_there(f"endpoints.{name}", answer, asked)
            else:
                answer = await client.fetch(Request(method="GET", url=url), cap_bytes=1024)
                yield _reached(f"endpoints.{name}", answer, url)
    for finding in (clock_finding(offsets_s), await archive_reached(loaded)):
        if finding is not None:
            yield finding


def _store(loaded: Loaded, placed: StoreLocation) -> Iterator[Finding]:
    """The state of the store, and of `http.listen` unless a daemon that works on the store listens there. If an older
    version made the store, also the settings that have changed since that version."""
    try:
        found = survey(placed.place)
    except GenbridgeError as error:
        yield Finding(Level.ERROR, "store", str(error).removeprefix("store "), error.exit_code)
        return
    yield Finding(Level.OK, "store", found.seen)
    if placed.warning:
        yield Finding(Level.WARNING, "store", placed.warning)
    listens = None if found.is_held else listen_finding(loaded, is_shared=not isinstance(placed.place, Path))
    if listens is not None:
        yield listens
    if found.is_older:
        for key, change in changed_meanings(loaded.node):
            yield Finding(Level.OK, "changed", f"{key} since 0.1.0: {change}")


def _about_accounts(loaded: Loaded) -> Iterator[tuple[str, str]]:
    """Accounts whose results, without an archive, may be gone before the last retry of a delivery. And base URLs that
    end with the beginning of the provider's path, so that requests would contain it twice."""
    known, settings = known_providers(loaded), loaded.settings
    retried_s = sum(settings.delivery.retries_s) if settings.endpoints else 0.0
    for name, account in settings.accounts.items():
        description = known[account.provider]
        life = description.result_life
        if life is not None and life.lasts < retried_s and settings.archive is None:
            seen = f"results last {span(life.lasts)}, but deliveries are retried for {span(retried_s)}"
            yield f"accounts.{name}", f"{seen}: a receiver that is notified later cannot fetch them; set archive"
        repeated = repeated_path(description, account.base_url) if account.base_url else None
        if repeated is not None:
            seen = f"base_url ends with {repeated.part}, and the provider's path begins with it"
            yield f"accounts.{name}", f"{seen}; use {repeated.base_url}"


def _about_endpoints(loaded: Loaded) -> Iterator[tuple[str, str]]:
    routes = loaded.settings.routes
    operator = [route for route in routes or () if route.topics is None or OPERATOR_TOPICS & set(route.topics)]
    reached = {name for route in operator for name in route.endpoints}
    for name, endpoint in loaded.settings.endpoints.items():
        thing = f"endpoints.{name}"
        if isinstance(endpoint, Webhook):
            is_told = routes is None or name in reached
            yield from ((thing, warning) for warning in _about_webhook(endpoint, gets_operator_topics=is_told))
        else:
            yield from ((f"{thing}[{place}]", warning) for place, warning in _about_chats(endpoint))
        if endpoint.is_for_people:
            style = ChatStyle(language=endpoint.language, timezone=endpoint.timezone)
            for part, source in (("title", endpoint.title), ("body", endpoint.body)):
                if source is not None and (fault := fault_of_template(source, style)) is not None:
                    yield f"{thing}.{part}", fault


def _about_webhook(endpoint: Webhook, *, gets_operator_topics: bool) -> Iterator[str]:
    """A chat service that wants another format, an address that needs a task, and files that are not accepted."""
    if (warning := host_warning(endpoint.url.reveal(), endpoint.format)) is not None:
        yield warning
    if gets_operator_topics and not has_address_without_task(endpoint.url.reveal()):
        yield "its url needs a task, which operator topics do not have: route those topics to another endpoint"
    if endpoint.attach == "file" and not ROBOTS[endpoint.format].file_bytes:
        yield f"{endpoint.format} {TAKES_NO_FILES}"


def _about_chats(endpoint: Apprise) -> Iterator[tuple[int, str]]:
    """URLs with several targets, which genbridge can only notify together, and services that accept no files."""
    for place, url in enumerate(endpoint.urls, 1):
        plugin = usable_plugin(url.reveal())
        if plugin.mixes_targets:
            seen = "several targets that cannot be notified separately: when one fails, the others are notified again"
            yield place, f"{seen}; write one URL for each target"
        if endpoint.attach == "file" and not plugin.takes_files:
            yield place, f"the service {TAKES_NO_FILES}"


async def _asked(provider: Provider, thing: str, account: Account, description: Description) -> Finding:
    """What the account answers about an unused task id."""
    reading = await provider.poll(PROBE_ID, account.action or harmless_action(description))
    level = Level.OK if reading.kind in ANSWERING else Level.ERROR
    if (reading.is_vague and reading.kind is not ReadingKind.NO_ROUTE) or reading.kind is ReadingKind.RATE_LIMITED:
        level = Level.WARNING
    to_do = "" if level is Level.OK else advice(description, base_url_of(account, description), reading)
    seen = (f"reachable ({reading.detail or reading.kind})",) if level is Level.OK else (reading.detail, to_do)
    return Finding(level, thing, ": ".join(part for part in seen if part) or str(reading.kind))


async def _listed(name: str, lists: TaskLists, action: str | None) -> Finding:
    """The result of requesting the first page of the account's first list."""
    thing, page = f"accounts.{name}.discover", lists.first_pages(action)[0]
    answer = await lists.list_page(page)
    if isinstance(answer, Reading):
        return Finding(Level.ERROR, thing, f"the list cannot be read: {answer.detail or answer.kind}")
    of_action = f" of {page.action}" if page.action else ""
    return Finding(Level.OK, thing, f"reads the list{of_action}: {len(answer.tasks)} tasks on its first page")


async def _chat(thing: str, server: tuple[str, int] | None) -> Finding:
    """Whether the server of a chat URL can be reached, if the URL contains one. Nothing is sent to it."""
    seen = "usable; `genbridge test` sends a sample"
    if server is not None:
        host, port = server
        try:
            with anyio.fail_after(CONNECT_S):
                await (await anyio.connect_tcp(host, port)).aclose()
        except (OSError, TimeoutError):
            return Finding(Level.WARNING, thing, f"{host} port {port} cannot be reached: check the URL and the server")
        seen = f"{host} port {port} can be reached; `genbridge test` sends a sample"
    return Finding(Level.OK, thing, seen)


def _known_there(thing: str, answer: Answer | Unanswered, url: str) -> Finding:
    """What a chat service answers about its robot. 401 and 404 mean that this robot does not exist."""
    if isinstance(answer, Answer) and answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND}:
        seen = f"HTTP {answer.status}: the service does not know this robot; copy its url again"
        return Finding(Level.ERROR, thing, seen)
    if isinstance(answer, Answer) and answer.status == HTTPStatus.OK:
        return Finding(Level.OK, thing, "the service knows this robot; `genbridge test` sends a sample")
    return _reached(thing, answer, url)


def _reached(thing: str, answer: Answer | Unanswered, url: str) -> Finding:
    """What a webhook's answer to a GET means. A receiver may not support GET, so 401, 404 and 405 are fine."""
    if isinstance(answer, Unanswered):
        check = "proxy" if "the proxy " in answer.reason else "url, and whether the receiver is running"
        says_it = answer.kind is Failure.TLS or "this network requires " in answer.reason
        to_do = "" if says_it else f": check {check}"
        return Finding(Level.ERROR, thing, answer.reason + to_do)
    seen = f"HTTP {answer.status} to a GET"
    moved = redirection(answer.status, answer.headers.get("location"), asked=url)
    if moved is not None:
        return Finding(Level.ERROR, thing, f"{seen}: {moved}; write the final address as url")
    if answer.status == HTTPStatus.GONE:
        return Finding(Level.WARNING, thing, f"{seen}: the same answer to a POST would disable the endpoint")
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Finding(Level.WARNING, thing, f"{seen}: the receiver is reachable but failing")
    return Finding(Level.OK, thing, f"reachable ({seen})")
