"""The base class of all parts of the settings, and the blocks that switch something on: `http` and `archive`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from bridge.config import field_types as types
from bridge.config.secret import SecretText, has_reference
from bridge.domain.listen_address import ListenAddress

CopiedKind = Literal["videos", "images", "audios", "files"]


class SettingsModel(BaseModel):
    """Frozen, without unknown keys. Its errors do not repeat the input.

    A key is the name of a field without the `_s` for seconds: `min_interval: 2s` is `min_interval_s == 2.0`.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        alias_generator=lambda field: field.removesuffix("_s"),
        validate_by_name=True,
        validate_by_alias=True,
        arbitrary_types_allowed=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        """A key without a value means its default, also a section with only comments."""
        if not isinstance(data, Mapping):
            return data
        known = {field.alias or name for name, field in cls.model_fields.items()}
        return {key: value for key, value in data.items() if value is not None or key not in known}


class Http(SettingsModel):
    """The HTTP server: API, event streams, callbacks, gateway and the page."""

    listen: types.ListenTo = Field("127.0.0.1:8642", description="HOST:PORT, or unix:PATH")
    token: types.Key | None = Field(
        None,
        description="full access, as Authorization: Bearer; required unless only this machine can reach `listen`",
        validate_default=True,
    )
    read_token: types.Key | None = Field(None, description="a second token, which may only read")
    public_url: types.BaseUrl | None = Field(
        None, description="how others reach the server: for links in messages and for callback addresses"
    )
    hosts: Annotated[tuple[types.HostName, ...], Field(max_length=100)] = Field(
        (), description="further Host names to accept, e.g. behind a reverse proxy"
    )
    gateway: types.Flag = Field(False, description="forward requests to the providers; needs `token`")
    previews: Annotated[tuple[types.Origin, ...], Field(max_length=100)] = Field(
        (), description="origins whose results the page may show, e.g. https://cdn.example.com"
    )

    @property
    def address(self) -> ListenAddress:
        return ListenAddress.parse(self.listen)

    @field_validator("token")
    @classmethod
    def _is_required(cls, token: SecretText | None, info: ValidationInfo) -> SecretText | None:
        listen = info.data.get("listen")
        if token is None and listen is not None and not has_reference(listen):
            if not ListenAddress.parse(listen).is_private:
                raise ValueError("is missing; set it, or listen on 127.0.0.1 or a Unix socket")
        return token

    @field_validator("read_token")
    @classmethod
    def _is_second(cls, read_token: SecretText | None, info: ValidationInfo) -> SecretText | None:
        token = info.data.get("token")
        if read_token is not None and "token" in info.data:
            if token is None:
                raise ValueError("needs token: without it everybody on this machine may do everything")
            if read_token.is_resolved and token.is_resolved and read_token.reveal() == token.reveal():
                raise ValueError("is the same as token; choose another one")
        return read_token

    @field_validator("gateway")
    @classmethod
    def _needs_token(cls, gateway: types.Flag, info: ValidationInfo) -> bool:
        if gateway and "token" in info.data and info.data["token"] is None:
            raise ValueError("needs token: callers of the gateway must authenticate")
        return gateway


def _each_kind_once(kinds: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(kinds)) < len(kinds):
        raise ValueError("names a kind twice")
    return kinds


class Archive(SettingsModel):
    """Copies of results, made before their URLs expire."""

    to: types.ArchivePlace = Field(description="a folder, or s3://bucket/prefix")
    kinds: Annotated[tuple[CopiedKind, ...], Field(min_length=1), AfterValidator(_each_kind_once)] = Field(
        ("videos", "images", "audios", "files"), description="the kinds of results to copy"
    )
    max_size: types.Size = Field(2 << 30, description="larger results are not copied, e.g. 500MB or 2GiB")
    quota: types.Size | None = Field(
        None, description="for all copies together; the oldest are deleted first, e.g. 100GiB"
    )
    keep_s: types.Duration | None = Field(None, description="how long copies are kept, e.g. 30d; null: forever")
    notify_after_copies: types.Flag = Field(False, description="send task_succeeded once the copies are made")
    patience_s: types.Patience = Field(120.0, description="... but at the latest after this time")
    allow: Annotated[tuple[types.AllowedHost, ...], Field(max_length=100)] = Field(
        (),
        description="private hosts or networks that results may be fetched from, in addition to the account's own host",
    )
