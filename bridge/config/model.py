"""The settings as frozen models: every key, its default and its meaning. This file is the reference.

A key of the file is a field's name without the `_s` that marks seconds: `min_interval: 2s` is `min_interval_s == 2.0`.
Texts that may be secret are `SecretText`; what kinds of values there are is said in `kinds`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from bridge.config.kinds import (
    SECRET_SCHEMA,
    SHIPPED_TEMPLATES,
    Action,
    BaseUrl,
    Budget,
    Burst,
    CadenceName,
    CaFile,
    Count,
    Duration,
    FilePath,
    Format,
    Headers,
    HookUrl,
    Level,
    LogFormat,
    Name,
    Origin,
    Provider,
    Proxy,
    Rate,
    ServiceUrl,
    ShippedTemplate,
    SigningSecret,
    Span,
    Store,
    Takeover,
    Template,
    Token,
    Transport,
    WebhookHeaders,
    listed,
)
from bridge.config.secret import SecretText
from bridge.domain.event import Topic


class Model(BaseModel):
    """Frozen, closed, and silent about its input when it is wrong."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        alias_generator=lambda field: field.removesuffix("_s"),
        validate_by_name=True,
        validate_by_alias=True,
        arbitrary_types_allowed=True,
    )


class Limits(Model):
    """How politely an account is asked."""

    rate: Rate = Field(10.0, description="requests per second")
    burst: Burst = Field(20, description="requests at once after a pause")
    concurrency: Count = Field(16, description="requests in flight")


class Account(Model):
    """Whom to ask: one API key at one base URL."""

    provider: Provider = Field(description="which kind of API this is, see `genbridge providers`")
    base_url: BaseUrl = Field(description="where the API begins, e.g. https://api.example.com")
    api_key: Token | None = Field(None, description="sent the way the provider wants it, mostly as a Bearer key")
    access_key: Token | None = Field(None, description="with secret_key in place of api_key: Kling's JWT, Jimeng")
    secret_key: Token | None = Field(None, description="goes with access_key")
    action: Action | None = Field(
        None,
        description="for tasks that name none: what the query needs beside the id, e.g. videos/text2video",
    )
    limits: Limits = Field(Limits(), description="how politely to ask")
    headers: Headers = Field({}, description="added to every request")
    proxy: Proxy | None = Field(None, description="http://host:port for this account's requests")
    ca_file: CaFile | None = Field(None, description="further certificate authorities, a PEM file")
    origins: Annotated[tuple[Origin, ...], Field(max_length=100)] = Field(
        (), description="further origins the key may go to, e.g. https://*.bfl.ai"
    )


class Sources(Model):
    """Where tasks come from, beside `genbridge add`."""

    watchlist: FilePath | None = Field(None, description="a YAML list, re-read when it changes")
    queue: FilePath | None = Field(None, description="a folder: drop a file in, it is taken")
    lines: FilePath | None = Field(None, description="a text file that others append to, one task a line")


class Endpoint(Model):
    """What endpoints have in common: a fingerprint of what was written."""

    _fingerprint: str = PrivateAttr("")

    @model_validator(mode="wrap")
    @classmethod
    def _keep_fingerprint(cls, data: Any, handler: ModelWrapValidatorHandler[Endpoint]) -> Endpoint:
        made = handler(data)
        if isinstance(data, Mapping):
            text = json.dumps(data, sort_keys=True, default=lambda value: getattr(value, "written", str(value)))
            made._fingerprint = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return made


