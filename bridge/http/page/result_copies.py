"""The copies of a task's results in the archive, with links that the page may load."""

from __future__ import annotations

from collections.abc import Mapping
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
from bridge.domain.result_links import LINK_LIFE_S, result_link
from bridge.domain.store_key import KeyPurpose
from bridge.domain.task import Json, Phase
from bridge.domain.watch import Watch
from bridge.http.services import Services

WITHIN_S: Final = 0.5  # an archive that takes longer is not waited for
DAY_S: Final = 86_400


class ShownCopy(NamedTuple):
    """A copy, and the signed link to it on this server."""

    link: str
    media_type: str
    bytes: int


async def shown_copies(services: Services, loaded: Loaded, watch: Watch) -> Mapping[str, ShownCopy]:
    """The copies of these results by the addresses of the results. Empty without an archive, or while it does not
    answer."""
    archive = loaded.settings.archive
    if archive is None or watch.state.memory.phase is not Phase.SUCCEEDED or watch.snapshot is None:
        return {}
    found: Mapping[str, CopyMade] = {}
    with anyio.move_on_after(WITHIN_S):
        find = partial(copies_at, place_of(archive, loaded), watch)
        found = await anyio.to_thread.run_sync(find, abandon_on_cancel=True)
    if not found:
        return {}
    now = services.clock.now()
    key = await services.writing(lambda: services.store.ensure_key(KeyPurpose.RESULTS, now=now))
    expires_s = int(now // DAY_S) * DAY_S + LINK_LIFE_S  # the same link for a day, so that browsers keep the file
    return {
        url: ShownCopy(result_link(key, copy.path, expires_s=expires_s), copy.media_type, copy.bytes)
        for url, copy in found.items()
    }


def copies_at(place: Place, watch: Watch) -> Mapping[str, CopyMade]:
    """The copies that are there, by the addresses of the results. Blocks. Empty while the archive cannot be read."""
    try:
        record = _record(place, watch)
        results = {"task_result": watch.snapshot.result if watch.snapshot else {}}
        wanted = {one.n: one.url for one in wanted_copies(results, COPIED_KINDS)}
        made = filter(None, map(CopyMade.parse, record))
        return {wanted[one.n]: one for one in made if one.n in wanted and place.size(one.path) == one.bytes}
    except PlaceFailed:
        return {}


def _record(place: Place, watch: Watch) -> list[Json]:
    """What the record beside the copies says; empty if there is none of this task."""
    state = watch.state
    event = event_id(Topic.TASK_SUCCEEDED, state.account, state.task_id, state.generation)
    facts = {
        "ended_at": round((watch.ended_at or 0.0) * 1000),
        "label": watch.label,
        "task_id": state.task_id,
        "account": state.account,
    }
    for stem in stems(facts, event_id=event):
        try:
            data = orjson.loads(place.read(f"{stem}.json") or b"{}")["data"]
            if data["event_id"] == event:
                return list(data["archive"])
        except (ValueError, TypeError, KeyError):
            continue  # none, or of another task
    return []
