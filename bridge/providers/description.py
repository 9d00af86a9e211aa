"""The language in which a provider is described: a model of what a vendor's task form looks like.

A description is data: how to ask, which codes mean what, which forms an answer may have, and where in each form the
id, the status, the results, the message and the times stand. Paths are JMESPath. `builtin/*.yaml` and the `providers:`
of people's settings are written in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, StrictInt, model_validator

from bridge.config.durations import parse_duration
from bridge.domain.task import Json, Kind
from bridge.providers.merging import merged
from bridge.providers.route import Action, Direct, KeyPair, Model, Pattern, Route, listed
from bridge.providers.selector import Select, SelectFirst, Selector
from bridge.providers.values import PROGRESS

DIGITS: Final = re.compile(r"-?[0-9]{1,18}")

SPOKEN: Final = frozenset(
    {
        *(Kind.PENDING, Kind.RUNNING, Kind.SUCCEEDED, Kind.FAILED, Kind.CANCELED),
        *(Kind.EXPIRED_RESULT, Kind.NEEDS_INPUT, Kind.NOT_FOUND),
    }
)
"""What a status word can mean."""

CODED: Final = frozenset(
    {
        *(Kind.AUTH_ERROR, Kind.ACCOUNT_ERROR, Kind.RATE_LIMITED, Kind.NOT_FOUND, Kind.BAD_REQUEST, Kind.TRANSIENT),
        *(Kind.FAILED, Kind.EXPIRED_RESULT),
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


def _keys(code: int | str) -> set[float | str | None]:
    """What a code in a description stands for: digits may be written as text there and are numbers all the same."""
    return {_key(code), int(code)} if isinstance(code, str) and DIGITS.fullmatch(code) else {_key(code)}


def _duration(value: Any) -> Any:
    return parse_duration(str(value)) if isinstance(value, str | int | float) and not isinstance(value, bool) else value


def _progress(name: str) -> str:
    if name not in PROGRESS:
        raise ValueError(f"no way to read progress; there are {', '.join(PROGRESS)}")
    return name


def _code(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("a word or a whole number is needed here; yes, no, true, false and null are words in quotes")
    return value


def _itself(value: Any) -> Any:
    return value if isinstance(value, Mapping) else {name: name for name in listed(value)}


def _named(value: Any) -> Any:
    return value if isinstance(value, Mapping) else dict.fromkeys(listed(value), "any")


Kept = Literal["model", "version", "input", "metrics", "urls", "started_at", "logs"]
ResultKind = Literal["videos", "images", "audios", "texts", "files"]
Code = Annotated[StrictInt | str, BeforeValidator(_code)]
DurationS = Annotated[float, BeforeValidator(_duration), PlainSerializer(lambda seconds: f"{seconds:.15g}s")]


class Codes(Model):
    """The answer's own code: a number or a word, told by type. It is judged before the HTTP status."""

    at: Select
    good: tuple[Code, ...]
    means: Mapping[Kind, tuple[Code, ...]] = Field(default_factory=dict)
    otherwise: Kind | None = None  # what any other code means, on HTTP 2xx; null: nobody knows

    @model_validator(mode="after")
    def _check(self) -> Codes:
        if strange := {*self.means, *([self.otherwise] if self.otherwise else [])} - CODED:
            raise ValueError(f"a code cannot mean {', '.join(sorted(strange))}")
        if len(self._meaning) != sum(len(_keys(code)) for codes in self.means.values() for code in codes):
            raise ValueError("a code means two things")
        if twofold := self._good & set(self._meaning):
            raise ValueError(f"the code {min(map(str, twofold))} is good and means something else")
        return self

    def is_good(self, code: Json) -> bool:
        """Whether the code says that all is well."""
        return code is None or _key(code) in self._good

    def kind(self, code: Json, *, is_2xx: bool) -> Kind | None:
        """What a code that is not good means; None when that is unknown."""
        return self._meaning.get(_key(code), self.otherwise if is_2xx else None)

    @cached_property
    def _good(self) -> frozenset[float | str | None]:
        return frozenset(key for code in self.good for key in _keys(code))

    @cached_property
    def _meaning(self) -> Mapping[float | str | None, Kind]:
        return {key: kind for kind, codes in self.means.items() for code in codes for key in _keys(code)}


class Results(Model):
    """One place where results may stand; all that its keys select is collected, in the order they have here.

    `videos` to `files` select addresses (or objects that hold them) of a known kind, `texts` words themselves; `lists`
    an object whose keys name the kinds, or a list of items; `url` addresses of any kind; `walk` anything at all, in
    which addresses are looked for; `content` is a path of the account's own, `embedded` data within the answer.
    """

    lists: Select | None = None
    videos: SelectFirst = ()
    images: SelectFirst = ()
    audios: SelectFirst = ()
    files: SelectFirst = ()
    texts: SelectFirst = ()
    url: SelectFirst = ()
    walk: Select | None = None
    content: Mapping[ResultKind, str] = Field(default_factory=dict)
    embedded: SelectFirst = ()
    at_least: int = 1  # the place counts only with so many

    @model_validator(mode="after")
    def _check(self) -> Results:
        if not self.model_fields_set - {"at_least"}:
            raise ValueError("name where the results stand: videos, images, audios, files, texts, url, lists or walk")
        return self


