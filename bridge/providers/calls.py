"""The requests in a description: templates, actions, and how the key is sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Final, Literal
from urllib.parse import quote

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bridge.config.duration_syntax import parse_duration
from bridge.config.validators import header_name, host_name
from bridge.domain.ids import MAX_TASK_ID_CHARS
from bridge.domain.result_urls import MAX_URL_CHARS
from bridge.domain.task import Json
from bridge.expressions.pattern import Pattern
from bridge.providers.selector import Select, SelectFirst
from bridge.providers.task_rules import OF_TASK, PLACEHOLDERS, listed, placeholders

PAGING: Final = frozenset({"page", "offset", "since_ms"})
NAMED_GROUP: Final = re.compile(r"\(\?P?<([A-Za-z_][A-Za-z0-9_]*)")
AS_TEXT, AS_MAPPING = "written as text", "written as a mapping"
NOT_IN_PATH: Final = re.compile(r"[\s#]")
KEY_WORDS: Final = frozenset({"bearer", "token", "signed", "none"})
KEY_PLACE: Final = re.compile(r"(header|query) ([A-Za-z0-9_-]+)")


class DescriptionModel(BaseModel):
    """A part of a description. Frozen; unknown keys are errors. Numbers may be written as text, and text as numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, coerce_numbers_to_str=True)


def _duration(value: Any) -> Any:
    return parse_duration(str(value)) if isinstance(value, str | int | float) and not isinstance(value, bool) else value


def _pattern(longest: int) -> Callable[[Any], Pattern]:
    """A validator for a regular expression that is matched with texts of at most this length."""

    def compiled(value: Any) -> Pattern:
        if isinstance(value, Pattern):
            return value
        if not isinstance(value, str):
            raise ValueError("a regular expression is text, in quotes where YAML needs them")
        return Pattern(value, longest=longest)

    return compiled


def written_as(value: Any) -> str:
    """Whether a setting is text or a mapping, so that only errors for that alternative are reported."""
    return AS_MAPPING if isinstance(value, Mapping | DescriptionModel) else AS_TEXT


def check_placeholders(value: Any, known: frozenset[str], info: ValidationInfo) -> None:
    """ValueError for an unknown placeholder. The validation context contains the groups of the action."""
    parts = info.context if isinstance(info.context, frozenset) else frozenset()
    if strange := placeholders(value) - known - parts:
        filled = ", ".join(f"{{{name}}}" for name in sorted(known | parts))
        raise ValueError(f"{{{min(strange)}}} is not available here; you can use {filled}")


def _path(text: str) -> str:
    if not text.startswith(("/", "https://")):
        raise ValueError("a path begins with / (or, for another host of the vendor's, with https://)")
    if {"{", "}"} & set(PLACEHOLDERS.sub("", text)) or "${" in text:
        raise ValueError("a brace in a path must be part of a placeholder such as {id}, without $")
    if (found := NOT_IN_PATH.search(text)) is not None:
        raise ValueError(f'a path cannot contain "{found[0]}"; write {quote(found[0])}')
    return text


def _header_value(text: str) -> str:
    if not text.isprintable():
        raise ValueError("the value of a header is one line of printable characters")
    return text


class KeyPlace(DescriptionModel):
    """Where the key is sent: in a header, after a prefix, or in the query."""

    header: Annotated[str, AfterValidator(header_name)] | None = None
    query: str | None = None
    prefix: Annotated[str, AfterValidator(_header_value)] = ""

    @model_validator(mode="after")
    def _check(self) -> KeyPlace:
        if (self.header is None) == (self.query is None):
            raise ValueError("name the header or the query parameter that holds the key")
        return self


def _auth(value: Any) -> Any:
    if isinstance(value, str) and (named := KEY_PLACE.fullmatch(value)) is not None:
        return {named[1]: named[2]}
    if isinstance(value, str) and value not in KEY_WORDS:
        raise ValueError('auth is bearer, token, signed, none, {header: NAME, prefix: "..."} or {query: NAME}')
    return value


