"""From settings to objects: the only file that sees every room. `app.py` runs what is built here."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit

from bridge import __version__
from bridge.config.load import Loaded
from bridge.config.model import Account, Apprise, Settings, Webhook, fingerprint
from bridge.config.secret import SecretText
from bridge.domain.backoff import RetryPlan
from bridge.domain.cadence import Pacing
from bridge.domain.delivery import Delivery, Outcome
from bridge.domain.event import Event, Parcel
from bridge.domain.limits import Limits
from bridge.domain.routes import Route, destinations, wanted_live_topics
from bridge.domain.sample import sample_event
from bridge.domain.task import ABOUT_ACCOUNT, Kind
from bridge.domain.watch import Rules
from bridge.engine.janitor import Retention
from bridge.engine.lane import EndpointPlan
from bridge.engine.steps import AccountPlan
from bridge.errors import ConfigError
from bridge.net.client import HttpClient, Request, Unanswered
from bridge.ports import Clock, Intake, Sink, Source, Tell
from bridge.providers import harmless_action
from bridge.providers.provider import HttpProvider
from bridge.providers.signing import of_pair
from bridge.reader import catalogue, task_reader
from bridge.sinks.chat import ChatSink, ChatUrl, check_url
from bridge.sinks.own_payloads import check_body
from bridge.sinks.texts import check_template
from bridge.sinks.webhook import WebhookSink
from bridge.sources.lines import Lines
from bridge.sources.queue import Queue
from bridge.sources.watchlist import Watchlist

CHAT_CONCURRENCY: Final = 1  # one message at a time to each chat keeps them in order
PROBE_ID: Final = "genbridge-check"  # an id nobody has: asking about it is harmless and free
# An answer about the task, whatever it says: some gateways have one for any id.
ANSWERING: Final = frozenset(Kind) - ABOUT_ACCOUNT - {Kind.RATE_LIMITED, Kind.TRANSIENT, Kind.AMBIGUOUS}


class Workshop:
    """Builds accounts' and endpoints' plans; what has not changed since the last call is handed out again.

    Settings must be resolved. Connections live until `retire` finds them replaced, or until `close` (or the end of the
    `async with`).
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._clients: dict[tuple[str, str], HttpClient] = {}  # by the kind and the name of what they serve
        self._replaced: list[HttpClient] = []
        self._accounts: dict[str, tuple[object, AccountPlan]] = {}
        self._endpoints: dict[str, tuple[object, EndpointPlan]] = {}

    async def __aenter__(self) -> Workshop:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        self._replaced += self._clients.values()
        self._clients.clear()
        await self._close_replaced()

    async def retire(self, loaded: Loaded) -> None:
        """Close the connections of what these settings, which are in force by now, do not hold, or hold otherwise: of
        those with an exchange under way each when it ends."""
        kept = {("account", name) for name in loaded.settings.accounts}
        kept |= {("endpoint", name) for name in loaded.settings.endpoints}
        for whose in self._clients.keys() - kept:
            self._replaced.append(self._clients.pop(whose))
        self._accounts = {name: made for name, made in self._accounts.items() if ("account", name) in kept}
        self._endpoints = {name: made for name, made in self._endpoints.items() if ("endpoint", name) in kept}
        await self._close_replaced()

    def accounts(self, loaded: Loaded) -> dict[str, AccountPlan]:
        """How each account is to be polled. ConfigError for a proxy or CA file that cannot be used."""
        return {name: self._account(name, account, loaded) for name, account in loaded.settings.accounts.items()}

    def endpoints(self, loaded: Loaded) -> dict[str, EndpointPlan]:
        """How each endpoint is to be served. ConfigError as above, and for a template that cannot be used."""
        return {name: self._endpoint(name, endpoint, loaded) for name, endpoint in loaded.settings.endpoints.items()}

    async def reach(self, loaded: Loaded) -> AsyncIterator[tuple[str, bool, str]]:
        """Ask each account about a task nobody has, and see whether each webhook's address answers at all (by a
        GET, so that nothing is told). Yields what, whether it works, and what came back."""
        settings = loaded.settings
        for name, plan in self.accounts(loaded).items():
            account = settings.accounts[name]
            action = account.action or harmless_action(catalogue(loaded)[account.provider])
            reading = await plan.provider.ask(PROBE_ID, action)
            detail = f"{reading.kind}: {reading.detail}" if reading.detail else reading.kind
            yield f"accounts.{name}", reading.kind in ANSWERING, detail
        for name, endpoint in settings.endpoints.items():
            if isinstance(endpoint, Apprise):
                for place, url in enumerate(endpoint.urls, 1):
                    wrong = check_url(url.reveal())
                    yield (
                        f"endpoints.{name}[{place}]",
                        wrong is None,
                        wrong or "usable; `genbridge test` sends a sample",
                    )
                continue
            client = self._client(
                ("endpoint", name), endpoint, loaded, endpoint.concurrency, settings.delivery.timeout_s
            )
            answer = await client.fetch(Request(method="GET", url=endpoint.url.reveal()), cap_bytes=1024)
            if isinstance(answer, Unanswered):
                yield f"endpoints.{name}", False, answer.reason
            else:
                yield f"endpoints.{name}", True, f"it answers (HTTP {answer.status} to a GET)"

    async def send_sample(self, loaded: Loaded, endpoint: str) -> list[tuple[str, Outcome]]:
        """Hand the sample event to one endpoint: each target with its outcome."""
        sink = self.endpoints(loaded)[endpoint].sink
        event = sample_event(self._clock.now())
        outcomes = []
        for parcel in sink.parcels(event):
            delivery = Delivery(
                delivery_id=0,
                event_id=event.event_id,
                endpoint=endpoint,
                target=parcel.target,
                topic=event.topic,
                account=event.account,
                subject=event.subject,
                attempts=0,
                body=parcel.body,
            )
            outcomes.append((parcel.target, await sink.deliver(delivery)))
        return outcomes

    async def _close_replaced(self) -> None:
        while self._replaced:
            await self._replaced.pop().aclose()

    def _account(self, name: str, account: Account, loaded: Loaded) -> AccountPlan:
        settings = loaded.settings
        basis = (account, settings.polling, settings.routes, settings.providers)
        kept = self._accounts.get(name)
        if kept and kept[0] == basis:
            return kept[1]
        polling = settings.polling
        secrets = [secret.reveal() for secret in (account.access_key, account.secret_key) if secret is not None]
        known = catalogue(loaded)[account.provider]
        key, signer = of_pair(known.key_pair, secrets, now=self._clock.now)
        provider = HttpProvider(
            known,
            base_url=account.base_url,
            api_key=account.api_key.reveal() if account.api_key else "",
            key=key,
            signer=signer,
            client=self._client(("account", name), account, loaded, account.limits.concurrency, polling.timeout_s),
            headers=_revealed(account.headers),
            origins=account.origins,
            secrets=secrets,
        )
        plan = AccountPlan(
            provider=provider,
            provider_name=account.provider,
            host=urlsplit(account.base_url).netloc.lower(),
            limits=Limits(rate=account.limits.rate, burst=account.limits.burst, concurrency=account.limits.concurrency),
            pacing=Pacing(
                min_interval_s=polling.min_interval_s,
                max_interval_s=polling.max_interval_s,
                learned=polling.cadence == "learned",
                budget=polling.budget,
            ),
            rules=Rules(
                not_found_answers=polling.not_found.answers,
                not_found_over_s=polling.not_found.over_s,
                give_up_after_s=polling.give_up_after_s,
            ),
            live_topics=wanted_live_topics(_routes(settings)),
            is_batched=provider.is_batched,
        )
        self._accounts[name] = (basis, plan)
        return plan

    def _endpoint(self, name: str, endpoint: Webhook | Apprise, loaded: Loaded) -> EndpointPlan:
        settings = loaded.settings
        basis = (endpoint, settings.delivery, settings.polling.transport)
        known = self._endpoints.get(name)
        if known and known[0] == basis:
            return known[1]
        sink: Sink
        if isinstance(endpoint, Webhook):
            concurrency = endpoint.concurrency
            sink = WebhookSink(
                name=name,
                url=endpoint.url.reveal(),
                api_key=endpoint.api_key.reveal() if endpoint.api_key else None,
                secrets=[secret.reveal() for secret in endpoint.secret],
                headers=_revealed(endpoint.headers),
                client=self._client(("endpoint", name), endpoint, loaded, concurrency, settings.delivery.timeout_s),
                clock=self._clock,
                version=__version__,
                form=endpoint.format,
                template=endpoint.template,
                body=endpoint.body,
            )
        else:
            concurrency = CHAT_CONCURRENCY
            sink = ChatSink(
                name=name,
                urls=[ChatUrl(text=url.written, url=url.reveal()) for url in endpoint.urls],
                title=endpoint.title,
                body=endpoint.body,
                timeout_s=settings.delivery.timeout_s,
            )
        retries = RetryPlan(steps_s=settings.delivery.retries_s)
        plan = EndpointPlan(sink=sink, concurrency=concurrency, retries=retries, fingerprint=fingerprint(endpoint))
        self._endpoints[name] = (basis, plan)
        return plan

    def _client(
        self, whose: tuple[str, str], whom: Account | Webhook, loaded: Loaded, concurrency: int, timeout_s: float
    ) -> HttpClient:
        client = HttpClient(
            timeout_s=timeout_s,
            concurrency=concurrency,
            proxy=whom.proxy.reveal() if whom.proxy else None,
            ca_file=str(loaded.under(whom.ca_file)) if whom.ca_file else None,
            kind=loaded.settings.polling.transport,
        )
        if whose in self._clients:
            self._replaced.append(self._clients[whose])
        self._clients[whose] = client
        return client


