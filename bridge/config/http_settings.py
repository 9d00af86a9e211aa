"""The settings of the HTTP server: the block `http`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from bridge.config import field_types as types
from bridge.config.secret import SecretText, has_reference
from bridge.config.settings_model import SettingsModel
from bridge.domain.listen_address import ListenAddress


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
    def _checked_token(cls, token: SecretText | None, info: ValidationInfo) -> SecretText | None:
        listen = info.data.get("listen")
        if token is None and listen is not None and not has_reference(listen):
            if not ListenAddress.parse(listen).is_private:
                raise ValueError("is missing; set it, or listen on 127.0.0.1 or a Unix socket")
        return token

    @field_validator("read_token")
    @classmethod
    def _checked_read_token(cls, read_token: SecretText | None, info: ValidationInfo) -> SecretText | None:
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
