"""The model of a provider description.

A description says how to poll a task, what codes mean, which forms an answer may have, and where each form contains the
id, the status, the results, the message and the times. Paths are JMESPath. `builtin/*.yaml` and `providers:` in the
settings contain descriptions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, tzinfo
from functools import cached_property
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    PlainSerializer,
    StrictInt,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bridge.config.provider_trees import merged
from bridge.config.validators import base_url as checked_base_url
from bridge.domain.task import Json, ReadingKind
from bridge.providers.aggregators import WORDS, fold
from bridge.providers.callback_signatures import CallbackRule
from bridge.providers.calls import (
    AS_MAPPING,
    AS_TEXT,
    Action,
    DescriptionModel,
    DirectCall,
    DurationS,
    IdPattern,
    KeyPair,
    Path,
    TaskCall,
    UrlPattern,
    check_placeholders,
    written_as,
)
from bridge.providers.json_values import ProgressForm
from bridge.providers.selector import Select, SelectFirst, Selector
from bridge.providers.task_rules import OF_TASK, TaskRules, listed, needs_action

DIGITS: Final = re.compile(r"-?[0-9]{1,18}")


def _key(code: Json) -> float | str | None:
    """A code in a form for comparisons: a number (not a bool), even if it is sent as text; a word in lower case; or
    None."""
    if isinstance(code, str):
        word = code.strip()
        return int(word) if DIGITS.fullmatch(word) else word.casefold()
    return code if isinstance(code, int | float) and not isinstance(code, bool) else None


def _code(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("must be a word or a whole number; write the words yes, no, true, false and null in quotes")
    return value


def _itself(value: Any) -> Any:
    return value if isinstance(value, Mapping) else {name: name for name in listed(value)}


def _named(value: Any) -> Any:
    return value if isinstance(value, Mapping) else dict.fromkeys(listed(value), "any")


Kept = Literal["model", "version", "input", "metrics", "urls", "started_at", "logs"]
ResultKind = Literal["videos", "images", "audios", "texts", "files"]
AnyKind = Literal["videos", "images", "audios", "texts", "files", "any"]
Code = Annotated[StrictInt | str, BeforeValidator(_code)]
StatusKind = Literal[
    ReadingKind.PENDING,
    ReadingKind.RUNNING,
    ReadingKind.SUCCEEDED,
    ReadingKind.FAILED,
    ReadingKind.CANCELED,
    ReadingKind.EXPIRED_RESULT,
    ReadingKind.NEEDS_INPUT,
    ReadingKind.NOT_FOUND,
]
"""The kinds that a status word can mean."""


ERROR_CODES: Final = (*("error.code", "error_code", "errorCode", "fail_code", "failCode", "failureCode", "err_code"),)
"""Where failed tasks usually have their error code."""


class Codes(DescriptionModel):
    """The answer's own code, a number or a word. It takes precedence over the HTTP status."""

    at: Select
    good: tuple[Code, ...]
    means: Mapping[ReadingKind, tuple[Code, ...]] = Field(default_factory=dict)
    otherwise: ReadingKind | None = None  # the meaning of any other code with HTTP 2xx; null: unknown

    @model_validator(mode="after")
    def _check(self) -> Codes:
        codes = [_key(code) for each in self.means.values() for code in each]
        if twice := next((code for code in codes if codes.count(code) > 1), None):
            raise ValueError(f"the code {twice} has two meanings; list it once")
        if twofold := self._good & set(self._meaning):
            raise ValueError(f"the code {min(map(str, twofold))} is in both good and means")
        return self

    def of(self, answer: Json) -> float | str | None:
        """The code of an answer; a number also if it is sent as text."""
        return _key(self.at(answer))

    def is_good(self, code: Json) -> bool:
        return code is None or _key(code) in self._good

    def kind(self, code: Json, *, is_2xx: bool) -> ReadingKind | None:
        """The meaning of a code that is not a success; None if it is unknown."""
        return self._meaning.get(_key(code), self.otherwise if is_2xx else None)

    @cached_property
    def _good(self) -> frozenset[float | str | None]:
        return frozenset(map(_key, self.good))

    @cached_property
    def _meaning(self) -> Mapping[float | str | None, ReadingKind]:
        return {_key(code): kind for kind, codes in self.means.items() for code in codes}


class OwnFiles(DescriptionModel):
    """Results on the account's own server: `path` is the address of each item. `{value}` is an item that is text,
    `{KEY}` the value of KEY in an item that is an object."""

    each: Select
    path: Path


