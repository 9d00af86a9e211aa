"""The stream of changes, for pages: the current state of tasks, deliveries and counters, at most twice a second.

A frame has the current state of everything that has changed since the previous frame. It is read and encoded once, in
the thread of the hub, and sent to every follower.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any, Final

import anyio

from bridge.config.settings_file import SettingsFile
from bridge.control.delivery_list import deliveries_at
from bridge.control.estimates import Estimates, estimates
from bridge.control.formats import rfc3339
from bridge.control.overview import counts_json, next_count_at
from bridge.control.store_now import StoreNow
from bridge.control.watch_list import watches_at
from bridge.domain.change import Change, Note, TaskChange
from bridge.domain.committed import ChangedRows, ChangeMarks
from bridge.domain.delivery import AttemptMade
from bridge.domain.ids import WatchKey
from bridge.encoding import encode
from bridge.errors import StoreError
from bridge.http.live.stream_frames import OPENING, frame
from bridge.logs import get_logger
from bridge.ports import Clock, Offload
from bridge.store.event_log import FollowStore

log = get_logger()

FRAME_EVERY_S: Final = 0.5
ALIVE_S: Final = 5.0  # a page that hears nothing for 15 s says that it is not live
LOOK_EVERY_S: Final = 1.0  # on a shared store, for changes that came without a notification; and for the last counters
AGAIN_S: Final = 1.0
FRAMES_KEPT: Final = 30  # a follower that is further behind is dropped
MOST_ROWS: Final = 200  # maximum number of tasks in a frame, and of deliveries
MOST_BYTES: Final = 512 << 10  # maximum size of the rows in a frame; the meta of one task may have 64 KiB
MOST_POLLED: Final = 100  # maximum number of tasks in a frame that were polled without any other change
REMEMBERED: Final = 2000  # rows that are not sent again while they stay the same
ESTIMATES_FOR_S: Final = 30.0


class ChangeHub:
    """Changes for any number of followers. Without followers, nothing is read."""

    def __init__(
        self, *, store: FollowStore, offload: Offload, clock: Clock, settings: Callable[[], SettingsFile]
    ) -> None:
        self._store = store
        self._offload = offload
        self._clock = clock
        self._reader = _ChangeReader(store, clock, settings)
        self.followers = 0
        self._releases = 0
        self._frames: deque[bytes] = deque(maxlen=FRAMES_KEPT)
        self._sent = 0  # frames so far
        self._keys: dict[WatchKey, None] = {}
        self._polled: dict[WatchKey, None] = {}
        self._delivery_ids: set[int] = set()
        self._must_send = anyio.Event()
        self._arrived = anyio.Event()

    async def follow(self) -> AsyncGenerator[bytes, None]:
        """First `OPENING` and a snapshot of the counters, then frames. Sends `alive` while nothing changes. It ends
        when the follower is too slow, or at `release`. StoreError when the store cannot be read."""
        self.followers += 1
        releases = self._releases
        try:
            snapshot = await self._offload(partial(self._reader.snapshot, is_first=self.followers == 1))
            position = self._sent
            self._must_send.set()
            yield OPENING + snapshot
            while releases == self._releases:
                if position == self._sent:
                    if not await self._clock.wait(self._arrived, ALIVE_S):
                        yield frame("alive", encode({"now": rfc3339(self._clock.now())}))
                    continue
                if self._sent - position > len(self._frames):
                    log.info("stream.dropped", behind=self._sent - position)
                    return
                data = self._frames[position - self._sent]
                position += 1
                yield data
        finally:
            self.followers -= 1

    def committed(self, changes: Sequence[Change]) -> None:
        """Send the rows that these changes are about."""
        if not self.followers:
            return
        for change in changes:
            if isinstance(change, TaskChange):
                self._keys[change.note.key] = None
            elif isinstance(change, AttemptMade):
                self._delivery_ids.add(change.delivery_id)
        self._must_send.set()

    def noted(self, notes: Sequence[Note]) -> None:
        """Send the state of tasks that were polled, as long as there is room in the frame."""
        if self.followers:
            self._polled.update(dict.fromkeys(note.key for note in notes[-MOST_POLLED:]))
            self._must_send.set()

    def changed(self) -> None:
        """Look for changes in the store."""
        if self.followers:
            self._must_send.set()

    def release(self) -> None:
        """Disconnect all followers."""
        self._releases += 1
        self._ring()

    async def run(self) -> None:
        """Send changes until canceled."""
        self._must_send.set()
        while True:
            is_watching = self.followers and (self._store.is_shared or self._reader.has_old_counts)
            await self._clock.wait(self._must_send, LOOK_EVERY_S if is_watching else None)
            self._must_send = anyio.Event()
            if not self.followers:
                continue
            try:
                await self._send()
                await self._clock.sleep(FRAME_EVERY_S)
            except StoreError:
                await self._clock.sleep(AGAIN_S)
                self._must_send.set()

    async def _send(self) -> None:
        keys, delivery_ids = list(self._keys)[:MOST_ROWS], list(self._delivery_ids)[:MOST_ROWS]
        is_cut = len(keys) < len(self._keys) or len(delivery_ids) < len(self._delivery_ids)
        keys += list(self._polled)[-MOST_POLLED:]
        self._keys, self._polled, self._delivery_ids = {}, {}, set()
        try:
            data = await self._offload(partial(self._reader.changes, keys, delivery_ids, is_cut=is_cut))
        except StoreError:  # the next frame tries again
            self._keys.update(dict.fromkeys(keys))
            self._delivery_ids.update(delivery_ids)
            raise
        if data is not None:
            self._frames.append(data)
            self._sent += 1
            self._ring()

    def _ring(self) -> None:
        arrived, self._arrived = self._arrived, anyio.Event()
        arrived.set()


class _ChangeReader:
    """Reads and encodes frames. Only for use in the thread of the hub."""

    def __init__(self, store: FollowStore, clock: Clock, settings: Callable[[], SettingsFile]) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings
        self._marks: ChangeMarks | None = None
        self._must_repeat = False
        self._left_bytes = 0  # room in the current frame
        self._is_cut = False  # a row did not fit into it
        self._remembered: OrderedDict[tuple[str | None, ...], int] = OrderedDict()  # hashes of the rows
        self._counts: dict[str, Any] = {}
        self._sent_counts: dict[str, Any] = {}  # those in the last frame that had counters
        self.has_old_counts = False  # it was not time to count when the last frame was made
        self._count_at = self._estimate_at = 0.0
        self._estimates: Estimates | None = None

    def snapshot(self, *, is_first: bool) -> bytes:
        """The counters now. Changes from shortly before are in the next frame, so that a new page misses nothing."""
        marks = self._store.marks()
        self._marks = marks if is_first or self._marks is None else self._marks
        self._remembered.clear()
        self._must_repeat = True
        self._count()
        self._sent_counts = self._counts if is_first else self._sent_counts
        found = {"revision": _revision(marks), "now": rfc3339(self._clock.now()), "counts": self._counts}
        return frame("snapshot", encode(found))

    def changes(self, keys: Collection[WatchKey], delivery_ids: Collection[int], *, is_cut: bool) -> bytes | None:
        """A frame with these changes; None if nothing has changed."""
        marks = self._marks or self._store.marks()
        # On a shared store, rows may become visible later than rows that were written after them.
        since = marks.earlier() if self._must_repeat or self._store.is_shared else marks
        self._must_repeat = False
        self._left_bytes, self._is_cut = MOST_BYTES, False
        rows = self._store.changed_rows(since, keys=keys, delivery_ids=delivery_ids, most=MOST_ROWS)
        self._marks = rows.marks
        now = self._clock.now()
        found = {
            "revision": _revision(rows.marks),
            "now": rfc3339(now),
            "tasks": self._new("task", self._tasks(rows, now), "account", "id"),
            "deliveries": self._new("delivery", self._deliveries(rows, now), "event_id", "endpoint", "target"),
            "more": is_cut or rows.is_cut or self._is_cut,
            "counts": self._changed_counts(),
        }
        return frame("changes", encode(found)) if found["tasks"] or found["deliveries"] or found["counts"] else None

    def _tasks(self, rows: ChangedRows, now: float) -> list[dict[str, Any]]:
        if not rows.watches:
            return []
        if self._estimates is None or self._clock.steady() >= self._estimate_at:
            self._estimates = estimates(self._at(now))
            self._estimate_at = self._clock.steady() + ESTIMATES_FOR_S
        return watches_at(self._at(now), rows.watches, known=self._estimates).json()

    def _deliveries(self, rows: ChangedRows, now: float) -> list[dict[str, Any]]:
        if not rows.deliveries:
            return []
        return deliveries_at(self._at(now), rows.deliveries).json()

    def _at(self, now: float) -> StoreNow:
        return StoreNow(self._store, self._settings(), now)

    def _new(self, what: str, found: Iterable[dict[str, Any]], *key: str) -> list[dict[str, Any]]:
        """The rows that differ from what was last sent, as far as there is room in the frame."""
        new = []
        for one in found:
            name, data = (what, *(one[part] for part in key)), encode(one)
            if self._remembered.get(name) == hash(data):
                continue
            if len(data) > self._left_bytes:
                self._is_cut = True
                continue
            self._left_bytes -= len(data)
            self._remembered[name] = hash(data)
            self._remembered.move_to_end(name)
            new.append(one)
        while len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)
        return new

    def _changed_counts(self) -> dict[str, Any] | None:
        """The counters, if they differ from those that were last sent."""
        self._count()
        if self._counts == self._sent_counts:
            return None
        self._sent_counts = self._counts
        return self._counts

    def _count(self) -> None:
        """Count again, if it is time."""
        begun_at = self._clock.steady()
        self.has_old_counts = begun_at < self._count_at
        if not self.has_old_counts:
            self._counts = counts_json(self._store.counts())
            self._count_at = next_count_at(begun_at, self._clock.steady())


def _revision(marks: ChangeMarks) -> str:
    return f"{marks.revision}.{marks.fact}.{marks.delivery}"
