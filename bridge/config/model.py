"""The settings as frozen models: every key with its default and its meaning.

Texts that may be secret are `SecretText`. `field_types` has the types of the values; the blocks `endpoints`,
`http` and `archive` have files of their own.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
)

from bridge.config import field_types as types
from bridge.config.archive_settings import Archive
from bridge.config.endpoint_settings import Apprise, Webhook
from bridge.config.http_settings import Http
from bridge.config.settings_model import SettingsModel
from bridge.domain.event import Topic


class Limits(SettingsModel):
    """How fast an account is polled."""

    rate: types.Rate = Field(10.0, description="requests per second")
    burst: types.Burst = Field(20, description="requests at once after an idle time")
    concurrency: types.Count = Field(16, description="requests in flight")


class Account(SettingsModel):
    """One API key at one base URL."""

    provider: types.Provider = Field(description="the kind of API, see `genbridge providers`")
    base_url: types.BaseUrl | None = Field(
        None, description="the base URL of the API, e.g. https://api.example.com; null: the provider's official host"
    )
    api_key: types.Token | None = Field(None, description="sent as the provider expects it, mostly as a bearer token")
    access_key: types.Token | None = Field(
        None, description="with secret_key, instead of api_key: for Kling's JWT and Jimeng"
    )
    secret_key: types.Token | None = Field(None, description="required with access_key")
    callback_secret: Annotated[tuple[types.CallbackSecret, ...], *types.ONE_OR_MORE] = Field(
        (), description="checks the signature of callbacks, see docs/callbacks.md; a list during rotation"
    )
    action: types.Action | None = Field(
        None,
        description="for tasks without an action: the part of the address before the id, e.g. videos/text2video",
    )
    limits: Limits = Field(Limits(), description="how fast to poll")
    headers: types.Headers = Field({}, description="added to every request")
    proxy: types.Proxy | None = Field(None, description="http://host:port for the requests of this account, or none")
    ca_file: types.CaFile | None = Field(None, description="a PEM file with further certificate authorities")
    origins: Annotated[tuple[types.Origin, ...], Field(max_length=100)] = Field(
        (), description="further origins that may receive the key, e.g. https://*.example.com"
    )
    discover_s: types.DiscoverInterval | None = Field(
        None,
        description="how often to request the provider's list of tasks and watch the new ones, e.g. 1m; null: never",
    )


class QueueFolder(SettingsModel):
    """A folder for task files. A plain path means the same as a mapping with `path`."""

    path: types.FilePath = Field(description="the folder")
    settle_s: types.Duration | None = Field(
        None,
        description="a file must be unchanged for this time; default: 500ms, or 3s if open files cannot be detected",
    )


class Sources(SettingsModel):
    """Where tasks come from, in addition to `genbridge add`."""

    watchlist: types.FilePath | None = Field(None, description="a YAML list, read again when it changes")
    queue: (
        Annotated[QueueFolder, BeforeValidator(types.path_alone, json_schema_input_type=str | QueueFolder)] | None
    ) = Field(None, description="a folder: genbridge takes every file that appears in it")
    lines: types.FilePath | None = Field(None, description="a text file that others append to, one task per line")


class RouteSettings(SettingsModel):
    """Which events go to which endpoints. All matching routes apply."""

    topics: Annotated[tuple[Topic, ...], Field(min_length=1)] | None = Field(
        None, description="for these topics; default: every final topic and every operator topic"
    )
    accounts: Annotated[tuple[types.Name, ...], Field(min_length=1)] | None = Field(
        None, description="for these accounts; default: all"
    )
    endpoints: Annotated[tuple[types.Name, ...], Field(min_length=1)] = Field(description="notify these endpoints")


class NotFound(SettingsModel):
    """When an answer "unknown task" or "bad request" finishes a task."""

    answers: types.Count = Field(4, description="after this many such answers in a row ...")
    over_s: types.Span = Field(180.0, description="... over at least this time")


class Polling(SettingsModel):
    """How tasks are polled."""

    min_interval_s: types.Duration = Field(2.0, description="the minimum time between two polls")
    max_interval_s: types.Duration = Field(
        300.0, description="the maximum time between two polls", validate_default=True
    )
    cadence: types.CadenceName = Field(
        "learned", description="learned: from how long similar tasks took; fixed: from the age alone"
    )
    budget: types.Budget | None = Field(None, description="requests per task, on average; null: genbridge decides")
    give_up_after_s: types.Duration = Field(86_400.0, description="a task that has not finished by then has timed out")
    timeout_s: types.Duration = Field(30.0, description="for a whole request")
    transport: types.Transport = Field(
        "asyncio", description="connections for polls and webhooks: asyncio, or httpx (ten times the CPU)"
    )
    no_result: types.NoResult = Field("task_succeeded", description="topic for a task that succeeded without a result")
    not_found: NotFound = Field(NotFound(), description='when "unknown task" or "bad request" finishes a task')

    @field_validator("max_interval_s")
    @classmethod
    def _not_below_the_least(cls, seconds: float, info: ValidationInfo) -> float:
        least = info.data.get("min_interval_s")
        if least is not None and seconds < least:
            raise ValueError(f"{seconds:g}s is less than min_interval ({least:g}s)")
        return seconds


class DeliverySettings(SettingsModel):
    """How endpoints are notified."""

    timeout_s: types.Duration = Field(20.0, description="for a whole attempt")
    retries_s: Annotated[tuple[types.Duration, ...], Field(max_length=100)] = Field(
        (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0),
        description="waits between attempts; after the last attempt the delivery is dead",
    )


class RetentionSettings(SettingsModel):
    """How long finished things are kept."""

    ended_s: types.Duration = Field(30 * 86_400.0, description="finished tasks")
    delivered_s: types.Duration = Field(7 * 86_400.0, description="accepted deliveries")
    dead_s: types.Duration = Field(90 * 86_400.0, description="dead deliveries")


class Sharing(SettingsModel):
    """How several daemons on one PostgreSQL store share its work."""

    name: types.Name | None = Field(
        None, description="the name of this daemon in `genbridge status`; default: the host name"
    )
    takeover_s: types.Takeover = Field(
        30.0, description="when a daemon stops responding, others take over its work within this time"
    )


class Log(SettingsModel):
    """The log on stderr."""

    level: types.Level = Field(
        "info", description="debug (each poll), info (each transition and delivery), warning or error"
    )
    format: types.LogFormat = Field("auto", description="console, json, or auto: console on a terminal, JSON elsewhere")


class Settings(SettingsModel):
    """All settings of one daemon."""

    store: types.Store | None = Field(
        None,
        description="a path (SQLite) or postgresql://...; default: a separate store for each settings file",
    )
    providers: dict[types.Name, Any] = Field(
        {},
        description="your own provider descriptions, see docs/writing-a-provider.md",
    )
    accounts: Annotated[dict[types.Name, Account], Field(min_length=1)] = Field(
        description="the accounts to poll, by name"
    )
    sources: Sources = Field(Sources(), description="where tasks come from, in addition to `genbridge add`")
    endpoints: dict[types.Name, Annotated[Webhook | Apprise, Field(discriminator="type")]] = Field(
        {}, description="whom to notify, by name"
    )
    routes: tuple[RouteSettings, ...] | None = Field(
        None, description="all matching routes apply; default: final and operator topics go to every endpoint"
    )
    polling: Polling = Field(Polling(), description="how tasks are polled")
    delivery: DeliverySettings = Field(DeliverySettings(), description="how endpoints are notified")
    retention: RetentionSettings = Field(RetentionSettings(), description="how long finished things are kept")
    sharing: Sharing = Field(Sharing(), description="how several daemons share the work on PostgreSQL")
    log: Log = Field(Log(), description="the log on stderr")
    http: Http | None = Field(None, description="the HTTP server; without this block there is none")
    archive: Archive | None = Field(None, description="copies of results; without this block none are made")

    @property
    def public_url(self) -> str | None:
        """How others reach the HTTP server, if there is one and its settings say so."""
        return None if self.http is None else self.http.public_url
