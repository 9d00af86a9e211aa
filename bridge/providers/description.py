"""The model of a provider description.

A description says how to poll a task, what codes mean, which forms an answer may have, and where each form contains the
id, the status, the results, the message and the times. Paths are JMESPath. `builtin/*.yaml` and `providers:` in the
settings contain descriptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, tzinfo
from functools import cached_property
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    field_validator,
    model_validator,
)

from bridge.config.provider_trees import merged
from bridge.config.secret import has_reference
from bridge.config.validators import base_url as checked_base_url
from bridge.domain.task import ReadingKind
from bridge.providers.answer_form import Codes, Form
from bridge.providers.callback_signatures import CallbackRule
from bridge.providers.calls import (
    Action,
    DescriptionModel,
    DirectCall,
    DurationS,
    IdPattern,
    KeyPair,
    TaskCall,
    UrlPattern,
)
from bridge.providers.selector import Select, SelectFirst, Selector
from bridge.providers.task_rules import TaskRules, listed, needs_action


class Created(DescriptionModel):
    """The answer of a create call. `id` selects the id of the new task, or `url` its query URL. `when` says whether an
    answer of unknown origin looks like one of this provider. Paths that contain one of `not_at` create something else
    with an answer of the same form."""

    when: Select
    id: SelectFirst = ()
    url: Select | None = None
    not_at: tuple[str, ...] = ()


class IdRule(DescriptionModel):
    """Which ids are possible. Replaces the general rule for all providers."""

    pattern: IdPattern


class Life(DescriptionModel):
    """How long results can be downloaded, counted from this time of the task. `polled`: from each poll, because each
    gets new URLs."""

    lasts: DurationS
    since: Literal["created", "updated", "polled"] = "updated"


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
    key_variable: Annotated[str, Field(pattern="^[A-Z][A-Z0-9_]*$")] | None = None  # None: NAME_API_KEY
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

    def route(self, base_url: str) -> TaskCall:
        """The request for accounts at this base URL. One with references counts as that of an aggregator."""
        if self.direct is None or has_reference(base_url):
            return self.ask
        return self.direct if urlsplit(base_url).hostname in self.direct.hosts else self.ask
