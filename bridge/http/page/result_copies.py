"""The copies of a task's results in the archive, with links that the page may load."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

import anyio
import anyio.to_thread
import orjson

from bridge.archive.place import Place, PlaceFailed
from bridge.archive_builder import place_of
from bridge.config.load import Loaded
from bridge.domain.archive_names import COPIED_KINDS, CopyMade, stems, wanted_copies
from bridge.domain.event import Topic
from bridge.domain.ids import event_id
from bridge.domain.store_key import LINK_LIFE_S, KeyPurpose, result_link
from bridge.domain.task import Json, Phase
from bridge.domain.watch import Watch
from bridge.http.services import Services

WITHIN_S: Final = 0.5  # how long to wait for the archive
DAY_S: Final = 86_400
SEARCHES_AT_ONCE: Final = 8  # abandoned reads keep using a thread until the archive answers


class ShownCopy(NamedTuple):
    """A copy, and the signed link to it on this server."""

    link: str
    media_type: str
    bytes: int


class CopiedTask(NamedTuple):
    """The values that determine where a task's copies are. `event_id` is that of its finish."""

    event_id: str
    account: str
    task_id: str
    label: str | None
    ended_at: float | None
    result: Mapping[str, Sequence[Mapping[str, Json]]]


async def shown_copies(services: Services, loaded: Loaded, watch: Watch) -> Mapping[str, ShownCopy]:
    """The copies of these results, by `WantedCopy.mark`. Empty without an archive, or while it does not answer."""
    state = watch.state
    if state.memory.phase is not Phase.SUCCEEDED or watch.snapshot is None:
        return {}
    event = event_id(Topic.TASK_SUCCEEDED, state.account, state.task_id, state.generation)
    task = CopiedTask(event, state.account, state.task_id, watch.label, watch.ended_at, watch.snapshot.result)
    return await copies_of(services, loaded, [task])


async def copies_of(
    services: Services, loaded: Loaded, tasks: Sequence[CopiedTask], *, within_s: float = WITHIN_S
) -> Mapping[str, ShownCopy]:
    """The copies of many tasks that are found within this time."""
    archive = loaded.settings.archive
    if archive is None or not tasks:
        return {}
    found: dict[str, CopyMade] = {}
    is_over = threading.Event()
    try:
        with anyio.move_on_after(within_s):
            find = partial(_find, place_of(archive, loaded), tasks, found, is_over, within_s)
            await anyio.to_thread.run_sync(find, abandon_on_cancel=True)
    finally:
        is_over.set()
    if not found:
        return {}
    now = services.clock.now()
    key = await services.writing(lambda: services.store.ensure_key(KeyPurpose.RESULTS, now=now))
    expires_s = int(now // DAY_S) * DAY_S + LINK_LIFE_S  # the same link all day, so that browsers cache the file
    return {
        mark: ShownCopy(result_link(key, copy.path, expires_s=expires_s), copy.media_type, copy.bytes)
        for mark, copy in dict(found).items()  # a copy, because the thread may still add to it
    }


_searches: Final = threading.BoundedSemaphore(SEARCHES_AT_ONCE)


def _find(
    place: Place, tasks: Sequence[CopiedTask], found: dict[str, CopyMade], is_over: threading.Event, within_s: float
) -> None:
    if not _searches.acquire(timeout=within_s):
        return
    try:
        for task in tasks:
            if is_over.is_set():
                return
            found.update(copies_at(place, task))
    finally:
        _searches.release()


def copies_at(place: Place, task: CopiedTask) -> Mapping[str, CopyMade]:
    """The existing copies, by `WantedCopy.mark`. Blocks. Empty while the archive cannot be read."""
    try:
        record = _record(place, task)
        wanted = {one.n: one.mark for one in wanted_copies({"task_result": task.result}, COPIED_KINDS)}
        made = filter(None, map(CopyMade.parse, record))
        return {wanted[one.n]: one for one in made if wanted.get(one.n) and place.size(one.path) == one.bytes}
    except PlaceFailed:
        return {}


def _record(place: Place, task: CopiedTask) -> list[Json]:
    """The content of the record of these copies; empty if this task has no record."""
    facts = {
        "ended_at": round((task.ended_at or 0.0) * 1000),
        "label": task.label,
        "task_id": task.task_id,
        "account": task.account,
    }
    for stem in stems(facts, event_id=task.event_id):
        try:
            data = orjson.loads(place.read(f"{stem}.json") or b"{}")["data"]
            if data["event_id"] == task.event_id:
                return list(data["archive"])
        except (ValueError, TypeError, KeyError):
            continue  # no record, or the record of another task
    return []