DurationS = Annotated[float, BeforeValidator(_duration), PlainSerializer(lambda seconds: f"{seconds:.15g}s")]
IdPattern = Annotated[
    Pattern, BeforeValidator(_pattern(MAX_TASK_ID_CHARS)), PlainSerializer(lambda pattern: pattern.text)
]
UrlPattern = Annotated[Pattern, BeforeValidator(_pattern(MAX_URL_CHARS)), PlainSerializer(lambda pattern: pattern.text)]
Path = Annotated[str, AfterValidator(_path)]
Paths = Annotated[tuple[Path, ...], BeforeValidator(listed), Field(min_length=1)]
Auth = Annotated[
    Annotated[Literal["bearer", "token", "signed", "none"], Tag(AS_TEXT)] | Annotated[KeyPlace, Tag(AS_MAPPING)],
    Discriminator(written_as),
    BeforeValidator(_auth),
]
Headers = Mapping[Annotated[str, AfterValidator(header_name)], Annotated[str, AfterValidator(_header_value)]]


class Call(DescriptionModel):
    """A request template. In its path, query, body and headers, `{id}` is the task's id (percent-encoded where needed;
    `{+id}` keeps its slashes), `{action}` its action, and `{NAME}` the text that the group NAME of the action pattern
    matches."""

    filled: ClassVar[frozenset[str]] = OF_TASK | {"action"}

    method: Literal["GET", "POST"] = "GET"
    query: Mapping[str, str] = Field(default_factory=dict)
    body: Json = None  # sent as JSON
    headers: Headers = Field(default_factory=dict)

    @field_validator("body")
    @classmethod
    def _check_body(cls, value: Json) -> Json:
        if isinstance(value, str):
            raise ValueError('a body is written as YAML, such as {task_id: "{id}"}, not as a text')
        return value

    @field_validator("path", "query", "body", "headers", check_fields=False)
    @classmethod
    def _check_placeholders(cls, value: Any, info: ValidationInfo) -> Any:
        check_placeholders(value, cls.filled, info)
        return value


class OnePathCall(Call):
    """A request template with a single path."""

    path: Path

    @property
    def _placeholders(self) -> set[str]:
        return placeholders([self.path, self.query, self.body, self.headers])


class BatchCall(OnePathCall):
    """A request about many tasks. `{ids}` is all ids: joined by commas in a path, query or header, a list in the body.
    Answers are matched by id. If an id is missing in the answer, the provider does not know the task."""

    filled: ClassVar[frozenset[str]] = frozenset({"ids", "action"})

    most: Annotated[int, Field(ge=2, le=1000)] = 50  # maximum number of ids in a request

    @model_validator(mode="after")
    def _check(self) -> BatchCall:
        if "ids" not in self._placeholders:
            raise ValueError("a batch needs {ids} in its path, query, body or headers")
        return self


class SecondCall(OnePathCall):
    """A second request for the results of a finished task. `{value}` is the value that `second_value` selects from the
    task."""

    filled: ClassVar[frozenset[str]] = OF_TASK | {"action", "value"}

    @model_validator(mode="after")
    def _check(self) -> SecondCall:
        if not self.needs_value and not self._placeholders & OF_TASK:
            raise ValueError("the second request needs {value} or {id} in its path, query, body or headers")
        return self

    @cached_property
    def needs_value(self) -> bool:
        """Whether it uses the value that `second_value` selects."""
        return "value" in self._placeholders


class ListCall(OnePathCall):
    """The request for a page of the account's tasks, newest first. Either the answer says where the next page is
    (`next`, `next_url`), or the pages are numbered (`{page}`, `{offset}`).

    `{page}` is the number of the page, from 1; `{offset}` is the number of tasks on the pages before it. `{since_ms}`
    is the creation time to start at, for lists that support that. If a placeholder is a whole value of the body, it is
    a number there.
    """

    filled: ClassVar[frozenset[str]] = frozenset({"action", *PAGING})

    body: Mapping[str, Json] | None = None
    items: Select  # selects the list; everything below, except `next` and `next_url`, selects from an item of it
    id: SelectFirst
    created: SelectFirst
    actions: tuple[str, ...] = ()  # actions that have a separate list each
    next: Mapping[str, Select] = Field(default_factory=dict)  # parameters of the next page, from the answer
    next_url: Select | None = None  # the address of the next page; only its query is used

    @model_validator(mode="after")
    def _check(self) -> ListCall:
        ways = [bool(self.next), self.next_url is not None, self.is_numbered]
        if sum(ways) > 1:
            raise ValueError(
                "use only one of these for the next page: next, next_url, or {page} or {offset} in the request"
            )
        if self.actions and not self.takes_action:
            raise ValueError("actions need {action} in the request")
        return self

    @cached_property
    def takes_action(self) -> bool:
        """Whether each action has a separate list."""
        return bool(self._placeholders - PAGING)

    @cached_property
    def is_numbered(self) -> bool:
        """Whether the request contains the number of the page."""
        return bool(self._placeholders & {"page", "offset"})

    @cached_property
    def is_cut(self) -> bool:
        """Whether the request contains the creation time to start at."""
        return "since_ms" in self._placeholders


