"""Builds the plans of accounts and endpoints from resolved settings: their clients, providers and sinks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from bridge import __version__
from bridge.archive.download import Download, cannot_ask
from bridge.config.endpoint_settings import Apprise, Webhook
from bridge.config.load import Loaded
from bridge.config.model import Account, Settings
from bridge.config.secret import SecretText, has_reference
from bridge.domain.backoff import RetryPlan
from bridge.domain.cadence import Pacing
from bridge.domain.ids import ARCHIVE
from bridge.domain.routes import RoutingRule, requested_topics
from bridge.domain.task import Phase
from bridge.domain.watch import Rules
from bridge.engine.plans import AccountPlan, EndpointPlan
from bridge.engine.poller import Poller
from bridge.errors import BridgeBug, ConfigError
from bridge.net.client import Answer, HttpClient, Request, written_ns
from bridge.ports import Clock, Sink
from bridge.providers.callbacks import callback_reader
from bridge.providers.description import Description
from bridge.providers.provider import HttpProvider, drop_files
from bridge.sinks.answers import AcceptRule, AnswerReader, read_nothing
from bridge.sinks.attached_files import NOTHING_KNOWN, KeptFiles, ResultFiles
from bridge.sinks.posting import PostSettings
from bridge.sinks.webhook import WebhookSink
from bridge.wiring.account_catalogue import base_url_of, known_providers, limits_of
from bridge.wiring.archive_builder import (
    COPIES_AT_ONCE,
    RETRIES,
    LinkKey,
    allowed_hosts,
    answer_spool,
    archive_sink,
    asking,
    outside_client,
    result_files,
)

KEY_SET_BYTES: Final = 64 << 10
CHAT_CONCURRENCY: Final = 1  # keeps the messages of a chat in order


class PlanBuilder:
    """Builds the plans of accounts and endpoints from resolved settings. An unchanged plan is returned again.

    Connections stay open until `retire` closes the replaced ones, or until `aclose`. `files` are results by their URLs
    that need not be downloaded. With `traffic`, copies may poll a task once more.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        link_key: LinkKey | None = None,
        traffic: Poller | None = None,
        client: Callable[..., HttpClient] = HttpClient,
        files: Mapping[str, bytes] = NOTHING_KNOWN,
    ) -> None:
        self._clock = clock
        self._new_client = client
        self._files = files
        self._kept_files = KeptFiles(0)
        self._link_key = link_key or _no_key
        self._traffic = traffic
        self._clients: dict[tuple[str, str], HttpClient] = {}  # by kind and name of the account or endpoint
        self._replaced: list[HttpClient] = []
        self._accounts: dict[str, tuple[object, AccountPlan]] = {}
        self._endpoints: dict[str, tuple[object, EndpointPlan]] = {}
        self._described: tuple[Loaded, Mapping[str, Description]] | None = None  # of the settings used last

    async def aclose(self) -> None:
        """Close every connection."""
        self._replaced += self._clients.values()
        self._clients.clear()
        await self._close_replaced()

    async def retire(self, loaded: Loaded) -> None:
        """Close the connections that these settings, which are now in force, have removed or replaced. A connection in
        use is closed when its exchange ends."""
        kept = {("account", name) for name in loaded.settings.accounts}
        kept |= {("endpoint", name) for name in loaded.settings.endpoints}
        kept |= {("endpoint", ARCHIVE)} if loaded.settings.archive is not None else set()
        for whose in self._clients.keys() - kept:
            self._replaced.append(self._clients.pop(whose))
        self._accounts = {name: made for name, made in self._accounts.items() if ("account", name) in kept}
        self._endpoints = {name: made for name, made in self._endpoints.items() if ("endpoint", name) in kept}
        self._limit_kept_files(loaded)
        await self._close_replaced()

    def accounts(self, loaded: Loaded) -> dict[str, AccountPlan]:
        """The plans of all accounts. ConfigError for a proxy or CA file that cannot be used."""
        return {name: self.account(name, loaded) for name in loaded.settings.accounts}

    def endpoints(self, loaded: Loaded) -> dict[str, EndpointPlan]:
        """The plans of all endpoints, and of the archive. ConfigError as above. The templates must be valid."""
        plans = {name: self.endpoint(name, loaded) for name in loaded.settings.endpoints}
        archive = self.archive(loaded)
        return plans if archive is None else {**plans, ARCHIVE: archive}

    def client_of(self, name: str, endpoint: Webhook, loaded: Loaded) -> HttpClient:
        timeout_s = loaded.settings.delivery.timeout_s
        return self._client(("endpoint", name), endpoint, loaded, endpoint.concurrency, timeout_s)

    async def _close_replaced(self) -> None:
        while self._replaced:
            await self._replaced.pop().aclose()

    def account(self, name: str, loaded: Loaded) -> AccountPlan:
        settings = loaded.settings
        account = settings.accounts[name]
        polling, network = settings.polling, network_basis(loaded, account)
        basis = (account, polling, settings.routes, settings.providers, settings.archive, network)
        if (kept := self._accounts.get(name)) and kept[0] == basis:
            return kept[1]
        api_key = account.api_key.reveal() if account.api_key else ""
        pair = [secret.reveal() for secret in (account.access_key, account.secret_key) if secret is not None]
        known = self._descriptions(loaded)[account.provider]
        base_url, limits = base_url_of(account, known), limits_of(account, known)
        spool = answer_spool(loaded)
        client = self._client(("account", name), account, loaded, limits.concurrency, polling.timeout_s)
        provider = HttpProvider(
            known,
            base_url=base_url,
            api_key=api_key,
            pair=pair,
            client=client,
            headers=revealed(account.headers),
            origins=account.origins,
            allowed=allowed_hosts(loaded),
            now=self._clock.now,
            keep_files=drop_files if spool is None else partial(spool.keep, name),
        )
        plan = AccountPlan(
            provider=provider,
            provider_name=account.provider,
            host=urlsplit(base_url).netloc.lower(),
            limits=limits,
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
                no_result=Phase.FAILED if polling.no_result == "task_failed" else Phase.SUCCEEDED,
            ),
            requested_topics=requested_topics(routes(settings)),
            callbacks=callback_reader(
                known,
                base_url=base_url,
                api_key=api_key,
                secrets=[secret.reveal() for secret in account.callback_secret],
                fetch=partial(_key_set, client),
            ),
            lists=provider if provider.has_list else None,
            is_batched=provider.is_batched,
        )
        self._accounts[name] = (basis, plan)
        return plan

    def endpoint(self, name: str, loaded: Loaded) -> EndpointPlan:
        settings = loaded.settings
        endpoint = settings.endpoints[name]
        basis = (
            endpoint,
            settings.delivery,
            settings.polling.transport,
            network_basis(loaded, endpoint),
            (settings.accounts, settings.providers, settings.archive) if endpoint.attach == "file" else None,
            settings.public_url,
        )
        if (kept := self._endpoints.get(name)) and kept[0] == basis:
            return kept[1]
        plan = EndpointPlan(
            sink=self._sink(name, endpoint, loaded),
            concurrency=endpoint.concurrency
            if isinstance(endpoint, Webhook) and not endpoint.is_for_people
            else CHAT_CONCURRENCY,
            retries=RetryPlan(steps_s=settings.delivery.retries_s),
            fingerprint=endpoint.fingerprint,
            in_order=endpoint.is_for_people,
        )
        self._endpoints[name] = (basis, plan)
        return plan

    def archive(self, loaded: Loaded) -> EndpointPlan | None:
        """The plan of the archive; None without an archive."""
        settings = loaded.settings
        if settings.archive is None:
            return None
        accounts = (settings.accounts, settings.providers, settings.polling, settings.routes)
        basis = (settings.archive, settings.http, accounts, network_basis(loaded, *settings.accounts.values()))
        if (kept := self._endpoints.get(ARCHIVE)) and kept[0] == basis:
            return kept[1]
        downloads = {}
        for name, account in settings.accounts.items():
            provider = self.account(name, loaded).provider
            assert isinstance(provider, HttpProvider)
            ask = cannot_ask if self._traffic is None else asking(name, provider, self._traffic, self._clock)
            client = outside_client(loaded, [self._base_url(account, loaded)], loaded.network(account))
            downloads[name] = Download(client=client, key_for=provider.key_for, ask_again=ask)
        plan = EndpointPlan(
            sink=archive_sink(
                settings.archive, loaded, downloads=downloads, clock=self._clock, link_key=self._link_key
            ),
            concurrency=COPIES_AT_ONCE,
            retries=RETRIES,
            fingerprint=hashlib.sha256(settings.archive.model_dump_json().encode()).hexdigest()[:16],
            is_resumable=True,
            is_waited_for=settings.archive.notify_after_copies,
            ahead=COPIES_AT_ONCE,
        )
        self._endpoints[ARCHIVE] = (basis, plan)
        return plan

    def _sink(self, name: str, endpoint: Webhook | Apprise, loaded: Loaded) -> Sink:
        if isinstance(endpoint, Apprise):
            from bridge.wiring.chat_builder import chat_sink  # here, because a daemon without chats does not need it

            return chat_sink(name, endpoint, loaded, files=self._result_files(endpoint, loaded))
        secrets = [secret.reveal() for secret in endpoint.secret]
        post = PostSettings(
            url=endpoint.url.reveal(),
            api_key=endpoint.api_key.reveal() if endpoint.api_key else None,
            headers=revealed(endpoint.headers),
            client=self.client_of(name, endpoint, loaded),
            clock=self._clock,
            version=__version__,
            accept=_accept(endpoint),
            holds_secret=has_reference(endpoint.url.written),
        )
        if endpoint.is_for_people:
            from bridge.wiring.chat_builder import robot_sink  # here, for the same reason

            files = self._result_files(endpoint, loaded)
            return robot_sink(name, endpoint, loaded.settings, post=post, secrets=secrets, files=files)
        return WebhookSink(
            name=name,
            settings=post,
            secrets=secrets,
            format=endpoint.format,
            template=endpoint.template,
            body=endpoint.body,
        )

    def _result_files(self, endpoint: Webhook | Apprise, loaded: Loaded) -> ResultFiles | None:
        if endpoint.attach != "file":
            return None
        self._limit_kept_files(loaded)
        own_urls = [self._base_url(account, loaded) for account in loaded.settings.accounts.values()]
        return result_files(loaded, own_urls, most_bytes=endpoint.attach_max, known=self._files, kept=self._kept_files)

    def _limit_kept_files(self, loaded: Loaded) -> None:
        attaching = [each.attach_max for each in loaded.settings.endpoints.values() if each.attach == "file"]
        self._kept_files.limit(2 * sum(attaching))

    def _base_url(self, account: Account, loaded: Loaded) -> str:
        return base_url_of(account, self._descriptions(loaded)[account.provider])

    def _descriptions(self, loaded: Loaded) -> Mapping[str, Description]:
        """The providers of these settings by name, read once."""
        if self._described is None or self._described[0] is not loaded:
            self._described = loaded, known_providers(loaded)
        return self._described[1]

    def _client(
        self, whose: tuple[str, str], whom: Account | Webhook, loaded: Loaded, concurrency: int, timeout_s: float
    ) -> HttpClient:
        try:
            client = self._new_client(
                timeout_s=timeout_s,
                concurrency=concurrency,
                kind=loaded.settings.polling.transport,
                **loaded.network(whom),
            )
        except ConfigError as error:
            key, _, what = str(error).partition(": ")
            raise ConfigError([loaded.problem((f"{whose[0]}s", whose[1], key), what)]) from None
        if whose in self._clients:
            self._replaced.append(self._clients[whose])
        self._clients[whose] = client
        return client


