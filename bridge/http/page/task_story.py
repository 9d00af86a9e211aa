"""What the page shows about one task: its result, its deliveries with all attempts, and its history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, NamedTuple

from bridge.control.account_waits import waits_on
from bridge.control.delivery_waits import DeliveryWait, DeliveryWaits, delivery_waits
from bridge.control.estimates import estimates
from bridge.control.pausing import held_watches
from bridge.control.store_now import StoreNow
from bridge.domain.account_state import AccountState, RouteWait
from bridge.domain.delivery_state import DeliveryState
from bridge.domain.durations.forecast import Expected
from bridge.domain.event import END_TOPICS
from bridge.domain.ids import ARCHIVE, WatchKey
from bridge.domain.page_views import DeliveryGroup
from bridge.domain.pause import Pause
from bridge.domain.task import LIVE, UNDER_WAY, Phase
from bridge.domain.views import DeliveryView, ReadingCount, WatchDetails, WatchView
from bridge.encoding import encode
from bridge.http.page.poll_strip import StripGeometry
from bridge.http.page.running_rows import RunningRow, running_row

MOST_NOTIFIED: Final = 12  # maximum number of deliveries in the history
MOST_EVENTS: Final = 12  # events whose deliveries are shown; a task may have hundreds of progress events
MOST_HAPPENED: Final = 80
FIRST_HAPPENED: Final = 10  # a long history shows this many first lines, and the last ones
MOST_META: Final = 40  # maximum number of keys
MOST_META_CHARS: Final = 400  # maximum characters of one value
_FINAL: Final = frozenset(Phase) - LIVE


class DeliveryNow(NamedTuple):
    view: DeliveryView
    state: DeliveryGroup
    wait: DeliveryWait | None


class NotifiedOf(NamedTuple):
    """The deliveries of one event."""

    topic: str
    event_id: str
    deliveries: Sequence[DeliveryNow]


class HistoryLine(NamedTuple):
    """One line of the history. `what`: a fact of the history; or `accepted`, `dead`, `deferred` for a delivery to
    `endpoint`; or `copied`, `not copied`; or `left out` (`detail` is the number of lines that are not shown). `answers`
    are those of all polls so far."""

    at: float
    what: str
    detail: str = ""
    endpoint: str = ""
    after_s: float | None = None  # since the finish
    answers: Sequence[ReadingCount] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStory:
    """Everything about one task at one instant."""

    now: float
    details: WatchDetails
    view: WatchView
    run: RunningRow | None  # only while it runs
    usual: tuple[Expected, int] | None
    account: AccountState | None
    waits: DeliveryWaits
    is_account_known: bool

    @property
    def is_live(self) -> bool:
        return self.view.phase in LIVE

    @property
    def generation(self) -> int:
        return self.details.watch.state.generation

    @property
    def trouble(self) -> ReadingCount | None:
        """The last unusable answers, if there was no usable one since."""
        memory = self.details.watch.state.memory
        if not self.is_live or not (memory.failures or memory.doubt):
            return None
        useless = [one for one in self.details.readings if one.kind not in UNDER_WAY]
        return max(useless, key=lambda one: one.first_at, default=None)

    @property
    def account_pause(self) -> Pause | None:
        return self.account.current_pause(self.now) if self.account else None

    @property
    def account_waits(self) -> Sequence[RouteWait]:
        """The waits that delay this task: waits that the provider requested."""
        return waits_on(self.account, self.view.action, self.now)

    @property
    def events(self) -> list[NotifiedOf]:
        """The deliveries by event, the latest event first."""
        ordered = sorted(self._sent(is_copy=False), key=lambda one: (-one.created_at, one.event_id, one.delivery_id))
        views = self.waits.shown(ordered)
        return [
            NotifiedOf(members[0].topic, event_id, [self._delivery(one) for one in members])
            for event_id, members in ((key, list(group)) for key, group in groupby(views, key=lambda one: one.event_id))
        ]

    @property
    def shown_events(self) -> Sequence[NotifiedOf]:
        """The finish, and the latest other events."""
        events = self.events
        finishes = [one for one in events if one.topic in END_TOPICS]
        others = [one for one in events if one.topic not in END_TOPICS]
        return [*finishes, *others][:MOST_EVENTS]

    @property
    def copying(self) -> list[DeliveryNow]:
        """The state of the copies in the archive, the latest first."""
        views = self.waits.shown(self._sent(is_copy=True))
        return [self._delivery(one) for one in reversed(views)]

    @property
    def happened(self) -> list[HistoryLine]:
        """The history, including the deliveries about the last finish, the oldest first."""
        facts = [HistoryLine(fact.at, fact.what, fact.detail) for fact in self.details.history]
        before_finish = [place for place, one in enumerate(facts) if one.what not in _FINAL]
        if before_finish and self.details.readings:
            place = before_finish[-1]
            facts[place] = facts[place]._replace(answers=self.details.readings)
        found = sorted([*facts, *self._notified()], key=lambda one: one.at)
        if len(found) <= MOST_HAPPENED:
            return found
        left_out = len(found) - MOST_HAPPENED
        gap = HistoryLine(found[FIRST_HAPPENED].at, "left out", str(left_out))
        return [*found[:FIRST_HAPPENED], gap, *found[FIRST_HAPPENED + left_out :]]

    @property
    def meta(self) -> list[tuple[str, str]]:
        """The task's own data as texts; long ones are cut."""
        pairs = list(self.view.meta.items())[:MOST_META]
        texts = [(name, value if isinstance(value, str) else encode(value).decode()) for name, value in pairs]
        return [(_cut(name), _cut(text)) for name, text in texts]

    def strip(self, polls: Sequence[float]) -> StripGeometry:
        """The strip that shows when it was polled."""
        return StripGeometry(
            added_at=self.view.added_at,
            now=self.now,
            polls=polls,
            finished_at=None if self.is_live else self.view.ended_at,
            next_at=self.view.next_poll_at,
            usual=self.usual[0] if self.usual else None,
        )

    def _sent(self, *, is_copy: bool) -> list[DeliveryView]:
        return [one for one in self.details.deliveries if (one.endpoint == ARCHIVE) is is_copy]

    def _notified(self) -> Iterator[HistoryLine]:
        finishes = [one for one in self.details.deliveries if one.topic in END_TOPICS and one.made]
        if len(finishes) > MOST_NOTIFIED:
            return
        for one in finishes:
            last = one.made[-1]
            match one.state:
                case DeliveryState.ACCEPTED:
                    what = "copied" if one.endpoint == ARCHIVE else "accepted"
                    yield HistoryLine(last.at, what, "", one.place, max(0.0, last.at - one.created_at))
                case DeliveryState.DEAD | DeliveryState.WAITING if last.outcome != "accepted":
                    is_copy, is_dead = one.endpoint == ARCHIVE, one.state is DeliveryState.DEAD
                    what = "not copied" if is_copy else "dead" if is_dead else "deferred"
                    yield HistoryLine(last.at, what, last.detail, one.place)

    def _delivery(self, view: DeliveryView) -> DeliveryNow:
        wait = self.waits.of(view)
        return DeliveryNow(view, DeliveryGroup.of(view.state, is_off=wait is not None and wait.is_off), wait)


def read_story(at: StoreNow, key: WatchKey) -> TaskStory:
    """Everything about one task. UnknownError if it is not watched."""
    store, file, now = at
    details, accounts = store.details(key), store.accounts()
    [view] = held_watches([store.view(key)], accounts, file.accounts, now)
    known = estimates(at)
    return TaskStory(
        now=now,
        details=details,
        view=view,
        run=running_row(view, accounts, known, now) if view.phase in LIVE else None,
        usual=known.usual(view),
        account=accounts.get(key.account),
        waits=delivery_waits(at),
        is_account_known=key.account in file.accounts,
    )


def _cut(text: str) -> str:
    return text if len(text) <= MOST_META_CHARS else text[:MOST_META_CHARS] + "…"
