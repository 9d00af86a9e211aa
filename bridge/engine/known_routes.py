"""The actions for which the provider has answered. They show whether a 404 is about the address or about the task."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from bridge.domain.task import Kind, Reading
from bridge.errors import StoreError
from bridge.ports import Provider

MISSING_HERE: Final = "HTTP 404; the same address works for other tasks, so this task is unknown"
ABOUT_TASK: Final = frozenset(
    {
        *(Kind.PENDING, Kind.RUNNING, Kind.NEEDS_INPUT),
        *(Kind.SUCCEEDED, Kind.FAILED, Kind.CANCELED, Kind.EXPIRED_RESULT),
    }
)


class KnownRoutes:
    """The actions of one account for which the provider has answered. `read_stored` returns the actions that earlier
    processes recorded; it is called at most once, when first needed."""

    def __init__(self, read_stored: Callable[[], Awaitable[frozenset[str | None]]]) -> None:
        self._read_stored = read_stored
        self._answered: set[str | None] = set()
        self._is_complete = False
        self._provider: Provider | None = None
        self._answered_here: set[str | None] = set()  # by `_provider`; changes with the settings

    def record(self, reading: Reading, action: str | None, provider: Provider) -> None:
        """Record that this provider has answered about a task with this action, if the reading shows that."""
        if provider is self._provider and action in self._answered_here:
            return
        if reading.snapshot is not None and reading.kind in ABOUT_TASK:
            self._answered.add(action)
            if provider is not self._provider:  # new settings: the address may be different
                self._provider, self._answered_here = provider, set()
            self._answered_here.add(action)

    def knows(self, action: str | None, provider: Provider) -> bool:
        """Whether this provider has answered about this action since the settings were loaded."""
        return provider is self._provider and action in self._answered_here

    async def resolve(self, reading: Reading, action: str | None, provider: Provider) -> Reading:
        """Interpret a 404 that does not say what is missing. It is about the task if the address has answered
        before."""
        if reading.is_vague and self.knows(action, provider):
            return reading._replace(kind=Kind.NOT_FOUND, detail=MISSING_HERE, unread="")
        if reading.kind is Kind.NO_ROUTE and not self._is_complete:
            try:
                self._answered |= await self._read_stored()
                self._is_complete = True
            except StoreError:
                pass  # the next such answer reads the store again; until then no task fails because of a 404
        return reading

    def is_wrong(self, action: str | None) -> bool:
        """Whether the provider has answered about other actions but never about this one."""
        return self._is_complete and bool(self._answered) and action not in self._answered
