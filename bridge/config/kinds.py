"""Kinds of values a key may have: how each is read from text, and what an editor should know of it.

Every kind is read twice: as written, where a text with references is taken as it is, and with a `Surroundings` as
validation context, which replaces the references and checks what they stand for.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)

from bridge.config import values
from bridge.config.durations import MAX_S, PATTERN, parse_duration
from bridge.config.secret import SecretText, Surroundings, check_references, fill, has_reference, resolve_secret

PROVIDERS: Final = (  # the built-in descriptions
    *("ark", "avatar", "flux", "jimeng", "kling", "kling_v2", "luma", "midjourney", "minimax", "minimax_v2", "newapi"),
    *("openai_video", "replicate", "runway", "suno", "suno_feed", "unified_v2", "veo", "video_query", "vidu"),
)
FORMATS: Final = ("documented", "kling", "replicate", "standard", "newapi", "template")
SHIPPED_TEMPLATES: Final = ("cloudevents", "midjourney")
LEVELS: Final = ("debug", "info", "warning", "error")
LOG_FORMATS: Final = ("auto", "console", "json")
TRANSPORTS: Final = ("asyncio", "httpx")
CADENCES: Final = ("learned", "fixed")

Check = Callable[[str], str]


def _around(info: ValidationInfo) -> Surroundings | None:
    return info.context if isinstance(info.context, Surroundings) else None


def _as_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be one text")
    return value


def _text(check: Check, *, prose: bool = False) -> Any:
    """A text that may hold `${...}`: checked when it holds none, or once they are replaced. In `prose` a `${` that
    begins no reference is left alone."""

    def read(value: object, info: ValidationInfo) -> str:
        text = _as_text(value)
        if not prose:
            check_references(text)
        if not has_reference(text):
            return check(text)
        around = _around(info)
        return text if around is None else check(fill(text, around.env))

    return PlainValidator(read, json_schema_input_type=str)


def _secret(check: Check, *, stored: bool = True) -> Any:
    """A text that never prints. `stored` lets `file:` and `credential:` stand for it as a whole."""

    def read(value: object, info: ValidationInfo) -> SecretText:
        return _read_secret(value, _around(info), check, stored)

    return PlainValidator(read, json_schema_input_type=str)


def _read_secret(value: object, around: Surroundings | None, check: Check, stored: bool) -> SecretText:
    if isinstance(value, SecretText):
        return value
    text = _as_text(value)
    check_references(text, stored=stored)
    if not has_reference(text, stored=stored):
        return SecretText(text, check(text))
    if around is None:
        return SecretText(text)
    found = resolve_secret(text, around) if stored else fill(text, around.env, around.found)
    return SecretText(text, check(found))


def _signing_secret(value: object, info: ValidationInfo) -> SecretText:
    """By the format, which the model reads before: any text for new-api's, `whsec_...` for all others."""
    form = info.data.get("format")  # None: it is wrong itself, so nothing is known of the secret
    check = values.line if form in {"newapi", None} else values.signing_secret
    return _read_secret(value, _around(info), check, stored=True)


def _webhook_header(text: str, info: ValidationInfo) -> str:
    """A body of one's own may have a media type of its own."""
    is_type_of_body = text.lower() == "content-type" and info.data.get("body") is not None
    return text if is_type_of_body else values.webhook_header_name(text)


def _ca_file(value: object, info: ValidationInfo) -> str:
    """A PEM file. Once the surroundings are known its path is whole, and it has been seen to hold certificates."""
    text = _as_text(value)
    check_references(text)
    around = _around(info)
    if around is None:
        return text if has_reference(text) else values.file_path(text)
    path = around.base_dir / values.file_path(fill(text, around.env))
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise ValueError("holds no certificates; a PEM file is expected") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    return str(path)


