"""How far a reader of the event log may read while other daemons commit.

Each transaction takes its numbers from one sequence before it commits. So a lower number may appear after a higher one,
or never. A reader that finds a missing number must not continue past it while a transaction is open that may have taken
it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable


class EventOrder:
    """For each reading, call `settle`, then take a snapshot of the log and call `passable`. If the result is lower than
    the newest number in the snapshot, call `doubt`.

    A *writer* is an open transaction that may have taken numbers. A transaction counts as a writer from before it takes
    its first number until its commit is visible.
    """

    def __init__(self) -> None:
        self._settled = 0  # if a later snapshot lacks a number up to this one, that number will never appear
        self._doubted = 0  # the same, once the current writers have ended
        self._writers: frozenset[str] = frozenset()

    @property
    def is_waiting(self) -> bool:
        """Whether a writer is open that may have taken a missing number."""
        return bool(self._writers)

    def settle(self, writers: Collection[str]) -> None:
        """Note which writers have an open transaction. Call it before the snapshot is taken: they may commit in
        between."""
        self._writers &= frozenset(writers)
        if not self._writers:
            self._settled = max(self._settled, self._doubted)

    def passable(self, after: int, numbers: Iterable[int]) -> int:
        """The last number that the reader may pass. `numbers` are those after its position, ascending."""
        for number in numbers:
            if number - 1 > max(after, self._settled):
                break
            after = number
        return after

    def doubt(self, newest: int, writers: Collection[str]) -> None:
        """A number below `newest`, the highest of the snapshot, is missing. `writers` are those that were open after
        the snapshot was taken. Has no effect while earlier writers are still open."""
        if not self._writers:
            self._doubted, self._writers = newest, frozenset(writers)
            self.settle(writers)