class Results(DescriptionModel):
    """One place where results may be. Everything that its keys select is collected, in this order.

    `videos` to `files` select addresses of one kind, or objects that contain them. `texts` selects results that are
    texts. `lists` selects an object whose keys name the kinds, or a list of items. `url` selects addresses of any kind,
    and `walk` any value that contains addresses. `usual` are the keys under which aggregators put results. `content`
    are paths on the account's own server. `embedded` is base64 inside the answer.
    """

    lists: Select | None = None
    videos: SelectFirst = ()
    images: SelectFirst = ()
    audios: SelectFirst = ()
    files: SelectFirst = ()
    texts: SelectFirst = ()
    url: SelectFirst = ()
    walk: Select | None = None
    usual: bool = False
    content: Mapping[
        AnyKind,
        Annotated[Annotated[Path, Tag(AS_TEXT)] | Annotated[OwnFiles, Tag(AS_MAPPING)], Discriminator(written_as)],
    ] = Field(default_factory=dict)
    embedded: SelectFirst = ()
    at_least: int = 1  # the place counts only if it has at least this many results

    @cached_property
    def addresses(self) -> Mapping[str, tuple[Selector, ...]]:
        """What selects addresses, by the kind of the result ("" for any)."""
        named = {kind: getattr(self, kind) for kind in ("videos", "images", "audios", "files")}
        return {kind: selectors for kind, selectors in {**named, "": self.url}.items() if selectors}

    @field_validator("content")
    @classmethod
    def _check_content(cls, value: Mapping[str, str | OwnFiles], info: ValidationInfo) -> Mapping[str, str | OwnFiles]:
        check_placeholders([path for path in value.values() if isinstance(path, str)], OF_TASK | {"action"}, info)
        return value

    @model_validator(mode="after")
    def _check(self) -> Results:
        if not self.model_fields_set - {"at_least"}:
            raise ValueError(
                "say where the results are: videos, images, audios, files, texts, url, lists, walk, usual, content or "
                "embedded"
            )
        return self


class Form(DescriptionModel):
    """One form of an answer. An answer has this form if `when` is true and `task` selects the polled task. `task` may
    select an object with `status`, or a list in which one item has the task's id. If it selects the whole answer, that
    must contain an id, too."""

    last_resort: bool = False  # used only if no other form fits, not even inside the wrapper of an aggregator
    task: SelectFirst  # selects the task from the answer; everything below selects from the task
    when: Select | None = None
    id: SelectFirst = ()
    id_aliases: SelectFirst = ()
    status: Select
    words: Mapping[StatusKind, tuple[Code, ...]]
    usual_words: bool = False  # a word that is not in `words` has the meaning that it has at most aggregators
    message: SelectFirst = ()
    error_code: SelectFirst = Field(default=ERROR_CODES, validate_default=True)
    withheld: SelectFirst = ()  # the reason why results of a success are missing
    progress: SelectFirst = ()
    progress_as: ProgressForm = "percent"
    created: SelectFirst = ()
    updated: SelectFirst = ()
    expires: SelectFirst = ()
    expired: Select | None = None  # true if the provider has deleted the results
    results: tuple[Results, ...]
    # keys of an item that are addresses, with their kinds; every other key is an attribute
    result_urls: Annotated[Mapping[str, AnyKind], BeforeValidator(_named)] = Field(default={"url": "any"})
    result_kind: Select = Field(default="type || content_type || mime_type || mimeType", validate_default=True)
    otherwise: ResultKind = "files"  # the kind of a result if neither key, item, file name nor action shows it
    attributes: Mapping[str, Select] = Field(default_factory=dict)  # for missing keys of an item
    # fields of the task to keep, for the webhook format `replicate`; the first ones take precedence
    keep: Annotated[Mapping[Kept, SelectFirst], BeforeValidator(_itself)] = Field(default_factory=dict)
    second_value: Select | None = None  # {value} of the second request, whose answer is then under `second`

    @model_validator(mode="after")
    def _check(self) -> Form:
        if not self.words and not self.usual_words:
            raise ValueError("words is empty, so no status would be known; list the words, or set usual_words: true")
        kinds: dict[str, ReadingKind] = {}
        for kind, words in self.words.items():
            for word in words:
                if kinds.setdefault(fold(str(word)), kind) is not kind:
                    raise ValueError(f'the status word "{word}" is there twice')
        return self

    @cached_property
    def meaning(self) -> Mapping[str, ReadingKind]:
        """The meaning of each normalized status word."""
        return {fold(str(word)): kind for kind, words in self.words.items() for word in words}

    def holds_for(self, task: Json) -> bool:
        """Whether the condition of the form is true. True if the form has no condition."""
        held: Json = True if self.when is None else self.when(task)
        return held is not None and held is not False and held not in ("", [], {})

    def word_of(self, task: Json) -> Json:
        """The status of a task in this form; None if the task has another form."""
        if self.when is not None and not self.holds_for(task):
            return None
        word = self.status(task)
        return None if word is False else word  # `condition && 'word'` is false if the condition is not met

    def kind_of(self, word: Json) -> ReadingKind | None:
        """The meaning of a status; None for an unknown word, and for anything that is not a word."""
        if isinstance(word, str):
            own = self.meaning.get(word) or self.meaning.get(folded := fold(word))
            return WORDS.get(folded) if own is None and self.usual_words else own
        is_number = isinstance(word, int) and not isinstance(word, bool)
        return self.meaning.get(str(word)) if is_number else None


