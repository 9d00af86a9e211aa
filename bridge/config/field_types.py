"""The types of values in the settings: how each is read, and its JSON Schema.

Every value is read twice. First as written: a text with references is left unchanged. Then with a `ReferenceContext` as
validation context, which replaces the references and checks the result.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)

from bridge.config import validators
from bridge.config.duration_syntax import MAX_S, PATTERN, parse_duration
from bridge.config.problems import NOT_A_TEXT
from bridge.config.secret import ReferenceContext, SecretText, check_references, fill, has_reference, resolve_secret
from bridge.config.settings_file import checked_text
from bridge.domain.quoting import quoted

SIZE_PATTERN: Final = r"^[0-9]+(\.[0-9]+)?\s?([kKMGT]i?B|B)?$"  # for the JSON Schema
MOST_BYTES: Final = 1 << 60
_SIZE: Final = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,9})?)\s?(?:([kKMGT])(i?)B|B)?")
_POWERS: Final = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}


def parse_size(text: str) -> int:
    """Bytes of `500MB`, `2GiB`, `1.5 TB` or a plain number of bytes. ValueError for anything else, and for 0."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{quoted(text)} is not a size; write 500MB, 2GiB or a number of bytes")
    size = int(float(found[1]) * (1024 if found[3] else 1000) ** _POWERS[found[2] or ""])
    if not 0 < size <= MOST_BYTES:
        raise ValueError(f"{quoted(text)} is not between 1 byte and 1 EiB")
    return size


SignedRobot = Literal["feishu", "dingtalk"]
Robot = Literal[SignedRobot, "wecom", "slack", "discord", "telegram"]  # formats of group robots in chats
Format = Literal["documented", "kling", "replicate", "standard", "newapi", "template", Robot]
ShippedTemplate = Literal["cloudevents", "midjourney"]
Level = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "console", "json"]
Transport = Literal["asyncio", "httpx"]
CadenceName = Literal["learned", "fixed"]
NoResult = Literal["task_succeeded", "task_failed"]
Language = Literal["en", "zh"]  # the language of the default chat texts
Attach = Literal["link", "preview", "file"]

SIGNED_ROBOT_NAMES: Final[tuple[str, ...]] = get_args(SignedRobot)
ROBOT_NAMES: Final[tuple[str, ...]] = get_args(Robot)
FORMATS: Final[tuple[str, ...]] = get_args(Format)
SHIPPED_TEMPLATES: Final[tuple[str, ...]] = get_args(ShippedTemplate)
LEVELS: Final[tuple[str, ...]] = get_args(Level)
LOG_FORMATS: Final[tuple[str, ...]] = get_args(LogFormat)

Check = Callable[[str], str]


def _context(info: ValidationInfo) -> ReferenceContext | None:
    return info.context if isinstance(info.context, ReferenceContext) else None


def _as_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(NOT_A_TEXT)
    return value


def _text(check: Check, *, is_prose: bool = False) -> Any:
    """A text that may contain `${...}`. It is checked when all references are replaced."""

    def read(value: object, info: ValidationInfo) -> str:
        context = _context(info)
        return checked_text(_as_text(value), check, None if context is None else context.env, is_prose=is_prose)

    return PlainValidator(read, json_schema_input_type=str)


def _secret(check: Check, *, stored: bool = True) -> Any:
    """A text that is never printed. With `stored`, the whole text may be `file:...` or `credential:...`."""

    def read(value: object, info: ValidationInfo) -> SecretText:
        return _read_secret(value, _context(info), check, stored)

    return PlainValidator(read, json_schema_input_type=str)


def _read_secret(value: object, context: ReferenceContext | None, check: Check, stored: bool) -> SecretText:
    if isinstance(value, SecretText):
        return value
    text = _as_text(value)
    check_references(text, stored=stored)
    if not has_reference(text, stored=stored):
        return SecretText(text, check(text))
    if context is None:
        return SecretText(text)
    found = resolve_secret(text, context) if stored else fill(text, context.env, context.found)
    return SecretText(text, check(found))


def _signing_secret(value: object, info: ValidationInfo) -> SecretText:
    """Any text for new-api and robots, `whsec_...` for the other formats. The model has read the format before."""
    format_ = info.data.get("format")  # None: the format is invalid, so any text is accepted
    check = validators.line if format_ in {"newapi", None, *ROBOT_NAMES} else validators.signing_secret
    return _read_secret(value, _context(info), check, stored=True)


def _webhook_header(text: str, info: ValidationInfo) -> str:
    """A custom body may have its own media type."""
    is_type_of_body = text.lower() == "content-type" and info.data.get("body") is not None
    return text if is_type_of_body else validators.webhook_header_name(text)


def _ca_file(value: object, info: ValidationInfo) -> str:
    """A PEM file. With a context, its path becomes absolute, and it must contain certificates."""
    context = _context(info)
    if context is None:
        return checked_text(_as_text(value), validators.file_path, None)
    path = context.base_dir / checked_text(_as_text(value), validators.file_path, context.env)
    try:
        if path.exists() and not path.is_file():
            raise ValueError("is not a regular file; use a PEM file")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise ValueError("contains no certificates; use a PEM file") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    return str(path)


def path_alone(value: object, info: ValidationInfo) -> object:
    """A path, also where a mapping with `path` is possible."""
    return {"path": _PATH.func(value, info)} if isinstance(value, str) else value


