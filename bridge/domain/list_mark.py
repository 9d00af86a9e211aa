"""How far a provider's list of tasks has been read, and which of its tasks are new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

OVERLAP_MS: Final = 120_000  # a list may show a task this much later than a task that was created after it
FUTURE_MS: Final = 300_000  # more than any real difference of clocks: a creation time further ahead of ours is wrong


class ListedTask(NamedTuple):
    """A task in the list. `created_ms` is the provider's time; None if the list does not contain it."""

    task_id: str
    created_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListMark:
    """The newest creation time in the list so far, and the tasks created shortly before it.

    All times are the provider's, so its clock may differ from ours.
    """

    newest_ms: int
    seen: frozenset[str] = frozenset()

    @property
    def since_ms(self) -> int:
        """Tasks that were created before this time are not new."""
        return self.newest_ms - OVERLAP_MS

    def new_among(self, listed: Sequence[ListedTask]) -> list[str]:
        """The ids of the tasks created since then, without repetition."""
        found = (one.task_id for one in listed if one.task_id not in self.seen and not self._is_older(one))
        return list(dict.fromkeys(found))

    def is_reached(self, page: Sequence[ListedTask]) -> bool:
        """Whether the pages after this one hold only tasks that are not new, or cannot be ordered."""
        return any(map(self._is_older, page)) or all(one.created_ms is None for one in page)

    def moved(self, listed: Sequence[ListedTask], *, now_ms: int) -> ListMark:
        """The mark after these tasks have been read: all pages up to the one that reaches the old mark."""
        times = (min(one.created_ms, now_ms + FUTURE_MS) for one in listed if one.created_ms is not None)
        mark = ListMark(newest_ms=max((self.newest_ms, *times)))
        seen = frozenset(one.task_id for one in listed if not mark._is_older(one))
        return replace(mark, seen=seen)

    def _is_older(self, one: ListedTask) -> bool:
        return one.created_ms is not None and one.created_ms < self.since_ms
