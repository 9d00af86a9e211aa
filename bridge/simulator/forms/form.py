"""What a form is: the requests that one provider takes, and how it words its answers.

A form is a table: paths, how the key is shown, and for each request a function from the task, as it stands, to the
documented answer. Which task a request means, the key, the rate and the sockets are `bridge.simulator.provider`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from bridge.simulator.tasks import UNSUCCESSFUL, Ending, Script, Stage, View

Json = Any
OneAnswer = Callable[[View], Json]
ManyAnswer = Callable[[Sequence[View]], Json]

BEARER: Final = ("authorization", "Bearer ")
TOKEN: Final = ("authorization", "Token ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer without a task."""

    status: int = 200
    body: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request as it came, for forms in which it is signed; `headers` in lower case, path and query still encoded."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Makes a task. Its action is the path's `{action}` (or `action`); `external` names the key of the body, with dots
    for the keys above it, under which its creator names it."""

    paths: tuple[str, ...]
    answer: OneAnswer
    method: str = "POST"
    query: Mapping[str, str] = field(default_factory=dict)
    action: str = ""
    external: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Asks about the task whose id stands under `id` in path, query or body. `is_poll`: it counts as one."""

    paths: tuple[str, ...]
    answer: OneAnswer
    method: str = "GET"
    query: Mapping[str, str] = field(default_factory=dict)
    id: str = "id"
    is_poll: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Asks about all tasks under the first of `ids` that is given: a list, or ids joined by commas. Unknown ones are
    left out; `none` is the answer when that leaves nothing, if it is one of its own."""

    paths: tuple[str, ...]
    answer: ManyAnswer
    method: str = "POST"
    ids: tuple[str, ...] = ("ids",)
    none: Reply | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Pages through the tasks of the path's `{action}`, newest first."""

    paths: tuple[str, ...]
    answer: ManyAnswer
    method: str = "GET"


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Hands out the result itself of a task that has succeeded; needs the key."""

    paths: tuple[str, ...]
    method: str = "GET"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """Answers, from the places of the path alone, what a vendor's client asks for beside the tasks."""

    paths: tuple[str, ...]
    answer: Callable[[Mapping[str, str]], Json]
    method: str = "GET"


Call = Create | Query | Batch | Listing | Content | Fixed


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One provider's requests and words.

    In a path `{name}` is one segment, `{name:pattern}` what fits the pattern. `keys`: header and what stands before the
    key there, each of which will do. `prefix`: what stands before all ids. `makes`: the kinds of results it can have,
    by default the first; `script` says how a task of an action goes whose creator asks for nothing else.
    """

    name: str
    calls: tuple[Call, ...]
    makes: tuple[Ending, ...]
    new_id: Callable[[int], str]
    unauthorized: Reply
    not_found: Reply
    limited: Reply
    bad_request: Callable[[str], Reply]
    unknown_method: Reply = Reply(status=405, body={"error": {"message": "method not allowed"}})
    keys: tuple[tuple[str, str], ...] = (BEARER,)
    is_signed: Callable[[Sent, str], bool] | None = None  # with the key, in place of showing it
    unsigned: Reply | None = None  # to a signature that is wrong
    script: Callable[[str], Script] | None = None
    prefix: str = ""
    fails: bool = True  # whether its answers can say that a task has failed
    stamp: Callable[[int], Mapping[str, Json]] | None = None  # further keys of each answer, of a running number

    def planned(self, action: str) -> Script:
        """How a task of this action goes by default."""
        return self.script(action) if self.script is not None else Script(ending=self.makes[0])

    def ending(self, asked: Ending) -> Ending:
        """How a task ends here that was to end so."""
        return asked if asked in UNSUCCESSFUL or asked in self.makes else self.makes[0]


def worded(waiting: Json, working: Json, done: Json, failed: Json) -> Callable[[View], Json]:
    """From a task to the provider's word for its stage."""
    words = {Stage.WAITING: waiting, Stage.WORKING: working, Stage.DONE: done, Stage.FAILED: failed}
    return lambda view: words[view.stage]


def saying(status: int, body: Callable[[str], Json]) -> Callable[[str], Reply]:
    """Answers of this status around a reason."""
    return lambda reason: Reply(status=status, body=body(reason))


def percent(view: View) -> str:
    """Progress as "62%"."""
    return f"{view.progress:.0%}"


def seconds(instant: float | None) -> int:
    """Epoch seconds, 0 for not yet."""
    return int(instant or 0)


def millis(instant: float | None) -> int:
    """Epoch milliseconds, 0 for not yet."""
    return round((instant or 0) * 1000)


def iso(instant: float | None) -> str | None:
    """ISO 8601, None for not yet."""
    if instant is None:
        return None
    return datetime.fromtimestamp(instant, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def uuid(number: int) -> str:
    """An id in the shape of a UUID."""
    digits = f"{number:012x}"
    return f"{digits[:8]}-{digits[8:12]}-4000-8000-{number % 16**12:012x}"
