"""The language in which a provider is described: a model of what a vendor's task form looks like.

A description is data: where to ask, which codes mean what, which forms an answer may have, and where in each form the
id, the status, the results, the message and the times stand. Paths are JMESPath. `builtin/*.yaml` are written in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from bridge.domain.task import Json, Kind
from bridge.providers.selector import Select, SelectFirst

SPOKEN: Final = frozenset({Kind.PENDING, Kind.RUNNING, Kind.SUCCEEDED, Kind.FAILED, Kind.CANCELED})
"""What a status word can mean."""

CODED: Final = frozenset(
    {
        Kind.AUTH_ERROR,
        Kind.ACCOUNT_ERROR,
        Kind.RATE_LIMITED,
        Kind.NOT_FOUND,
        Kind.BAD_REQUEST,
        Kind.TRANSIENT,
    }
)
"""What an error code can mean."""


def fold(word: str) -> str:
    """How words are compared: trimmed, in lower case."""
    return word.strip().casefold()


def _key(code: Json) -> float | str | None:
    """How a code is compared: a number (no bool is one) as it is, a word folded; None for anything else."""
    if isinstance(code, str):
        return fold(code)
    return code if isinstance(code, int | float) and not isinstance(code, bool) else None


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from None
    return text


def _template(text: str) -> str:
    if not text.startswith("/") or "{id}" not in text or set(re.findall(r"\{(.*?)\}", text)) - {"id", "action"}:
        raise ValueError("a path begins with / and holds {id}, and {action} where one is needed")
    return text


Code = Annotated[int | str, Field(union_mode="left_to_right")]
Template = Annotated[str, AfterValidator(_template)]


class Model(BaseModel):
    """Frozen; unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, strict=False)


class Direct(Model):
    """The vendor's own hosts, which may answer on another path than aggregators do."""

    hosts: tuple[str, ...]
    path: Template


class Ask(Model):
    """The request that asks about one task. Below the account's base URL; the id is percent-encoded."""

    path: Template
    direct: Direct | None = None
    action: Annotated[str, AfterValidator(_pattern)] | None = None  # what {action} may be, whole
    auth: Literal["bearer"] = "bearer"
    headers: Mapping[str, str] = Field(default_factory=dict)


class Codes(Model):
    """The answer's own code: a number or a word, told by type. It is judged before the HTTP status."""

    at: Select
    good: tuple[Code, ...]
    means: Mapping[Kind, tuple[Code, ...]]

    @model_validator(mode="after")
    def _check(self) -> Codes:
        if strange := set(self.means) - CODED:
            raise ValueError(f"a code cannot mean {', '.join(sorted(strange))}")
        return self

    def is_good(self, code: Json) -> bool:
        """Whether the code says that all is well."""
        return code is None or _key(code) in self._good

    def kind(self, code: Json) -> Kind | None:
        """What a code that is not good means; None when that is unknown."""
        return self._meaning.get(_key(code))

    @cached_property
    def _good(self) -> frozenset[float | str | None]:
        return frozenset(map(_key, self.good))

    @cached_property
    def _meaning(self) -> Mapping[float | str | None, Kind]:
        return {_key(code): kind for kind, codes in self.means.items() for code in codes}


class Results(Model):
    """One place where results may stand: `lists` is an object whose keys name the kinds and whose values list the
    items; `url` is the address of a single one. `at_least` makes it count only with so many."""

    lists: Select | None = None
    url: Select | None = None
    at_least: int = 1

    @model_validator(mode="after")
    def _check(self) -> Results:
        if (self.lists is None) == (self.url is None):
            raise ValueError("give either lists or url")
        return self


class Form(Model):
    """One shape of an answer. It is this form when `task` selects an object that has `status` (and, for an object
    without an envelope round it, an id of its own), or a list of which one item has our id."""

    task: SelectFirst  # from the answer; everything below from the task
    id: Select
    id_aliases: SelectFirst = ()
    status: Select
    words: Mapping[Kind, tuple[str, ...]]
    message: SelectFirst = ()
    progress: SelectFirst = ()
    created: SelectFirst = ()
    updated: SelectFirst = ()
    results: tuple[Results, ...]
    result_urls: tuple[str, ...] = ("url",)  # keys of an item that are results; every other key is an attribute

    @model_validator(mode="after")
    def _check(self) -> Form:
        if strange := set(self.words) - SPOKEN:
            raise ValueError(f"a status word cannot mean {', '.join(sorted(strange))}")
        if len(self.meaning) != sum(map(len, self.words.values())):
            raise ValueError("a status word stands twice")
        return self

    @cached_property
    def meaning(self) -> Mapping[str, Kind]:
        """From a folded status word to what it means."""
        return {fold(word): kind for kind, words in self.words.items() for word in words}


class Description(Model):
    """One provider."""

    name: str
    title: str
    ask: Ask
    codes: Codes
    error_message: SelectFirst  # of an answer that speaks of no task
    forms: Mapping[str, Form]  # the first that fits
    result_life_s: int | None = None