def _number(parse: Callable[[str], float]) -> Any:
    def read(value: object) -> object:
        if isinstance(value, str):
            if "${" in value:
                raise ValueError("must be a number; ${...} is only possible in texts")
            return parse(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("must be a single value")
        return value

    return BeforeValidator(read)


def _flag(value: object) -> object:
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _between(least: float, most: float, text: str) -> AfterValidator:
    def check(seconds: float) -> float:
        if not least <= seconds <= most:
            raise ValueError(f"must be between {text}")
        return seconds

    return AfterValidator(check)


def _attach_size(size: int) -> int:
    if size > 50_000_000:
        raise ValueError("must be at most 50MB, because the files are kept in memory")
    return size


def _checked_as_written(url: SecretText) -> SecretText:
    validators.without_retries(url.written)  # this must hold for any values of the references
    return url


def _each_once(headers: dict[str, SecretText]) -> dict[str, SecretText]:
    seen: set[str] = set()
    for key in headers:
        if key.lower() in seen:
            raise ValueError(f"contains {key} twice")
        seen.add(key.lower())
    return headers


# These texts may look like numbers, as in `chat_id: -1001234567890`.
_UNQUOTED_SCHEMA: Final = {"type": ["string", "number", "boolean"], "minLength": 1}
_DURATION_SCHEMA: Final = {"anyOf": [{"type": "string", "pattern": PATTERN}, {"type": "number", "minimum": 0}]}
_NEVER_PRINTED: Final = (PlainSerializer(lambda secret: str(secret), return_type=str), WithJsonSchema(_UNQUOTED_SCHEMA))
ONE_OR_MORE: Final = (  # one secret, or a list of them
    BeforeValidator(lambda value: (value,) if isinstance(value, str | SecretText) else value),
    WithJsonSchema({"anyOf": [_UNQUOTED_SCHEMA, {"type": "array", "items": _UNQUOTED_SCHEMA}]}),
)
_NAME_SCHEMA: Final = WithJsonSchema({"type": "string", "pattern": validators.NAME})

# In seconds; may be zero.
Span = Annotated[
    float, Field(ge=0, le=MAX_S, allow_inf_nan=False), _number(parse_duration), WithJsonSchema(_DURATION_SCHEMA)
]
Duration = Annotated[Span, Field(gt=0)]
DiscoverInterval = Annotated[Span, _between(10.0, 86_400.0, "10s and 24h")]
Takeover = Annotated[Span, _between(5.0, 600.0, "5s and 10m")]
Patience = Annotated[Span, _between(1.0, 3600.0, "1s and 1h")]
Rate = Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False), _number(validators.number)]
Budget = Annotated[float, Field(gt=1, le=10_000, allow_inf_nan=False), _number(validators.number)]
Count = Annotated[int, Field(ge=1, le=1000), _number(validators.whole)]
Burst = Annotated[int, Field(ge=1, le=100_000), _number(validators.whole)]
# In bytes.
Size = Annotated[
    int,
    Field(ge=1),
    _number(parse_size),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": SIZE_PATTERN}, {"type": "integer", "minimum": 1}]}),
]
AttachSize = Annotated[Size, AfterValidator(_attach_size)]
Flag = Annotated[bool, BeforeValidator(_flag)]

Name = Annotated[str, AfterValidator(validators.name), _NAME_SCHEMA]
Provider = Name  # built-in, or from the settings

Store = Annotated[str, _text(validators.store_file)]
_PATH: Final = _text(validators.file_path)
FilePath = Annotated[str, _PATH]
CaFile = Annotated[str, PlainValidator(_ca_file, json_schema_input_type=str)]
Origin = Annotated[str, _text(validators.origin)]
ListenTo = Annotated[str, _text(validators.listen_address)]
ArchivePlace = Annotated[str, _text(validators.archive_place)]
AllowedHost = Annotated[str, _text(validators.allowed_host)]
HostName = Annotated[str, _text(validators.host_name)]
BaseUrl = Annotated[str, _text(validators.base_url)]
Action = Annotated[str, _text(validators.line), WithJsonSchema({"type": "string", "minLength": 1})]
Template = Annotated[str, _text(validators.prose, is_prose=True)]
Expression = Annotated[str, _text(validators.expression, is_prose=True)]
ChatId = Annotated[str, _text(validators.chat_id), WithJsonSchema(_UNQUOTED_SCHEMA)]
Timezone = Annotated[str, _text(validators.timezone)]
ThreadId = Annotated[str, _text(validators.thread_id), WithJsonSchema(_UNQUOTED_SCHEMA)]

Token = Annotated[SecretText, _secret(validators.token), *_NEVER_PRINTED]
Key = Annotated[SecretText, _secret(validators.key), *_NEVER_PRINTED]
CallbackSecret = Annotated[SecretText, _secret(validators.line), *_NEVER_PRINTED]
SigningSecret = Annotated[SecretText, PlainValidator(_signing_secret, json_schema_input_type=str), *_NEVER_PRINTED]
Proxy = Annotated[SecretText, _secret(validators.proxy_url), *_NEVER_PRINTED]
ServiceUrl = Annotated[
    SecretText, _secret(validators.service_url), AfterValidator(_checked_as_written), *_NEVER_PRINTED
]
HookUrl = Annotated[SecretText, _secret(validators.hook_url, stored=False), *_NEVER_PRINTED]

Headers = Annotated[
    dict[Annotated[str, AfterValidator(validators.header_name)], Token],
    AfterValidator(_each_once),
]
WebhookHeaders = Annotated[
    dict[Annotated[str, AfterValidator(_webhook_header)], Token],
    AfterValidator(_each_once),
]