def network_basis(loaded: Loaded, *clients: Account | Webhook | Apprise) -> tuple[object, ...]:
    """What these clients take from outside the settings file. A renewed `ca_file` counts for new clients only."""
    return loaded.proxies, *(written_ns(loaded.network(each)["ca_file"]) for each in clients)


async def _key_set(client: HttpClient, url: str) -> bytes | None:
    """The public keys for callbacks at this address, requested without the account's key; None if that fails."""
    answer = await client.fetch(Request("GET", url), cap_bytes=KEY_SET_BYTES)
    return answer.body if isinstance(answer, Answer) and answer.status == HTTPStatus.OK and answer.complete else None


async def _no_key() -> bytes:
    raise BridgeBug("without a store there are no links")


def _accept(endpoint: Webhook) -> AnswerReader | None:
    """The operator's own rule for answers, if set."""
    if endpoint.accept is None:
        return None
    service: AnswerReader = read_nothing
    if endpoint.is_for_people:
        from bridge.sinks.chat_services import READERS  # here, because only robots need it

        service = READERS[endpoint.format]
    return AcceptRule(endpoint.accept, where="accept", service=service)


def routes(settings: Settings) -> list[RoutingRule] | None:
    """The routes of the settings; None if they name none."""
    if settings.routes is None:
        return None
    return [
        RoutingRule(
            topics=None if route.topics is None else frozenset(route.topics),
            accounts=None if route.accounts is None else frozenset(route.accounts),
            endpoints=route.endpoints,
        )
        for route in settings.routes
    ]


def revealed(headers: Mapping[str, SecretText]) -> dict[str, str]:
    return {name: value.reveal() for name, value in headers.items()}
