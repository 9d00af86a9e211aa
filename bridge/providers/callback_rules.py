"""The `callback` of a description: where a callback contains the task's id, and how it is signed."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, model_validator

from bridge.config.validators import header_name
from bridge.providers.calls import DescriptionModel, DurationS
from bridge.providers.selector import Select, SelectFirst

PLACEHOLDER: Final = re.compile(r"\{([a-z0-9_]+|header\.[A-Za-z0-9-]+)\}")
FILLED: Final = frozenset(
    {*("body", "body_sha256", "timestamp", "id", "method", "path", "query", "signed_headers")}
)  # in addition to header.NAME


def _signed_text(text: str) -> str:
    for name in PLACEHOLDER.findall(text):
        if not name.startswith("header.") and name not in FILLED:
            known = ", ".join(f"{{{each}}}" for each in sorted(FILLED))
            raise ValueError(f"{{{name}}} is not filled here; you can use {known} and {{header.NAME}}")
    return text


def _key_set(url: str) -> str:
    if urlsplit(url).scheme != "https" or not urlsplit(url).hostname:
        raise ValueError("a key set has an https:// address")
    return url


Header = Annotated[str, AfterValidator(header_name), AfterValidator(str.lower)]


class CallbackSignature(DescriptionModel):
    """How a callback is signed. `header` contains one signature, or several separated by spaces. Each begins with
    `prefix`; others are ignored.

    `text` is the signed text. `{body}` is the raw body, `{body_sha256}` its digest in hex, `{timestamp}` the header
    named by `timestamp`, `{id}` the task's id, `{header.NAME}` a header. `{method}`, `{path}` and `{query}` are those
    of the request. `{signed_headers}` is a line "NAME:VALUE" for each header that the header `signed_headers` lists.
    """

    header: Header
    algorithm: Literal["hmac-sha256", "ed25519"] = "hmac-sha256"
    encoding: Literal["base64", "hex"] = "base64"
    prefix: str = ""
    text: Annotated[str, AfterValidator(_signed_text)]
    timestamp: Header | None = None  # seconds since the epoch, or an HTTP date
    tolerance: DurationS = 300.0  # how old a signature may be
    signed_headers: Header | None = None
    # Where the key comes from. callback_secret: the account's settings; api_key: the account's key; key_set: public
    # keys of the provider
    secret: Literal["callback_secret", "api_key", "key_set"] = "callback_secret"  # noqa: S105 - the name of a setting
    secret_as: Literal["text", "whsec"] = "text"  # noqa: S105 - a format; whsec: base64 after `whsec_`
    key_set: Annotated[str, AfterValidator(_key_set)] | None = None

    @model_validator(mode="after")
    def _check(self) -> CallbackSignature:
        if (self.algorithm == "ed25519") != (self.secret == "key_set") or (self.key_set is None) != (  # noqa: S105
            self.secret != "key_set"  # noqa: S105
        ):
            raise ValueError("ed25519 needs secret: key_set and the address of the key_set; hmac-sha256 needs neither")
        if "{timestamp}" in self.text and self.timestamp is None:
            raise ValueError("{timestamp} is signed: say under timestamp which header it is")
        if ("{signed_headers}" in self.text) != (self.signed_headers is not None):
            raise ValueError("{signed_headers} needs the key signed_headers, and the other way round")
        return self


class CallbackRule(DescriptionModel):
    """What the provider posts to a callback address. `id` selects all task ids. `status` selects the provider's status
    word, for people. `challenge` selects a value that the response must repeat."""

    field: str  # the field to set at the provider, such as `callback_url`
    id: SelectFirst = ()
    status: SelectFirst = ()
    challenge: Select | None = None
    signature: CallbackSignature | None = None

    @property
    def needs_secret(self) -> bool:
        """Whether its signature can only be checked with the account's `callback_secret`."""
        return self.signature is not None and self.signature.secret == "callback_secret"  # noqa: S105
