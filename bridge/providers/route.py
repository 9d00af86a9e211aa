"""How a description says where and how to ask: request templates, actions, ways to show a key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from bridge.config.values import header_name
from bridge.domain.task import Json

PLACES: Final = re.compile(r"\{(.*?)\}")
HEADER: Final = re.compile(r"(header|query) ([A-Za-z0-9_-]+)")


class Model(BaseModel):
    """Frozen; unknown keys are mistakes. Numbers may be written as text and text as numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, coerce_numbers_to_str=True)


def pattern(text: str) -> str:
    """A regular expression, checked."""
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from None
    return text


def listed(value: Any) -> Any:
    """One value may stand for a list of one."""
    return value if isinstance(value, list | tuple) else [value]


def _path(text: str) -> str:
    if not text.startswith(("/", "https://")):
        raise ValueError("a path begins with / (or, for another host of the vendor's, with https://)")
    if strange := set(PLACES.findall(text)) - {"id", "+id", "ids", "action", "value"}:
        raise ValueError(f"{{{min(strange)}}} stands for nothing; a path holds {{id}} and, where needed, {{action}}")
    return text


def _auth(text: str) -> str:
    if text not in {"bearer", "token", "signed"} and HEADER.fullmatch(text) is None:
        raise ValueError('auth is bearer, token, signed, "header NAME" or "query NAME"')
    return text


def _header_value(text: str) -> str:
    if not text.isprintable():
        raise ValueError("the value of a header is one line of printable characters")
    return text


Pattern = Annotated[str, AfterValidator(pattern)]
Path = Annotated[str, AfterValidator(_path)]
Paths = Annotated[tuple[Path, ...], BeforeValidator(listed), Field(min_length=1)]


class Call(Model):
    """A request template. In path, query and body `{id}` is the task's id (percent-encoded where it must be;
    `{+id}` keeps its slashes) and `{action}` its action."""

    method: Literal["GET", "POST"] = "GET"
    query: Mapping[str, str] = Field(default_factory=dict)
    body: Json = None  # sent as JSON


class Batch(Call):
    """The request that asks about many tasks at once. `{ids}` is all their ids: joined by commas in a path or query,
    a list in the body. Answers are matched by id; an id that is absent is not known there."""

    path: Path
    most: Annotated[int, Field(ge=2, le=1000)] = 50  # ids a request

    @model_validator(mode="after")
    def _check(self) -> Batch:
        if "{ids}" not in f"{self.path}{self.query}{self.body}":
            raise ValueError("a batch holds {ids} in its path, query or body")
        return self


class Second(Call):
    """A second request that a finished task needs: `{value}` is what `value` selects from the task."""

    path: Path

    @model_validator(mode="after")
    def _check(self) -> Second:
        if "{value}" not in f"{self.path}{self.query}{self.body}":
            raise ValueError("the second request holds {value} in its path, query or body")
        return self


class Route(Call):
    """How to ask at one kind of host, below the account's base URL. Of several paths the first is asked that has
    `{action}` when the task has one, and else none; all are known again in URLs that people give as ids."""

    path: Paths
    headers: Mapping[Annotated[str, AfterValidator(header_name)], Annotated[str, AfterValidator(_header_value)]] = (
        Field(default_factory=dict)
    )
    auth: Annotated[str, AfterValidator(_auth)] = "bearer"
    batch: Batch | None = None
    second: Second | None = None

    @model_validator(mode="after")
    def _check(self) -> Route:
        rest = f"{self.query}{self.body}"
        if any("{id}" not in path + rest and "{+id}" not in path + rest for path in self.path):
            raise ValueError("a request holds {id} in its path, query or body")
        return self

    @cached_property
    def is_batch_of_one(self) -> bool:
        """Whether the question about one task is that about many, with one id: both are answered by a list then."""
        if self.batch is None:
            return False
        one, many = (
            f"{call.method} {path} {dict(call.query)} {call.body}"
            for call, path in ((self, self.path[0]), (self.batch, self.batch.path))
        )
        return one == many.replace("{ids}", "{id}")

    @cached_property
    def needs_action(self) -> bool:
        """Whether nothing can be asked without an action."""
        return "{action}" in f"{self.query}{self.body}" or all("{action}" in path for path in self.path)

    @cached_property
    def takes_action(self) -> bool:
        """Whether an action makes a difference."""
        return self.needs_action or any("{action}" in path for path in self.path)


class Direct(Route):
    """The route at the vendor's own hosts: `ask`, with what is written here in place of what stands there."""

    hosts: tuple[str, ...]


class Action(Model):
    """What a task's action may be, whole."""

    pattern: Pattern
    example: str
    default: str | None = None  # where neither task nor account names one

    @model_validator(mode="after")
    def _check(self) -> Action:
        for text in (self.example, self.default):
            if text is not None and re.fullmatch(self.pattern, text) is None:
                raise ValueError(f'"{text}" does not fit the pattern')
        return self


class KeyPair(Model):
    """For accounts with access_key and secret_key: which function makes a token of them (`jwt`), with the codes that
    say that it is not valid yet (made anew, valid from earlier on) or no longer (made anew); or which one signs each
    request, for a region and a service of the vendor's."""

    sign: Literal["jwt", "volcengine"]
    early: tuple[int, ...] = ()
    expired: tuple[int, ...] = ()
    region: str = ""
    service: str = ""

    @property
    def signs_requests(self) -> bool:
        """Whether each request is signed, so that there is no token to show."""
        return self.sign != "jwt"

    @model_validator(mode="after")
    def _check(self) -> KeyPair:
        if self.signs_requests != bool(self.region and self.service) or (self.signs_requests and self.early):
            raise ValueError("a token (jwt) has early and expired codes, a signature a region and a service")
        return self