class Form(Model):
    """One shape of an answer. It is this form when `task` selects an object that has `status` (and, for an object
    without an envelope round it, an id of its own), or a list of which one item has our id."""

    task: SelectFirst  # from the answer; everything below from the task
    id: SelectFirst = ()
    id_aliases: SelectFirst = ()
    status: Select
    words: Mapping[Kind, tuple[Code, ...]]
    message: SelectFirst = ()
    progress: SelectFirst = ()
    progress_as: Annotated[str, AfterValidator(_progress)] = "percent"
    created: SelectFirst = ()
    updated: SelectFirst = ()
    expires: SelectFirst = ()
    expired: Select | None = None  # says that the provider has deleted the results
    results: tuple[Results, ...]
    # keys of an item that are addresses, with their kinds; every other key is an attribute
    result_urls: Annotated[Mapping[str, ResultKind | Literal["any"]], BeforeValidator(_named)] = Field(
        default={"url": "any"}
    )
    result_kind: Select | None = None  # from an item: video, image, ...
    otherwise: ResultKind = "files"  # what a result is when neither key, item, file name nor action tells
    attributes: Mapping[str, Select] = Field(default_factory=dict)  # from an item: what it lacks under these names
    # fields of the task that are kept as they are, for the webhook format `replicate`; the first ones first
    keep: Annotated[Mapping[Kept, SelectFirst], BeforeValidator(_itself)] = Field(default_factory=dict)
    second_value: Select | None = None  # {value} of the second request; its answer then stands under `second`

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
        return {fold(str(word)): kind for kind, words in self.words.items() for word in words}

    def kind_of(self, word: Json) -> Kind | None:
        """What a status means; None for an unknown word, and for what is no word."""
        if isinstance(word, str):
            return self.meaning.get(word) or self.meaning.get(fold(word))
        is_number = isinstance(word, int) and not isinstance(word, bool)
        return self.meaning.get(str(word)) if is_number else None


class Created(Model):
    """The answer of a create call. `id` selects the new task's id, or `url` its query URL; `when` says whether an
    answer of unknown origin looks like this provider's."""

    when: Select
    id: SelectFirst = ()
    url: Select | None = None


class Life(Model):
    """How long results can be fetched, counted from the task's time of this name."""

    lasts: DurationS
    since: Literal["created", "updated"] = "updated"


class Description(Model):
    """One provider."""

    name: str
    title: str
    ask: Route
    direct: Direct | None = None
    action: Action | None = None
    key_pair: KeyPair | None = None
    codes: Codes | None = None
    empty_means: Literal[Kind.NOT_FOUND] | None = None  # an empty body with HTTP 200
    error_message: SelectFirst = Field(
        default=("message", "error.message", "error", "detail", "description"), validate_default=True
    )  # of an answer that speaks of no task
    retry_after: SelectFirst = ()  # seconds, or text such as "resets in ~30s"
    forms: Mapping[str, Form]  # the first that fits
    created: Created | None = None
    result_life: Life | None = None
    needs_key: Pattern | None = None  # result URLs in which this is found can be fetched with the key alone
    most_bytes: Annotated[int, Field(ge=1024, le=64 << 20)] = 1 << 20  # of an answer

    @cached_property
    def places(self) -> tuple[tuple[Form, Selector], ...]:
        """Where a task may be found in an answer, in the order in which it is looked for."""
        return tuple((form, selector) for form in self.forms.values() for selector in form.task)

    @model_validator(mode="before")
    @classmethod
    def _complete_direct(cls, tree: Any) -> Any:
        if (
            isinstance(tree, Mapping)
            and isinstance(tree.get("direct"), Mapping)
            and isinstance(tree.get("ask"), Mapping)
        ):
            return {**tree, "direct": merged(tree["ask"], tree["direct"])}
        return tree

    @model_validator(mode="after")
    def _check(self) -> Description:
        if self.action is None and self.ask.needs_action:
            raise ValueError("the request holds {action}: say under action what it may be (pattern, example)")
        pair, routes = self.key_pair, (self.ask, self.direct)
        if any(route and route.auth == "signed" for route in routes) and not (pair and pair.signs_requests):
            raise ValueError("auth is signed: say under key_pair which function signs")
        return self

    @cached_property
    def takes_action(self) -> bool:
        """Whether an action makes a difference to what is asked."""
        return self.ask.takes_action or (self.direct is not None and self.direct.takes_action)

    def route(self, host: str | None) -> Route:
        """How to ask at this host."""
        return self.direct if self.direct is not None and host in self.direct.hosts else self.ask