def tell(settings: Settings, endpoints: Mapping[str, EndpointPlan]) -> Tell:
    """From an event to the bytes for every destination the routes name."""
    routes = _routes(settings)
    names = list(endpoints)

    def parcels(event: Event) -> Sequence[Parcel]:
        return [parcel for name in destinations(event, routes, names) for parcel in endpoints[name].sink.parcels(event)]

    return parcels


def member_name(settings: Settings) -> str:
    """What this daemon is called among those that share a store."""
    return settings.sharing.name or socket.gethostname()


def retention(settings: Settings) -> Retention:
    """How long what is over is kept."""
    kept = settings.retention
    return Retention(ended_s=kept.ended_s, delivered_s=kept.delivered_s, dead_s=kept.dead_s)


def sources(loaded: Loaded, *, intake: Intake, clock: Clock) -> list[Source]:
    """The sources the settings name."""
    reader = task_reader(loaded)
    named = loaded.settings.sources
    found: list[Source] = []
    if named.watchlist is not None:
        found.append(Watchlist(loaded.under(named.watchlist), reader=reader, intake=intake, clock=clock))
    if named.queue is not None:
        found.append(Queue(loaded.under(named.queue), reader=reader, intake=intake, clock=clock))
    if named.lines is not None:
        found.append(Lines(loaded.under(named.lines), reader=reader, intake=intake, clock=clock))
    return found


