"""The vocabulary of answers: phases, kinds, readings, snapshots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from bridge.domain.answer_file import AnswerFile

Json = Any  # a JSON value, as `orjson.loads` returns it


class Phase(StrEnum):
    """The phase of a watched task. The values appear in the store and in `list --json`."""

    SUBMITTED = "submitted"  # a poll changes it, also one by another daemon after a crash
    RUNNING = "running"  # as above
    SUCCEEDED = "succeeded"  # final, like the next four; `add --again` starts a new generation
    FAILED = "failed"
    CANCELED = "canceled"
    NOT_FOUND = "not_found"
    TIMED_OUT = "timed_out"
    WITHDRAWN = "withdrawn"  # no longer watched; watched again as soon as a source names the task again


ENDS: Final = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELED, Phase.NOT_FOUND, Phase.TIMED_OUT})
NOT_SUCCEEDED: Final = ENDS - {Phase.SUCCEEDED}
LIVE: Final = frozenset({Phase.SUBMITTED, Phase.RUNNING})

FOLLOWS: Final[Mapping[Phase, frozenset[Phase]]] = {
    Phase.SUBMITTED: frozenset({Phase.RUNNING, Phase.WITHDRAWN, *ENDS}),
    Phase.RUNNING: frozenset({Phase.WITHDRAWN, *ENDS}),
    Phase.WITHDRAWN: frozenset({Phase.SUBMITTED}),
    **{end: frozenset() for end in ENDS},
}

NO_RESULT: Final = "the answer holds no result"  # in the reason of a success without a result
RESULT_GONE: Final = "the provider has already deleted"  # in the reason of a success whose result is gone


class ReadingKind(StrEnum):
    """The meaning of one answer, in the words of the provider reference."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED_RESULT = "expired_result"
    NEEDS_INPUT = "needs_input"
    NOT_FOUND = "not_found"
    NO_ROUTE = "no_route"  # the address does not exist at the provider; this says nothing about the task
    AUTH_ERROR = "auth_error"
    ACCOUNT_ERROR = "account_error"
    RATE_LIMITED = "rate_limited"
    BAD_REQUEST = "bad_request"
    TRANSIENT = "transient"
    AMBIGUOUS = "ambiguous"


UNDER_WAY: Final = frozenset({ReadingKind.PENDING, ReadingKind.RUNNING})
ENDING: Final = frozenset({ReadingKind.SUCCEEDED, ReadingKind.EXPIRED_RESULT, ReadingKind.FAILED, ReadingKind.CANCELED})
SHORTEST_WATCH_S: Final = 2.0  # a task that finished sooner after its addition had finished before
# Kinds that say nothing about the task.
ABOUT_ACCOUNT: Final = frozenset({ReadingKind.AUTH_ERROR, ReadingKind.ACCOUNT_ERROR})


# Values that are created for every poll are tuples: a frozen dataclass takes twice as long.
_NOTHING: Final[Mapping[str, Any]] = {}


class Snapshot(NamedTuple):
    """What the provider said about the task at one instant, in genbridge's terms.

    `result` maps videos, images, audios, texts and files to lists of objects with the provider's own keys and a
    normalized `url`. `urls` are the safe result URLs, in a stable order; `refused` says why others were left out.
    `kept` are further fields of the task, unchanged, for receivers that expect them. `result_missing` marks a success
    without any result. `files` are those inside the answer; they are never stored with the rest.
    """

    status: str = ""  # in the provider's own words
    message: str = ""
    progress: float | None = None  # percent, 0 to 100
    created_ms: int | None = None
    updated_ms: int | None = None
    result: Mapping[str, Sequence[Mapping[str, Json]]] = _NOTHING
    urls: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    expires_ms: int | None = None
    kept: Mapping[str, Json] = _NOTHING
    error_code: str | None = None
    result_missing: bool = False
    files: tuple[AnswerFile, ...] = ()


class Reading(NamedTuple):
    """The meaning of one answer, or of a missing answer.

    `detail` is one line for people, without secrets. For a final answer it becomes the event's `reason`, so a plain
    success has none. `snapshot` is set when the answer described the task. `retry_after_s` is the wait that the
    provider asks for. `lacks_result` marks a success without its expected result. `server_trouble` marks a missing
    answer or a 5xx: a fault of the provider, not of the task. `unread` is what could not be read in the answer: a new
    status word, `too_large` or `unknown_route`. `is_vague` marks a 404 that may be about the task or about the address.
    `is_unsent`: there was no request, so this says nothing about the provider or the account.
    """

    kind: ReadingKind
    detail: str = ""
    snapshot: Snapshot | None = None
    retry_after_s: float | None = None
    lacks_result: bool = False
    server_trouble: bool = False
    unread: str = ""
    is_vague: bool = False
    is_unsent: bool = False

    def without_files(self) -> Reading:
        """The same reading, without the contents of files inside the answer, which use memory."""
        if self.snapshot is None or not self.snapshot.files:
            return self
        return self._replace(snapshot=self.snapshot._replace(files=()))


def worked_s(created_ms: float | None, updated_ms: float | None, *, watched_s: float | None) -> float | None:
    """How many seconds the provider worked on a finished task, according to its own times; or else how long the task
    was watched. None if neither says it, because the task had finished before it was added."""
    if created_ms is not None and updated_ms is not None and updated_ms - created_ms >= 1000.0:
        return (updated_ms - created_ms) / 1000
    return watched_s if watched_s is not None and watched_s >= SHORTEST_WATCH_S else None