class Webhook(Endpoint):
    """A program that is told by a POST."""

    type: Literal["webhook"] = Field(description="webhook: a POST with JSON")
    url: HookUrl = Field(description="where to POST")
    format: Format = Field("documented", description="the form of the body; what follows depends on it")
    template: ShippedTemplate | None = Field(None, description="of format template: the name of one that comes along")
    body: Template | None = Field(
        None, description="of format template: a Jinja template that gives JSON", validate_default=True
    )
    api_key: Token | None = Field(None, description="sent as Authorization: Bearer")
    secret: Annotated[
        tuple[SigningSecret, ...],
        BeforeValidator(listed),
        WithJsonSchema({"anyOf": [SECRET_SCHEMA, {"type": "array", "items": SECRET_SCHEMA}]}),
    ] = Field((), description="signs each attempt: whsec_..., a list while rotating; of format newapi: one, any text")
    headers: WebhookHeaders = Field({}, description="added to every request")
    proxy: Proxy | None = Field(None, description="http://host:port for this endpoint's requests")
    ca_file: CaFile | None = Field(None, description="further certificate authorities, a PEM file")
    concurrency: Count = Field(8, description="requests in flight")

    @field_validator("template", "body")
    @classmethod
    def _only_of_template(cls, text: str | None, info: ValidationInfo) -> str | None:
        if text is not None and info.data.get("format") not in {"template", None}:
            raise ValueError("is for format: template")
        return text

    @field_validator("body")
    @classmethod
    def _one_template(cls, body: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("format") == "template" and "template" in info.data:
            if body is None and info.data["template"] is None:
                raise ValueError(f"is missing; write it, or template: {' or '.join(SHIPPED_TEMPLATES)}")
            if body is not None and info.data["template"] is not None:
                raise ValueError("stands beside template; leave one of them out")
        return body

    @field_validator("secret")
    @classmethod
    def _one_digest(cls, secrets: tuple[SecretText, ...], info: ValidationInfo) -> tuple[SecretText, ...]:
        if info.data.get("format") == "newapi" and len(secrets) > 1:
            raise ValueError("format newapi signs with one secret; leave the others out")
        return secrets

    @field_validator("headers")
    @classmethod
    def _one_authorization(cls, headers: dict[str, SecretText], info: ValidationInfo) -> dict[str, SecretText]:
        if info.data.get("api_key") is not None and any(key.lower() == "authorization" for key in headers):
            raise ValueError("holds Authorization although api_key is set; leave one of them out")
        return headers


class Apprise(Endpoint):
    """People, told through chat services."""

    type: Literal["apprise"] = Field(description="apprise: chat services, mail, MQTT and the like")
    urls: Annotated[tuple[ServiceUrl, ...], Field(min_length=1)] = Field(
        description="service URLs; each is a delivery of its own"
    )
    title: Template | None = Field(None, description="a Jinja template; left out: a short English line")
    body: Template | None = Field(None, description="a Jinja template; left out: status, label, result URLs, duration")

    @field_validator("urls")
    @classmethod
    def _each_once(cls, urls: tuple[SecretText, ...]) -> tuple[SecretText, ...]:
        seen: dict[str, int] = {}
        for number, url in enumerate(urls, 1):
            text = url.reveal() if url.is_resolved else url.written
            if text in seen:
                raise ValueError(f"number {number} is the same as number {seen[text]}")
            seen[text] = number
        return urls


class Route(Model):
    """Which events go where; all routes that match count."""

    topics: Annotated[tuple[Topic, ...], Field(min_length=1)] | None = Field(
        None, description="these topics; left out: every end and every operator topic"
    )
    accounts: Annotated[tuple[Name, ...], Field(min_length=1)] | None = Field(
        None, description="of these accounts; left out: of all"
    )
    endpoints: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(description="go to these endpoints")


class NotFound(Model):
    """When "unknown task" and "bad request" are believed."""

    answers: Count = Field(4, description="so many such answers in a row ...")
    over_s: Span = Field(180.0, description="... over so long a time")


class Polling(Model):
    """How tasks are asked about."""

    min_interval_s: Duration = Field(2.0, description="between two polls of a young task")
    max_interval_s: Duration = Field(300.0, description="between two polls at most", validate_default=True)
    cadence: CadenceName = Field("learned", description="by how long such tasks take, or by age alone")
    budget: Budget | None = Field(
        None, description="requests that a task may take in the mean; null: as many as are sensible"
    )
    give_up_after_s: Duration = Field(86_400.0, description="a task that has not ended by then is told as timed out")
    timeout_s: Duration = Field(30.0, description="for one whole request")
    transport: Transport = Field(
        "asyncio", description="who carries polls and webhooks: asyncio's connections, or httpx's (ten times the CPU)"
    )
    not_found: NotFound = Field(NotFound(), description='when "unknown task" and "bad request" are believed')

    @field_validator("max_interval_s")
    @classmethod
    def _not_below_the_least(cls, seconds: float, info: ValidationInfo) -> float:
        least = info.data.get("min_interval_s")
        if least is not None and seconds < least:
            raise ValueError(f"{seconds:g}s is less than min_interval ({least:g}s)")
        return seconds


class DeliverySettings(Model):
    """How endpoints are told."""

    timeout_s: Duration = Field(20.0, description="for one whole attempt")
    retries_s: Annotated[tuple[Duration, ...], Field(max_length=100)] = Field(
        (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0),
        description="waits between attempts; after the last the delivery is dead",
    )


class Retention(Model):
    """How long what is over is kept."""

    ended_s: Duration = Field(30 * 86_400.0, description="watches that ended")
    delivered_s: Duration = Field(7 * 86_400.0, description="deliveries that were accepted")
    dead_s: Duration = Field(90 * 86_400.0, description="deliveries that were given up")


class Sharing(Model):
    """How several daemons on one PostgreSQL store share its work; one that is alone needs none of it."""

    name: Name | None = Field(None, description="this daemon's, in `genbridge status`; left out: the host's name")
    takeover_s: Takeover = Field(
        30.0, description="so long after a daemon's last sign of life, at most, others have taken its work over"
    )


class Log(Model):
    """What the daemon says of itself, on stderr."""

    level: Level = Field("info", description="debug: each poll; info: each transition and delivery; warning; error")
    format: LogFormat = Field("auto", description="console, json, or auto: console on a terminal, JSON otherwise")


class Settings(Model):
    """All settings of one daemon."""

    store: Store | None = Field(
        None,
        description="a path (SQLite) or postgresql://...; left out: in the state folder of the service or the user",
    )
    providers: dict[Name, Any] = Field(
        {},
        description="provider descriptions of your own, see docs/writing-a-provider.md",
        json_schema_extra={"additionalProperties": False},
    )
    accounts: Annotated[dict[Name, Account], Field(min_length=1)] = Field(
        description="whom to ask, by name", json_schema_extra={"additionalProperties": False}
    )
    sources: Sources = Field(Sources(), description="where tasks come from, beside `genbridge add`")
    endpoints: dict[Name, Annotated[Webhook | Apprise, Field(discriminator="type")]] = Field(
        {}, description="whom to tell, by name", json_schema_extra={"additionalProperties": False}
    )
    routes: tuple[Route, ...] | None = Field(
        None, description="first to last, all that match; left out: every end goes to every endpoint"
    )
    polling: Polling = Field(Polling(), description="how tasks are asked about")
    delivery: DeliverySettings = Field(DeliverySettings(), description="how endpoints are told")
    retention: Retention = Field(Retention(), description="how long what is over is kept")
    sharing: Sharing = Field(Sharing(), description="how several daemons share the work on PostgreSQL")
    log: Log = Field(Log(), description="what the daemon says of itself")


def fingerprint(endpoint: Webhook | Apprise) -> str:
    """16 hex digits of the endpoint's settings as written: another value says that the endpoint has changed."""
    return endpoint._fingerprint
