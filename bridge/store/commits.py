"""The changes of one commit: their rows are read together, the changes are applied one by one, and the results are
written together. So a commit takes a few statements, however many changes there are.

On PostgreSQL other daemons commit at the same time. Every transaction locks rows in this order, so no two wait for each
other:

1. our row in `members` (`Session.guard`)
2. the one row of `genbridge_store` (`Session.lock_store`): by intake and commands when they touch watches, and for
   changes of rows that daemons share: accounts, endpoints, waits, unread answers
3. watches, by watch_id
4. deliveries, by delivery_id
5. health, by endpoint
6. queues, by endpoint and target
7. our row in `writers`, right before COMMIT

There is one exception: when a task finishes, its deliveries are canceled (4) after the health was read (5). If two
daemons meet there, the server ends one of the commits within a second, and that daemon repeats it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Final, assert_never

from bridge.domain.change import (
    DAY_S,
    AccountAskedToWait,
    AccountChange,
    AnswerUnread,
    Change,
    EndpointChecked,
    TaskChange,
    admitted,
    concerns_all,
)
from bridge.domain.delivery import AttemptMade
from bridge.domain.delivery_state import DELIVERY_FOLLOWS, DeliveryState
from bridge.domain.endpoint_health import EndpointHealth
from bridge.domain.event import SUPERSEDED_BY_END, Event
from bridge.domain.event_building import account_event, endpoint_event, released_event, task_event, unread_event
from bridge.domain.slots import Share, endpoint_scope
from bridge.domain.task import LIVE
from bridge.domain.watch import Watch
from bridge.encoding import documented
from bridge.ports import ParcelsFor
from bridge.store.notes import PollRows
from bridge.store.read_store import ReadStore
from bridge.store.records import HEALTH
from bridge.store.rows import Row, json_text, plain
from bridge.store.sql_session import ENDS, OUTBOX, WORK, Session
from bridge.store.statements import SQL
from bridge.store.watch_rows import named_endpoints, polled_row, snapshot_of, snapshot_text, watch

_OF_ENDPOINTS: Final = " WHERE endpoint IN (:endpoints[]) {postgres:ORDER BY endpoint FOR UPDATE}"
# A delivery due this soon may be in a daemon's memory, and keeps its bytes. Less if it is held for a short time only.
RELEASE_AHEAD_S: Final = 5.0
LEAST_AHEAD_S: Final = 0.4


class Commit:
    """Reads and locks the rows of the changes. `apply` each change in order, then `write`."""

    def __init__(
        self, session: Session, changes: Sequence[Change], *, parcels_for: ParcelsFor, fingerprints: Mapping[str, str]
    ) -> None:
        self._session = session
        self._parcels_for = parcels_for
        self._fingerprints = fingerprints
        notes = [change.note for change in changes if isinstance(change, TaskChange)]
        self._live: dict[Row, tuple[int, Watch]] = {}  # the live watches, with their ids
        for row in session.run(SQL["commits.meant"], {(*note.key, note.generation) for note in notes}):
            found = watch(row[:-1])
            if found.state.memory.phase in LIVE:
                self._live[row[:3]] = row[-1], found
        self._moved: dict[int, Row] = {}  # by watch
        self.ended: list[Row] = []  # the watches that have finished, and when
        delivery_ids = list({change.delivery_id for change in changes if isinstance(change, AttemptMade)})
        rows = session.find(SQL["commits.attempted"], delivery_ids=delivery_ids) if delivery_ids else []
        self._attempted = {delivery_id: watch_id for delivery_id, _, watch_id, _ in rows}
        self._waiting = {delivery_id for delivery_id, state, *_ in rows if state == DeliveryState.WAITING}
        self._canceled = {delivery_id for delivery_id, state, *_ in rows if state == DeliveryState.CANCELED}
        self._progress = [(watch_id, delivery_id) for delivery_id, _, watch_id, is_live in rows if is_live]
        self._settled: dict[int, Row] = {}  # by delivery
        # Locked, so that several daemons on one store send each event about an endpoint once.
        concerned = sorted({one.endpoint for one in changes if isinstance(one, AttemptMade | EndpointChecked)})
        self._health = EndpointHealth(HEALTH.find(session, _OF_ENDPOINTS, endpoints=concerned) if concerned else ())
        self._polls = PollRows()
        self._events: list[Row] = []
        self._bodies: list[Row] = []  # documented bodies that no delivery contains
        self._deliveries: list[Row] = []
        self._released: list[Row] = []
        self._attempts: list[Row] = []
        self._queue_waits: dict[tuple[str, str], Row] = {}  # by queue
        self.wakes_all = False  # events about accounts and endpoints wake all daemons
        self.filled: set[Share] = set()  # the shares in which there is something new to deliver

    def apply(self, change: Change) -> bool:
        """Whether it applied. A change is checked against the store, so applying it twice is harmless."""
        match change:
            case TaskChange():
                return self._move_watch(change)
            case AccountChange():
                self.wakes_all = True
                return self._move_account(change)
            case AccountAskedToWait(route=route):
                self.wakes_all = True
                how = SQL["commits.account_waits" if route is None else "commits.route_waits"]
                self._session.execute(how, **asdict(replace(change, reason=plain(change.reason))))
                return True
            case AnswerUnread():
                return self._note_unread(change)
            case AttemptMade():
                return self._settle(change)
            case EndpointChecked():
                return self._health.check(change.endpoint, at=change.at, ahead_s=change.ahead_s, publish=self._publish)
            case _:
                assert_never(change)

    def write(self) -> None:
        """Write the results. Outcomes are written before the finish of a task cancels its waiting deliveries."""
        run = self._session.run
        run(SQL["watches.move"], self._moved.values())
        self._polls.write(self._session)
        run(SQL["commits.add_attempts"], self._attempts)
        run(SQL["commits.settle"], self._settled.values())
        run(SQL["commits.queue_waits"], [self._queue_waits[queue] for queue in sorted(self._queue_waits)])
        run(SQL["commits.set_health"], list(map(HEALTH.row, self._health.changed)))
        run(SQL["commits.add_events"], self._events)
        run(SQL["commits.add_bodies"], self._bodies)
        run(SQL["commits.add_deliveries"], self._deliveries)
        run(SQL["commits.release"], self._released)
        run(SQL["commits.cancel_overtaken"], self.ended)

    def _move_watch(self, change: TaskChange) -> bool:
        note, reason = change.note, None if change.reason is None else plain(change.reason)
        key = (*note.key, note.generation)
        if key not in self._live:
            return False
        watch_id, before = self._live[key]
        snapshot = change.snapshot or before.snapshot
        if change.ends:
            del self._live[key]
            self.ended.append((watch_id, change.at))
            canceled = self._waiting & {delivery_id for about, delivery_id in self._progress if about == watch_id}
            self._waiting -= canceled
            self._canceled |= canceled
        else:
            state = before.state._replace(memory=note.memory)
            self._live[key] = watch_id, replace(before, state=state, snapshot=snapshot)
        urls = None if snapshot is None else json_text(snapshot.urls)
        seen = (reason, change.at if change.ends else None, snapshot_text(snapshot), urls)
        self._moved[watch_id] = (*polled_row(watch_id, note), *seen)
        self._polls.count(watch_id, note)
        self._polls.add(watch_id, note, before=before.state.memory.phase, detail=reason or "")
        event = task_event(before, change)
        if event is not None:
            self._publish(event, watch_id)
        return True

    def _move_account(self, change: AccountChange) -> bool:
        change = replace(change, reason=plain(change.reason))
        moved = self._session.find(SQL["commits.block" if change.blocked else "commits.restore"], **asdict(change))
        if moved:
            self._publish(account_event(change))
        return bool(moved)

    def _note_unread(self, change: AnswerUnread) -> bool:
        """Whether the word is new."""
        change = replace(change, word=plain(change.word), reason=plain(change.reason))
        key = {"account": change.account, "word": change.word}
        [(words, notified, is_known)] = self._session.find(SQL["commits.unread_words"], **key, since=change.at - DAY_S)
        change, told_at = admitted(change, words=words, notified=notified, is_known=bool(is_known))
        [(answers,)] = self._session.find(SQL["commits.note_unread"], **asdict(change), told_at=told_at)
        is_new: bool = answers == change.answers
        if is_new and told_at is not None:
            self._publish(unread_event(change))
        return is_new

    def _settle(self, made: AttemptMade) -> bool:
        # A late outcome changes no settled delivery: only `redeliver` makes it wait again. But one that the finish of
        # the task has canceled while it was being sent may have been accepted.
        assert made.state in DELIVERY_FOLLOWS[DeliveryState.WAITING]
        if made.delivery_id not in self._attempted:
            return False
        detail = plain(made.detail)
        self._health.follow(made, reason=detail, publish=self._publish)
        if made.disables:
            self._disable(made, detail)
        self._attempts.append((made.delivery_id, made.wall_at, made.outcome, detail, made.duration_s))
        if made.queue_until is not None:
            queue, why = (made.endpoint, made.target), plain(made.queue_reason)
            self._queue_waits[queue] = (*queue, made.queue_until, why, self._fingerprints.get(made.endpoint))
        if made.state is DeliveryState.ACCEPTED and made.delivery_id in self._canceled:
            self._canceled.remove(made.delivery_id)
        elif made.delivery_id not in self._waiting:
            return False
        is_settled = made.state is not DeliveryState.WAITING
        if is_settled:
            self._waiting.discard(made.delivery_id)
        settled_at = max(made.at, made.wall_at) if is_settled else None  # so that no wrong clock deletes it early
        schedule = made.state, made.attempts, made.next_attempt_at, settled_at
        self._settled[made.delivery_id] = (made.delivery_id, *schedule, made.outcome, detail, made.sent_so_far)
        if made.event is not None:
            self._publish_copies(made, made.event, self._attempted[made.delivery_id])
        return True

    def _publish_copies(self, made: AttemptMade, event: Event, watch_id: int | None) -> None:
        """Publish an event about a task that has ended, and release what was held for it. The stored watch says which
        endpoints the task names, and what its description keeps."""
        if watch_id is not None:
            for endpoints, seen in self._session.find(SQL["commits.receivers_of"], watch_id=watch_id):
                named = None if endpoints is None else named_endpoints(event.subject, endpoints)
                snapshot = None if seen is None else snapshot_of(event.subject, seen)
                event = replace(event, endpoints=named, kept=snapshot.kept if snapshot else {})
        self._publish(event, watch_id)
        held = self._session.find(
            SQL["commits.held"], event_id=made.event_id, at=made.at, least_s=LEAST_AHEAD_S, most_s=RELEASE_AHEAD_S
        )
        if held:
            parcels = self._parcels_for(released_event(event, of=made.event_id))
            bodies = {(parcel.endpoint, parcel.target): parcel.body for parcel in parcels}
            self._released += [(made.event_id, *queue, bodies.get(queue)) for queue in held]
            self.filled.update(Share(endpoint_scope(endpoint), event.slot) for endpoint, _ in held)

    def _disable(self, made: AttemptMade, reason: str) -> None:
        endpoint, attempt = made.endpoint, {"delivery_id": made.delivery_id, "at": made.wall_at}
        why = {"reason": reason, "fingerprint": self._fingerprints.get(endpoint)}
        for (count,) in self._session.find(SQL["commits.disable"], endpoint=endpoint, **attempt, **why):
            self.wakes_all = True
            self._publish(endpoint_event(endpoint, count=count, at=made.wall_at, reason=reason))

    def _publish(self, event: Event, watch_id: int | None = None) -> None:
        """Write the event into the log and its deliveries into the outbox. Its documented bytes are kept once: with the
        delivery that has them, if any."""
        parcels, slot = self._parcels_for(event), event.slot
        is_live, kept_at = event.topic in SUPERSEDED_BY_END, None
        for parcel in parcels:
            self.filled.add(Share(endpoint_scope(parcel.endpoint), slot))
            if parcel.is_documented:
                kept_at = parcel.endpoint
            where = (event.event_id, parcel.endpoint, parcel.target, watch_id, is_live)
            # Due at once is 0, not the event's own instant: the wall clock may be a year ahead.
            due = (DeliveryState.WAITING, parcel.due_at, event.occurred_at)
            self._deliveries.append((*where, *due, parcel.address, parcel.body, slot))
        what = event.event_id, event.topic, event.account, plain(event.subject), event.occurred_at
        self._events.append((*what, kept_at))
        if kept_at is None:
            self._bodies.append((event.event_id, documented(event)))


class CommitStore(ReadStore):
    """`ports.Commits`."""

    def commit(self, changes: Sequence[Change], parcels_for: ParcelsFor) -> list[bool]:
        """See `ports.Commits.commit`. An exception of `parcels_for` passes through, and no change is applied."""
        with self._database.write(is_small=True) as session:
            return self._apply(session, changes, parcels_for)

    def _apply(self, session: Session, changes: Sequence[Change], parcels_for: ParcelsFor) -> list[bool]:
        session.guard()
        if any(map(concerns_all, changes)):
            session.lock_store()
        made = Commit(session, changes, parcels_for=parcels_for, fingerprints=self._fingerprints)
        applied = [made.apply(change) for change in changes]
        made.write()
        if made.wakes_all:
            session.wake(WORK)
        if self._held is not None and not made.filled <= self._held:
            session.wake(OUTBOX)
        if made.ended:
            session.wake(ENDS)
        return applied
