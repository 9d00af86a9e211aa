"""The copies of a task's results in the archive, with links that the page may load."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

import anyio
import anyio.to_thread

from bridge.archive.bucket import Bucket
from bridge.archive.copy_record import copies_at
from bridge.archive.folder import Folder
from bridge.archive.place import PlaceFailed
from bridge.domain.archive_names import CopyMade
from bridge.domain.store_key import LINK_LIFE_S, KeyPurpose, result_link
from bridge.domain.task import Phase, Snapshot
from bridge.domain.views import WatchView
from bridge.http.services import Services
from bridge.wiring.archive_builder import place_of

DAY_S: Final = 86_400
KNOWN_S: Final = 60.0  # how long a copy in a bucket is believed to exist
MOST_KNOWN: Final = 1000  # tasks whose copies in buckets are remembered
SEARCHES_AT_ONCE: Final = 8  # abandoned reads keep using a thread until the archive answers


Copies: TypeAlias = Mapping[str, CopyMade]
"""The copies of one task, by `WantedCopy.mark`."""

Found: TypeAlias = dict[str, Copies]
"""The copies of each task, by the event's id: tasks may have equal URLs with different contents."""


class ShownCopy(NamedTuple):
    """A copy, and the signed link to it on this server."""

    link: str
    media_type: str


class TaskResult(NamedTuple):
    """A task, what the provider said last, and the id of the event of its success (empty: there are no copies)."""

    view: WatchView
    snapshot: Snapshot | None
    event_id: str


async def copies_of(
    services: Services, tasks: Iterable[TaskResult], *, within_s: float
) -> Mapping[str, Mapping[str, ShownCopy]]:
    """The copies of the results of these tasks that are found within this time, by the event's id and
    `WantedCopy.mark`. Empty without an archive, or while it does not answer. A bucket is too slow for this: its search
    continues, and the copies that it finds are remembered for later views."""
    loaded = services.settings()
    archive = loaded.settings.archive
    tasks = [task for task in tasks if task.event_id and task.snapshot and task.view.phase is Phase.SUCCEEDED]
    if archive is None or not tasks:
        return {}
    found: Found = {}
    place = place_of(archive, loaded)
    if isinstance(place, Bucket):
        tasks = _recall(place, tasks, found, services.clock.steady())
    if tasks:
        with anyio.move_on_after(within_s):
            await anyio.to_thread.run_sync(_search, place, tasks, found, within_s, abandon_on_cancel=True)
    if not any(dict(found).values()):  # a copy, because the thread may still add to it
        return {}
    key = await services.key(KeyPurpose.RESULTS)
    today_s = int(services.clock.now() // DAY_S) * DAY_S  # the same link all day, so that browsers cache the file
    return {
        event_id: {
            mark: ShownCopy(result_link(key, copy.path, expires_s=today_s + LINK_LIFE_S), copy.media_type)
            for mark, copy in copies.items()
        }
        for event_id, copies in dict(found).items()
    }


_searches: Final = threading.BoundedSemaphore(SEARCHES_AT_ONCE)


_known: Final[dict[tuple[Bucket, str], tuple[float, Copies]]] = {}
"""The copies of a task in a bucket, by the event's id, and when the last search for them began."""


def _recall(bucket: Bucket, tasks: Iterable[TaskResult], found: Found, now: float) -> list[TaskResult]:
    """Add the known copies. Returns the tasks to search for, which no other view does meanwhile."""
    left = []
    for task in tasks:
        searched_at, copies = _known.get((bucket, task.event_id), (-math.inf, {}))
        found[task.event_id] = copies
        if now - searched_at > KNOWN_S:
            _known[bucket, task.event_id] = now, copies
            left.append(task)
    for oldest in list(_known)[:-MOST_KNOWN]:  # a list, because a search in a thread may change it meanwhile
        _known.pop(oldest, None)
    return left


def _search(place: Folder | Bucket, tasks: Sequence[TaskResult], found: Found, within_s: float) -> None:
    """Find the copies of these tasks, and remember those in a bucket. After a failure, the next view searches."""
    left = deque(tasks)
    if _searches.acquire(timeout=within_s):
        try:
            while left:
                view, _, event_id = left[0]
                found[event_id] = copies = copies_at(place, view, event_id)
                left.popleft()
                if isinstance(place, Bucket):
                    searched_at, _ = _known.pop((place, event_id), (-math.inf, {}))
                    if copies:
                        _known[place, event_id] = searched_at, copies
        except PlaceFailed:
            pass
        finally:
            _searches.release()
    if isinstance(place, Bucket):
        for task in left:
            _known[place, task.event_id] = -math.inf, _known.get((place, task.event_id), (0.0, {}))[1]