class TaskCall(Call):
    """The request about one task, below the account's base URL.

    If there are several paths, a task with an action uses the first path with a placeholder for the action, and a task
    without one the first path without it. All paths are recognized in URLs that people use as ids. The headers are also
    sent with the other requests.
    """

    path: Paths
    auth: Auth = "bearer"
    batch: BatchCall | None = None
    second: SecondCall | None = None
    discover: ListCall | None = None

    @model_validator(mode="after")
    def _check(self) -> TaskCall:
        rest = [self.query, self.body, self.headers]
        if any(not placeholders([path, *rest]) & OF_TASK for path in self.path):
            raise ValueError('a request needs {id} in its path, query, body or headers (there in quotes: "{id}")')
        for name, text in self.headers.items():
            if self.batch is not None and placeholders(text) & OF_TASK and name not in self.batch.headers:
                raise ValueError(f"the header {name} contains {{id}}: write its value for many tasks under batch")
        return self

    @cached_property
    def is_batch_of_one(self) -> bool:
        """Whether the request about one task is the batch request with one id; then its answer is a list, too."""
        if self.batch is None:
            return False
        one, many = (
            f"{call.method} {path} {dict(call.query)} {call.body}"
            for call, path in ((self, self.path[0]), (self.batch, self.batch.path))
        )
        return one == many.replace("{ids}", "{id}")


class DirectCall(TaskCall):
    """The request at the vendor's own hosts: `ask`, with the keys given here replaced."""

    hosts: Annotated[tuple[Annotated[str, AfterValidator(host_name)], ...], Field(min_length=1)]


class Action(DescriptionModel):
    """The possible actions of tasks. A named group of the pattern is a placeholder in requests."""

    pattern: IdPattern
    example: str
    default: str | None = None  # used if neither task nor account names an action
    # maps a pattern of ids to the action of tasks that name none; {NAME} is the text that the group NAME matches
    by_id: Mapping[str, str] = Field(default_factory=dict)
    # the same for a pattern of the paths of create calls, for tasks that the gateway sees
    by_path: Mapping[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Action:
        for text in (self.example, self.default):
            if text is not None and not self.pattern.is_whole(text):
                raise ValueError(f'"{text}" does not fit the pattern')
        for key, known in (("by_id", self.by_id), ("by_path", self.by_path)):
            for pattern, action in known.items():
                Pattern(pattern, longest=MAX_TASK_ID_CHARS)
                if strange := placeholders(action) - set(NAMED_GROUP.findall(pattern)):
                    raise ValueError(f"{key}: {{{min(strange)}}} is not a group of {pattern}")
                if not placeholders(action) and not self.pattern.is_whole(action):
                    raise ValueError(f'{key}: "{action}" does not fit the pattern')
        return self

    def at_path(self, path: str) -> str | None:
        """The action of a task that a call at this path created; None if the path does not show it."""
        for text, action in self.by_path.items():
            if (parts := Pattern(text, longest=MAX_TASK_ID_CHARS).parts(path)) is not None:
                return "".join(parts[piece] if at % 2 else piece for at, piece in enumerate(PLACEHOLDERS.split(action)))
        return None

    def parts(self, action: str) -> dict[str, str]:
        """The texts that the named groups of the pattern match in an action."""
        return self.pattern.parts(action) or {}


class KeyPair(DescriptionModel):
    """For accounts with access_key and secret_key. Either how to make a token (`jwt`), with the codes for a token that
    is not valid yet or has expired. Or how to sign each request, for a region and a service of the vendor."""

    sign: Literal["jwt", "volcengine"]
    early: tuple[int, ...] = ()
    expired: tuple[int, ...] = ()
    region: str = ""
    service: str = ""

    @property
    def signs_requests(self) -> bool:
        """Whether each request is signed, instead of containing a token."""
        return self.sign != "jwt"

    @model_validator(mode="after")
    def _check(self) -> KeyPair:
        has_place, has_codes = bool(self.region or self.service), bool(self.early or self.expired)
        if (has_codes or not (self.region and self.service)) if self.signs_requests else has_place:
            raise ValueError("jwt has the keys early and expired; a signature has the keys region and service")
        return self
