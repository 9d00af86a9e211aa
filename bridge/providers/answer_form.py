"""The forms of a provider's answers, as its description has them: codes, and where task, status and results are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    StrictInt,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bridge.domain.task import Json, ReadingKind
from bridge.providers.aggregators import WORDS, fold
from bridge.providers.calls import AS_MAPPING, AS_TEXT, DescriptionModel, Path, check_placeholders, written_as
from bridge.providers.json_values import ProgressForm
from bridge.providers.selector import Select, SelectFirst, Selector
from bridge.providers.task_rules import OF_TASK, listed

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
    return value if isinstance(value, Mapping) else {name: name for name in _texts(value)}


def _named(value: Any) -> Any:
    return value if isinstance(value, Mapping) else dict.fromkeys(_texts(value), "any")


def _texts(value: Any) -> Sequence[str]:
    texts: Sequence[str] = listed(value)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("must be a list of keys, or a mapping")
    return texts


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
        if code is None or (type(code) is int and code in self._good):  # by far the most frequent cases
            return True
        return _key(code) in self._good

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