def _number(parse: Callable[[str], float]) -> Any:
    def read(value: object) -> object:
        if isinstance(value, str):
            if "${" in value:
                raise ValueError("must be a number; ${...} stands in texts only")
            return parse(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("must be one value")
        return value

    return BeforeValidator(read)


def _takeover(seconds: float) -> float:
    if not 5.0 <= seconds <= 600.0:
        raise ValueError(f"{seconds:g}s is not from 5s to 10m")
    return seconds


def _above_zero(seconds: float) -> float:
    if not seconds > 0:
        raise ValueError("must be more than 0")
    return seconds


def _checked_as_written(url: SecretText) -> SecretText:
    values.without_retries(url.written)  # whatever its references stand for
    return url


def _each_once(headers: dict[str, SecretText]) -> dict[str, SecretText]:
    seen: set[str] = set()
    for key in headers:
        if key.lower() in seen:
            raise ValueError(f"names {key} twice")
        seen.add(key.lower())
    return headers


def _one_of(known: Sequence[str], what: str) -> Any:
    """One of the known words."""

    def read(value: object) -> str:
        return values.one_of(_as_text(value), known, what)

    return BeforeValidator(read)


def listed(value: object) -> object:
    """A single text where a list may stand."""
    return (value,) if isinstance(value, str | SecretText) else value


SECRET_SCHEMA: Final = {"type": "string", "minLength": 1}
_DURATION_SCHEMA: Final = {"anyOf": [{"type": "string", "pattern": PATTERN}, {"type": "number", "minimum": 0}]}
_NEVER_PRINTED: Final = (PlainSerializer(lambda secret: str(secret), return_type=str), WithJsonSchema(SECRET_SCHEMA))
_NAME_SCHEMA: Final = WithJsonSchema({"type": "string", "pattern": values.NAME})

Span = Annotated[
    float, Field(ge=0, le=MAX_S, allow_inf_nan=False), _number(parse_duration), WithJsonSchema(_DURATION_SCHEMA)
]  # seconds, may be zero
Duration = Annotated[Span, AfterValidator(_above_zero)]
Takeover = Annotated[Span, AfterValidator(_takeover)]
Rate = Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False), _number(values.number)]
Budget = Annotated[float, Field(gt=1, le=10_000, allow_inf_nan=False), _number(values.number)]
Count = Annotated[int, Field(ge=1, le=1000), _number(values.whole)]
Burst = Annotated[int, Field(ge=1, le=100_000), _number(values.whole)]

Name = Annotated[str, AfterValidator(values.name), _NAME_SCHEMA]
Provider = Name  # one of PROVIDERS, or of the settings' own
Format = Annotated[str, _one_of(FORMATS, "format"), WithJsonSchema({"enum": FORMATS})]
ShippedTemplate = Annotated[str, _one_of(SHIPPED_TEMPLATES, "template"), WithJsonSchema({"enum": SHIPPED_TEMPLATES})]
Level = Annotated[str, _one_of(LEVELS, "level"), WithJsonSchema({"enum": LEVELS})]
Transport = Annotated[str, _one_of(TRANSPORTS, "transport"), WithJsonSchema({"enum": TRANSPORTS})]
CadenceName = Annotated[str, _one_of(CADENCES, "cadence"), WithJsonSchema({"enum": CADENCES})]
LogFormat = Annotated[str, _one_of(LOG_FORMATS, "format"), WithJsonSchema({"enum": LOG_FORMATS})]

Store = Annotated[str, _text(values.store_file)]
FilePath = Annotated[str, _text(values.file_path)]
CaFile = Annotated[str, PlainValidator(_ca_file, json_schema_input_type=str)]
Origin = Annotated[str, _text(values.origin)]
BaseUrl = Annotated[str, _text(values.base_url)]
Action = Annotated[str, _text(values.action), WithJsonSchema({"type": "string", "pattern": f"{values.ACTION}|[$]"})]
Template = Annotated[str, _text(values.template, prose=True)]

Token = Annotated[SecretText, _secret(values.token), *_NEVER_PRINTED]
SigningSecret = Annotated[SecretText, PlainValidator(_signing_secret, json_schema_input_type=str), *_NEVER_PRINTED]
Proxy = Annotated[SecretText, _secret(values.proxy_url), *_NEVER_PRINTED]
ServiceUrl = Annotated[SecretText, _secret(values.service_url), AfterValidator(_checked_as_written), *_NEVER_PRINTED]
HookUrl = Annotated[SecretText, _secret(values.http_url, stored=False), *_NEVER_PRINTED]

Headers = Annotated[
    dict[Annotated[str, AfterValidator(values.header_name)], Token],
    AfterValidator(_each_once),
]
WebhookHeaders = Annotated[
    dict[Annotated[str, AfterValidator(_webhook_header)], Token],
    AfterValidator(_each_once),
]