def origins(loaded: Loaded, *, is_shared: bool) -> dict[str, str]:
    """What a store calls these settings' sources: on a shared one each daemon's files are its own."""
    if not is_shared:
        return {}
    named, daemon = loaded.settings.sources, member_name(loaded.settings)
    files = {"watchlist": named.watchlist, "queue": named.queue, "lines": named.lines}
    return {source: f"{source}@{daemon}:{loaded.under(file)}" for source, file in files.items() if file is not None}


def check(loaded: Loaded, *, services: bool) -> None:
    """What only the rooms themselves can find wrong with resolved settings: ConfigError with every mistake at its
    place. `services` has Apprise look at its URLs too, which loads it (30 MiB)."""
    problems: list[str] = []
    try:
        catalogue(loaded)
    except ConfigError as error:
        problems.extend(error.problems)
    found = []
    for name, endpoint in loaded.settings.endpoints.items():
        checked: list[tuple[str | int, str | None]] = []
        if isinstance(endpoint, Webhook):
            checked += [("body", check_body(endpoint.body))] if endpoint.body is not None else []
        else:
            templates = {"title": endpoint.title, "body": endpoint.body}
            checked += [(key, check_template(text)) for key, text in templates.items() if text is not None]
        if services and isinstance(endpoint, Apprise):
            checked += [(place, check_url(url.reveal())) for place, url in enumerate(endpoint.urls)]
        for key, wrong in checked:
            path = ("endpoints", name, *(("urls", key) if isinstance(key, int) else (key,)))
            if wrong is not None:
                found.append((loaded.place(path), loaded.problem(path, wrong)))
    problems.extend(line for _, line in sorted(found))
    if problems:
        raise ConfigError(problems)


def short_lived(loaded: Loaded) -> dict[str, float]:
    """The accounts whose results may have gone by the last retry of a delivery, with the seconds that results last."""
    known, retried_s = catalogue(loaded), sum(loaded.settings.delivery.retries_s)
    lives = {name: known[account.provider].result_life for name, account in loaded.settings.accounts.items()}
    return {name: life.lasts for name, life in lives.items() if life is not None and life.lasts < retried_s}


def sources_changed(before: Settings, after: Settings) -> bool:
    """Whether sources must begin anew: they are others, or tasks are read against other names."""
    if before.sources != after.sources or before.accounts != after.accounts or before.providers != after.providers:
        return True
    return before.endpoints.keys() != after.endpoints.keys()


def _routes(settings: Settings) -> list[Route] | None:
    if settings.routes is None:
        return None
    return [
        Route(
            topics=None if route.topics is None else frozenset(route.topics),
            accounts=None if route.accounts is None else frozenset(route.accounts),
            endpoints=route.endpoints,
        )
        for route in settings.routes
    ]


def _revealed(headers: Mapping[str, SecretText]) -> dict[str, str]:
    return {name: value.reveal() for name, value in headers.items()}