class Created(DescriptionModel):
    """The answer of a create call. `id` selects the id of the new task, or `url` its query URL. `when` says whether an
    answer of unknown origin looks like one of this provider."""

    when: Select
    id: SelectFirst = ()
    url: Select | None = None


class IdRule(DescriptionModel):
    """Which ids are possible. Replaces the general rule for all providers."""

    pattern: IdPattern


class Life(DescriptionModel):
    """How long results can be downloaded, counted from this time of the task."""

    lasts: DurationS
    since: Literal["created", "updated"] = "updated"


def _zone(name: Any) -> Any:
    if isinstance(name, tzinfo):
        return name
    try:
        return ZoneInfo(str(name))
    except (ValueError, OSError, KeyError):  # includes ZoneInfoNotFoundError, which is a KeyError
        raise ValueError(f'unknown time zone "{name}"; write e.g. Asia/Shanghai') from None


class Times(DescriptionModel):
    """The time zone for times in answers that contain none."""

    zone: Annotated[tzinfo, BeforeValidator(_zone), PlainSerializer(str)] = UTC


class DefaultLimits(DescriptionModel):
    """The limits of accounts that set none."""

    rate: Annotated[float, Field(gt=0, le=1000)] | None = None  # requests per second
    burst: Annotated[int, Field(ge=1, le=10_000)] | None = None  # requests at once after a pause
    concurrency: Annotated[int, Field(ge=1, le=1000)] | None = None  # requests in flight


class Description(DescriptionModel):
    """One provider."""

    name: str
    title: str
    base_url: Annotated[tuple[Annotated[str, AfterValidator(checked_base_url)], ...], BeforeValidator(listed)] = ()
    limits: DefaultLimits = DefaultLimits()
    ask: TaskCall
    direct: DirectCall | None = None
    action: Action | None = None
    id: IdRule | None = None
    key_pair: KeyPair | None = None
    codes: Codes | None = None
    empty_means: Literal[ReadingKind.NOT_FOUND, ReadingKind.PENDING, ReadingKind.RUNNING] | None = None  # with HTTP 200
    # Messages of an answer that is not about a task.
    error_message: SelectFirst = Field(
        default=("message", "error.message", "error", "detail", "description"), validate_default=True
    )
    # Its error code.
    error_code: SelectFirst = Field(default=("error.code", "error_code", "code"), validate_default=True)
    retry_after: SelectFirst = ()  # seconds, or a text such as "resets in ~30s"
    times: Times = Times()
    forms: Mapping[str, Form]  # the first form that fits is used
    created: Created | None = None
    callback: CallbackRule | None = None
    result_life: Life | None = None
    needs_key: UrlPattern | None = None  # result URLs that match this can only be opened with the key
    most_bytes: Annotated[int, Field(ge=1024, le=64 << 20)] = 1 << 20  # maximum size of an answer

    @cached_property
    def places(self) -> tuple[tuple[Form, Selector], ...]:
        """Where a task may be in an answer, in the order of the search."""
        return tuple((form, at) for form in self.forms.values() if not form.last_resort for at in form.task)

    @cached_property
    def last_places(self) -> tuple[tuple[Form, Selector], ...]:
        """Where a task may be if it is at none of the `places`."""
        return tuple((form, at) for form in self.forms.values() if form.last_resort for at in form.task)

    @field_validator("forms", mode="before")
    @classmethod
    def _check_names(cls, forms: Any) -> Any:
        if isinstance(forms, Mapping) and isinstance(forms.get("task"), str | list):
            raise ValueError("a form needs a name: write its keys below forms: {NAME: ...}")
        return forms

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
        if self.action is None and needs_action(self.ask.model_dump()):
            raise ValueError("the request contains {action}: describe it under action (pattern, example)")
        second, pair = self.ask.second, self.key_pair
        if second and second.needs_value and not any(form.second_value for form in self.forms.values()):
            raise ValueError("the second request contains {value}: say where it is under second_value of a form")
        if any(route.auth == "signed" for route in self.routes) and not (pair and pair.signs_requests):
            raise ValueError("auth: signed needs key_pair: {sign: volcengine, region: REGION, service: SERVICE}")
        return self

    @property
    def default_base_url(self) -> str | None:
        """The base URL of accounts that set none: the official host, if there is only one."""
        return self.base_url[0] if len(self.base_url) == 1 else None

    @property
    def default_action(self) -> str | None:
        return None if self.action is None else self.action.default

    def acting(self, task_id: str, action: str | None) -> str | None:
        """The action of a task: its own, or else the one that its id shows, or else the default."""
        return action or self.task_rules.default_action(task_id)

    @cached_property
    def task_rules(self) -> TaskRules:
        """The possible ids and actions of tasks."""
        return TaskRules.of(self.model_dump(include={"action", "id", "ask", "direct"}))

    @property
    def routes(self) -> tuple[TaskCall, ...]:
        """The requests for accounts at any host."""
        return (self.ask,) if self.direct is None else (self.ask, self.direct)

    def route(self, host: str | None) -> TaskCall:
        """The request for accounts at this host."""
        return self.direct if self.direct is not None and host in self.direct.hosts else self.ask
