"""The settings of endpoints: the values in the block `endpoints`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, ModelWrapValidatorHandler, PrivateAttr, ValidationInfo, field_validator, model_validator

from bridge.config import field_types as types
from bridge.config.field_types import FORMATS, ROBOT_NAMES, SHIPPED_TEMPLATES, SIGNED_ROBOT_NAMES
from bridge.config.secret import SecretText
from bridge.config.settings_model import SettingsModel
from bridge.expressions.hook_url import has_expression


class Endpoint(SettingsModel):
    """The base class of endpoints, with a fingerprint of their settings as written."""

    _fingerprint: str = PrivateAttr("")

    @property
    def fingerprint(self) -> str:
        """16 hex digits. If the value differs, the endpoint has changed."""
        return self._fingerprint

    @model_validator(mode="wrap")
    @classmethod
    def _keep_fingerprint(cls, data: Any, handler: ModelWrapValidatorHandler[Endpoint]) -> Endpoint:
        made = handler(data)
        if isinstance(data, Mapping):
            written = {key: value for key, value in data.items() if value is not None}
            text = json.dumps(written, sort_keys=True, default=lambda value: getattr(value, "written", str(value)))
            made._fingerprint = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return made


# How the texts of chats and group robots are written.
_LANGUAGE: Final[Any] = Field("en", description="of the default texts: en or zh")
_TIMEZONE: Final[Any] = Field("local", description="of times in texts: local, UTC, or a name such as Asia/Shanghai")
_ATTACH: Final[Any] = Field(
    "link",
    description="link: the URL; preview: the service also fetches pictures and players; file: the results themselves",
)
_ATTACH_MAX: Final[Any] = Field(8_000_000, description="for attach file: larger results are sent as links")
_MARKS: Final[Any] = Field(True, description="begin the first line with a mark such as 🎬")


_FORMATS_OF: Final[Mapping[str, tuple[str, ...]]] = {  # for each key, the formats that use it
    "template": ("template",),
    "body": ("template", *ROBOT_NAMES),
    **dict.fromkeys(("title", "language", "timezone", "attach", "attach_max", "marks"), ROBOT_NAMES),
    **dict.fromkeys(("chat_id", "thread_id"), ("telegram",)),
    # Messages to a chat are sent one at a time.
    "concurrency": tuple(name for name in FORMATS if name not in ROBOT_NAMES),
}


class Webhook(Endpoint):
    """A program or a group robot that is notified by a POST."""

    type: Literal["webhook"] = Field(description="webhook: a POST with JSON")
    url: types.HookUrl = Field(description="where to POST; path and query may contain Jinja expressions")
    format: types.Format = Field("documented", description="the format of the body; other keys depend on it")
    accept: types.Expression | None = Field(
        None, description="JMESPath over a JSON answer; false or null means refused, at any status"
    )
    template: types.ShippedTemplate | None = Field(
        None, description="for format template: the name of an included template"
    )
    title: types.Template | None = Field(
        None, description="for robot formats: a Jinja template, the first line of the text"
    )
    body: types.Template | None = Field(
        None,
        description="for format template: a Jinja template that renders JSON; for robot formats: the rest of the text",
        validate_default=True,
    )
    chat_id: types.ChatId | None = Field(
        None, description="for format telegram: the chat, a number or @name", validate_default=True
    )
    thread_id: types.ThreadId | None = Field(None, description="for format telegram: a topic of the chat, a number")
    language: types.Language = _LANGUAGE
    timezone: types.Timezone = _TIMEZONE
    attach: types.Attach = _ATTACH
    attach_max: types.AttachSize = _ATTACH_MAX
    marks: types.Flag = _MARKS
    api_key: types.Key | None = Field(None, description="sent as Authorization: Bearer")
    secret: Annotated[tuple[types.SigningSecret, ...], *types.ONE_OR_MORE] = Field(
        (),
        description="signs each attempt: whsec_..., a list during rotation; for newapi, feishu and dingtalk any text",
    )
    headers: types.WebhookHeaders = Field({}, description="added to every request")
    proxy: types.Proxy | None = Field(None, description="http://host:port for the requests to this endpoint, or none")
    ca_file: types.CaFile | None = Field(None, description="a PEM file with further certificate authorities")
    concurrency: types.Count = Field(8, description="requests in flight; always 1 for robots")

    @property
    def is_for_people(self) -> bool:
        """Whether it is the robot of a chat, whose messages people read."""
        return self.format in ROBOT_NAMES

    def place(self, *, with_port: bool = False) -> str:
        """Its kind and its host. The rest of the address may be secret."""
        kind = "webhook" if self.format == "documented" else self.format
        if not self.url.is_resolved:
            return kind
        url = urlsplit(self.url.reveal())
        return f"{kind} · {url.netloc.rpartition('@')[2] if with_port else url.hostname}"

    @field_validator(*_FORMATS_OF)
    @classmethod
    def _suits_format(cls, value: Any, info: ValidationInfo) -> Any:
        format_ = info.data.get("format")
        if value is None or format_ is None:
            return value
        wanted = _FORMATS_OF[str(info.field_name)]
        name = str(info.field_name)
        harmless = 1 if name == "concurrency" else cls.model_fields[name].default  # robots send one message at a time
        if format_ not in wanted and value != harmless:
            raise ValueError(f"is only for format {', '.join(wanted)}")
        return value

    @field_validator("format")
    @classmethod
    def _no_expressions_for_robots(cls, format_: str, info: ValidationInfo) -> str:
        url = info.data.get("url")
        if format_ in ROBOT_NAMES and url is not None and url.is_resolved and has_expression(url.reveal()):
            raise ValueError(f"format {format_} has a fixed address: the url must not contain expressions")
        return format_

    @field_validator("body")
    @classmethod
    def _one_template(cls, body: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("format") == "template" and "template" in info.data:
            if body is None and info.data["template"] is None:
                raise ValueError(f"is missing; write it, or set template: {' or '.join(SHIPPED_TEMPLATES)}")
            if body is not None and info.data["template"] is not None:
                raise ValueError("cannot be combined with template; remove one of them")
        return body

    @field_validator("chat_id")
    @classmethod
    def _some_chat(cls, chat_id: str | None, info: ValidationInfo) -> str | None:
        if chat_id is None and info.data.get("format") == "telegram":
            raise ValueError("is missing; write the number of the chat, e.g. -1001234567890")
        return chat_id

    @field_validator("secret")
    @classmethod
    def _as_many_as_signed_with(cls, secrets: tuple[SecretText, ...], info: ValidationInfo) -> tuple[SecretText, ...]:
        format_ = info.data.get("format")
        if secrets and format_ in ROBOT_NAMES and format_ not in SIGNED_ROBOT_NAMES:
            raise ValueError(f"format {format_} is not signed: its url is the secret; remove this key")
        if len(secrets) > 1 and format_ in {"newapi", *SIGNED_ROBOT_NAMES}:
            raise ValueError(f"format {format_} signs with one secret; remove the others")
        return secrets

    @field_validator("headers")
    @classmethod
    def _one_authorization(cls, headers: dict[str, SecretText], info: ValidationInfo) -> dict[str, SecretText]:
        if info.data.get("api_key") is not None and any(key.lower() == "authorization" for key in headers):
            raise ValueError("contains Authorization, but api_key is set; remove one of them")
        return headers


class Apprise(Endpoint):
    """Chat services, mail and more, notified through Apprise."""

    type: Literal["apprise"] = Field(description="apprise: chat services, mail, MQTT and more")
    urls: Annotated[tuple[types.ServiceUrl, ...], Field(min_length=1)] = Field(
        description="URLs of services; each target is a separate delivery"
    )
    title: types.Template | None = Field(
        None, description="a Jinja template; default: the task, and whether it succeeded"
    )
    body: types.Template | None = Field(None, description="a Jinja template; default: results, reason, details")
    language: types.Language = _LANGUAGE
    timezone: types.Timezone = _TIMEZONE
    attach: types.Attach = _ATTACH
    attach_max: types.AttachSize = _ATTACH_MAX
    marks: types.Flag = _MARKS
    proxy: types.Proxy | None = Field(None, description="http://host:port for the requests to these services, or none")
    ca_file: types.CaFile | None = Field(None, description="a PEM file with further certificate authorities")

    is_for_people: ClassVar = True

    def place(self, *, with_port: bool = False) -> str:
        """Its kind and its services. The rest of the addresses may be secret."""
        services = {url.reveal().partition("://")[0].lower() for url in self.urls if url.is_resolved}
        return f"apprise · {', '.join(sorted(services))}"

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
