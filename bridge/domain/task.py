"""What a provider says about a task: phases, readings, snapshots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

Json = Any  # a JSON value: what `orjson.loads` gives


class Phase(StrEnum):
    """Where a watched task stands. The values are the words in the store and in `list --json`."""

    SUBMITTED = "submitted"  # moved on by a poll; a dead daemon's successor polls again
    RUNNING = "running"  # likewise
    SUCCEEDED = "succeeded"  # the ends: nothing moves them on; `add --again` starts a new generation
    FAILED = "failed"
    CANCELED = "canceled"
    NOT_FOUND = "not_found"
    TIMED_OUT = "timed_out"
    WITHDRAWN = "withdrawn"  # nobody wants to know; any source that names the task again revives it


ENDS: Final = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELED, Phase.NOT_FOUND, Phase.TIMED_OUT})
LIVE: Final = frozenset({Phase.SUBMITTED, Phase.RUNNING})

FOLLOWS: Final[Mapping[Phase, frozenset[Phase]]] = {
    Phase.SUBMITTED: frozenset({Phase.RUNNING, Phase.WITHDRAWN, *ENDS}),
    Phase.RUNNING: frozenset({Phase.WITHDRAWN, *ENDS}),
    Phase.WITHDRAWN: frozenset({Phase.SUBMITTED}),
    **{end: frozenset() for end in ENDS},
}


class Kind(StrEnum):
    """What one answer means; the vocabulary of the provider reference (there: outcomes of a poll)."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED_RESULT = "expired_result"
    NEEDS_INPUT = "needs_input"
    NOT_FOUND = "not_found"
    AUTH_ERROR = "auth_error"
    ACCOUNT_ERROR = "account_error"
    RATE_LIMITED = "rate_limited"
    BAD_REQUEST = "bad_request"
    TRANSIENT = "transient"
    AMBIGUOUS = "ambiguous"


UNDER_WAY: Final = frozenset({Kind.PENDING, Kind.RUNNING})
ABOUT_ACCOUNT: Final = frozenset({Kind.AUTH_ERROR, Kind.ACCOUNT_ERROR})  # these say nothing of the task


# Tuples, like all that is made for every poll: a frozen dataclass takes twice as long.
_NOTHING: Final[Mapping[str, Any]] = {}


class Snapshot(NamedTuple):
    """What the provider said of the task, translated, at one instant.

    `result` maps videos, images, audios, texts, files to lists of objects: the provider's own keys, `url`
    normalised. `urls` are those worth telling, in a stable order; `refused` says of each other one why not. `kept` are
    further fields of the task, as they are, for receivers that expect the whole of it.
    """

    status: str = ""  # the provider's own word
    message: str = ""
    progress: float | None = None  # per cent, 0 to 100
    created_ms: int | None = None
    updated_ms: int | None = None
    result: Mapping[str, Sequence[Mapping[str, Json]]] = _NOTHING
    urls: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    expires_ms: int | None = None
    kept: Mapping[str, Json] = _NOTHING


class Reading(NamedTuple):
    """The meaning of one answer (or of none).

    `detail` is one line for people, without secrets; of an end it is the `reason` told, so a plain success has none.
    `snapshot` is there when the answer spoke of the task.
    `retry_after_s` is the provider's own hint. `lacks_result` marks success without its expected result.
    `server_trouble` marks no answer at all, or 5xx: it says something about the provider, not about the task.
    """

    kind: Kind
    detail: str = ""
    snapshot: Snapshot | None = None
    retry_after_s: float | None = None
    lacks_result: bool = False
    server_trouble: bool = False
