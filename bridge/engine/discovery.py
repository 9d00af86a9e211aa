"""Finds new tasks of an account in the provider's own list, and watches them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import anyio
import anyio.abc

from bridge.domain.backoff import growing_s
from bridge.domain.list_mark import OVERLAP_MS, ListedTask, ListMark
from bridge.domain.source import DISCOVER, SourceTally
from bridge.domain.task import Reading, ReadingKind
from bridge.domain.watch import Wish
from bridge.engine.account import AccountPoller
from bridge.logs import get_logger
from bridge.ports import Clock, Intake, PageRequest

log = get_logger()

MOST_PAGES: Final = 100  # maximum number of pages to read back to the newest known task
MOST_WAIT_S: Final = 600.0  # longest wait after failures, unless the interval is longer
ELSEWHERE: Final = Reading(kind=ReadingKind.PENDING, detail="another daemon requests this list")
TAKEOVER_S: Final = 5.0  # how often to check whether another daemon still requests the list


@dataclass(slots=True)
class _Listing:
    """One list of the account, and the time of the next request for its first page."""

    first: PageRequest
    due_at: float
    failures: int = 0
    is_read: bool = False


class Discovery:
    """`ports.Source`: requests the account's list of tasks every `every_s`, and watches the new ones.

    A task is new if it was created after the first reading. The position in the list is stored, so a restart misses no
    task. A task that disappears from the list stays watched.

    Sends one request at a time, when the account has room for it between polls.
    """

    def __init__(
        self, account: AccountPoller, *, every_s: float, action: str | None, intake: Intake, clock: Clock
    ) -> None:
        self.tally = SourceTally(source=f"{DISCOVER}{account.name}", path="")
        self._account = account
        self._every_s = every_s
        self._action = action
        self._intake = intake
        self._clock = clock
        self._listings: Sequence[_Listing] = ()

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Request the lists until canceled. Reports as started at once, so that the daemon's start does not wait for a
        provider."""
        lists = self._account.plan.lists
        pages = () if lists is None else lists.first_pages(self._action)
        asked_at = self._account.listed_at  # so that a reload does not cause an early request
        self._listings = [
            _Listing(first=page, due_at=asked_at[page.action] + self._every_s if page.action in asked_at else 0.0)
            for page in pages
        ]
        task_status.started()
        while self._listings:
            listing = min(self._listings, key=lambda one: one.due_at)
            await self._clock.sleep(max(0.0, listing.due_at - self._clock.steady()))
            problem = await self._look(listing.first)
            listing.is_read = True
            self.tally.note = ELSEWHERE.detail if problem is ELSEWHERE else None
            if problem is ELSEWHERE:
                listing.due_at = self._clock.steady() + TAKEOVER_S
            else:
                self._finished(listing, problem)

    def is_idle(self) -> bool:
        """Whether each list has been requested, or nothing may be requested now."""
        return not self._account.can_list or all(listing.is_read for listing in self._listings)

    async def _look(self, first: PageRequest) -> Reading | None:
        """Read a list back to the newest known task, and watch the new tasks. Returns a Reading if that failed; the
        next attempt then finds the new tasks again."""
        name, action = self.tally.source, first.action
        marks = _marks(await self._intake.cursor(name))
        known, now_ms = marks.get(action or ""), round(self._clock.now() * 1000)
        # A truncated list may be empty although there are earlier tasks.
        mark = known or ListMark(newest_ms=now_ms if first.is_cut else OVERLAP_MS)
        page: PageRequest | None = replace(first, since_ms=mark.since_ms)
        listed: dict[str, ListedTask] = {}
        pages = 0
        while page is not None and pages < MOST_PAGES:
            answer = await self._account.list_page(page)
            if answer is None or isinstance(answer, Reading):
                return answer or ELSEWHERE
            pages += 1
            if known is not None:
                await self._watch(known.new_among(answer.tasks), action)
            is_repeated = all(one.task_id in listed for one in answer.tasks)
            listed |= {one.task_id: one for one in answer.tasks}
            reached = known or mark.moved(list(listed.values()), now_ms=now_ms)
            page = None if is_repeated or reached.is_reached(answer.tasks) else answer.following
        if page is not None:
            log.warning("discover.cut", account=self._account.name, pages=pages, tasks=len(listed))
        moved = mark.moved(list(listed.values()), now_ms=now_ms)
        if not marks:
            log.info("discover.started", account=self._account.name)
        if moved != known:
            await self._intake.add([], source=name, cursor=_text({**marks, action or "": moved}))
        return None

    async def _watch(self, task_ids: Sequence[str], action: str | None) -> None:
        wishes = [Wish(account=self._account.name, task_id=each, action=action or self._action) for each in task_ids]
        if wishes:
            added = await self._intake.add(wishes, source=self.tally.source, revive=False)
            self.tally.taken += sum(one.what == "added" for one in added)

    def _finished(self, listing: _Listing, problem: Reading | None) -> None:
        """Count the result, and decide when this list is requested next."""
        was_failing = any(one.failures for one in self._listings)
        now, action = self._clock.steady(), listing.first.action
        if problem is None:
            listing.failures = 0
            listing.due_at = self._account.listed_at.get(action, now) + self._every_s
            self.tally.looked(self._clock.now())
            if was_failing and not any(one.failures for one in self._listings):
                log.info("discover.recovered", account=self._account.name)
            return
        listing.failures += 1
        most_s = max(self._every_s, MOST_WAIT_S)
        wait_s = growing_s(listing.failures, first_s=self._every_s, most_s=most_s, chance=self._clock.chance())
        listing.due_at = now + wait_s
        if not was_failing:
            about = {"action": action} if action else {}
            log.warning("discover.failed", account=self._account.name, reason=problem.detail, **about)
        reason = f"{action}: {problem.detail}" if action else problem.detail
        self.tally.refused(0, reason, self._clock.now())
        self.tally.is_failing = all(one.failures for one in self._listings)


async def forget(account: str, intake: Intake) -> None:
    """Forget how far the list was read, because discovery was switched off. When it is switched on again, it starts
    over."""
    name = f"{DISCOVER}{account}"
    if await intake.cursor(name):
        await intake.add([], source=name, cursor="")


def _marks(text: str | None) -> Mapping[str, ListMark]:
    stored = json.loads(text) if text else {}
    return {action: ListMark(newest_ms=newest, seen=frozenset(seen)) for action, (newest, seen) in stored.items()}


def _text(marks: Mapping[str, ListMark]) -> str:
    return json.dumps({action: [mark.newest_ms, sorted(mark.seen)] for action, mark in marks.items()})
