"""Pages of deliveries for the status page, the worst first. No page reads more than a bounded number of rows.

Those that wait come oldest first; those that are settled come newest first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from bridge.domain.pause import PauseOf, lasting
from bridge.store import records
from bridge.store.page_views import (
    COUNTED,
    BoundedCount,
    DeliveryMark,
    DeliverySearch,
    Standing,
    StandingPage,
)
from bridge.store.rows import plain
from bridge.store.sql_files import SQL
from bridge.store.statements import Session
from bridge.store.task_pages import SCANNED, text_hits
from bridge.store.views import DeliveryView

MOST_OF_TEXT: Final = 1_000  # deliveries of the tasks that a text finds
_WAITING: Final = frozenset({Standing.HELD, Standing.WAITING})
_LATEST: Final = 1e300
_NEWEST: Final = 1 << 62


class _Place(NamedTuple):
    """A delivery among those that stand alike."""

    at: float
    delivery_id: int


def delivery_page(
    session: Session, wanted: DeliverySearch, after: DeliveryMark | None, limit: int, *, now: float
) -> StandingPage:
    """These deliveries, after this mark."""
    off = held_endpoints(session, now)
    found: list[tuple[Standing, _Place]] = []
    for standing in (one for one in Standing if one in wanted.standings):
        if after is not None and _rank(standing) < _rank(after.standing):
            continue
        begin = _Place(after.settled_at, after.delivery_id) if after and after.standing is standing else None
        room = limit + 1 - len(found)
        places, floor = _places(session, wanted, standing, begin, room, off)
        found += [(standing, place) for place in places]
        if len(found) > limit:
            return _page(session, found[:limit], _mark(*found[limit - 1]))
        if floor is not None:
            return _page(session, found, _mark(standing, floor))
    return _page(session, found, None)


def count_deliveries(session: Session, wanted: DeliverySearch, *, now: float) -> dict[Standing, BoundedCount]:
    """How many match, by how they stand: counted up to `COUNTED`, and within `SCANNED` rows if no index has the
    conditions."""
    off = held_endpoints(session, now)
    counts = {}
    for standing in (one for one in Standing if one in wanted.standings):
        if wanted.text:
            counts[standing] = BoundedCount(len(_of_text(session, wanted, standing, off)), False)
            continue
        floor = _floor(session, wanted, standing, None)
        where, values = _where(wanted, standing, None, floor, off)
        sql = f"SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE {where} LIMIT :most) AS bounded"  # noqa: S608
        number = int(session.find(sql, **values, most=COUNTED + 1)[0][0])
        counts[standing] = BoundedCount(min(number, COUNTED), number > COUNTED or floor is not None)
    return counts


def deliveries_by_watch(session: Session, watch_ids: Sequence[int]) -> dict[int, list[DeliveryView]]:
    """The deliveries of each of these watches, the oldest first. A watch without any is left out."""
    rest = "WHERE watch_id IN (:watch_ids[]) ORDER BY delivery_id"
    return records.DELIVERY_VIEWS.by("watch_id", session, rest, watch_ids=list(watch_ids)) if watch_ids else {}


def held_endpoints(session: Session, now: float) -> list[str]:
    """The endpoints that get nothing until a person acts: disabled or paused."""
    disabled = session.find("SELECT endpoint FROM endpoints WHERE disabled_at IS NOT NULL")
    paused = lasting(records.PAUSES.find(session), PauseOf.ENDPOINT, now)
    return sorted({*paused, *(endpoint for (endpoint,) in disabled)})


def _places(
    session: Session,
    wanted: DeliverySearch,
    standing: Standing,
    begin: _Place | None,
    most: int,
    off: Sequence[str],
) -> tuple[list[_Place], _Place | None]:
    """The first of these that stand so, and where it stopped looking (None: at the end)."""
    if wanted.text:
        all_of_text = _of_text(session, wanted, standing, off)
        return [one for one in all_of_text if begin is None or _is_behind(standing, one, begin)][:most], None
    floor = _floor(session, wanted, standing, begin)
    where, values = _where(wanted, standing, begin, floor, off)
    is_waiting = standing in _WAITING
    order = "+delivery_id" if is_waiting else "settled_at DESC, delivery_id DESC"
    column = "0.0" if is_waiting else "settled_at"
    sql = f"SELECT {column}, delivery_id FROM deliveries WHERE {where} ORDER BY {order} LIMIT :most"  # noqa: S608
    places = [_Place(*row) for row in session.find(sql, **values, most=most)]
    return places, floor if len(places) < most else None


def _floor(session: Session, wanted: DeliverySearch, standing: Standing, begin: _Place | None) -> _Place | None:
    """Down to where to look, so that no more than `SCANNED` rows are read; None: to the end."""
    is_waiting = standing in _WAITING
    if is_waiting or not (wanted.endpoint or wanted.topic):
        return None
    where, values = _where(DeliverySearch(since=wanted.since), standing, begin, None, ())
    sql = (
        f"SELECT settled_at, delivery_id FROM deliveries WHERE {where}"  # noqa: S608 - names of ours
        " ORDER BY settled_at DESC, delivery_id DESC LIMIT 1 OFFSET :skipped"
    )
    found = session.find(sql, **values, skipped=SCANNED // 4 if wanted.topic else SCANNED)
    return _Place(*found[0]) if found else None


def _where(
    wanted: DeliverySearch, standing: Standing, begin: _Place | None, floor: _Place | None, off: Sequence[str]
) -> tuple[str, dict[str, object]]:
    is_waiting = standing in _WAITING
    place = begin or (_Place(0.0, 0) if is_waiting else _Place(_LATEST, _NEWEST))
    conditions = [SQL["pages.waits" if is_waiting else "pages.settled"]]
    conditions += _conditions(wanted, standing)
    if floor is not None:
        conditions.append("settled_at >= :floor_at")
    if wanted.since is not None and not is_waiting:
        conditions.append("settled_at >= :since")  # they are settled after they were created
    return " AND ".join(conditions), {
        **_values(wanted),
        "state": standing,
        "at": place.at,
        "delivery_id": place.delivery_id,
        "floor_at": None if floor is None else floor.at,
        "off": list(off),
    }


def _conditions(wanted: DeliverySearch, standing: Standing) -> Iterator[str]:
    if standing is Standing.HELD:
        yield "endpoint IN (:off[])"
    elif standing is Standing.WAITING:
        yield "endpoint NOT IN (:off[])"
    if wanted.endpoint is not None:
        yield "endpoint = :endpoint"
    if wanted.topic is not None:
        yield SQL["pages.in_topic"]
    if wanted.since is not None:
        yield "created_at >= :since"


def _values(wanted: DeliverySearch) -> dict[str, object]:
    return {
        "endpoint": wanted.endpoint and plain(wanted.endpoint),
        "topic": wanted.topic and plain(wanted.topic),
        "since": wanted.since,
    }


def _of_text(session: Session, wanted: DeliverySearch, standing: Standing, off: Sequence[str]) -> list[_Place]:
    """All of these that stand so, in order."""
    text = plain(wanted.text or "")
    conditions = list(_conditions(wanted, standing))
    state = "waiting" if standing in _WAITING else str(standing)
    sql = " AND ".join([SQL["pages.of_text"], "state = :state", *conditions]) + " LIMIT :most"
    values = {**_values(wanted), "text": text, "watch_ids": text_hits(session, text), "state": state, "off": list(off)}
    found = [_Place(at, delivery_id) for delivery_id, _, _, at in session.find(sql, **values, most=MOST_OF_TEXT)]
    if standing in _WAITING:
        return sorted(found, key=lambda one: one.delivery_id)
    return sorted(found, reverse=True)


def _is_behind(standing: Standing, one: _Place, other: _Place) -> bool:
    if standing in _WAITING:
        return one.delivery_id > other.delivery_id
    return one < other


def _rank(standing: Standing) -> int:
    return list(Standing).index(standing)


def _mark(standing: Standing, place: _Place) -> DeliveryMark:
    return DeliveryMark(standing, place.at, place.delivery_id)


def _page(session: Session, found: Sequence[tuple[Standing, _Place]], following: DeliveryMark | None) -> StandingPage:
    ids = [place.delivery_id for _, place in found]
    views: dict[int, DeliveryView] = {}
    if ids:
        rows = records.DELIVERY_VIEWS.find(session, " WHERE delivery_id IN (:ids[])", ids=ids)
        views = {view.delivery_id: view for view in rows}
    known = [(standing, views[place.delivery_id]) for standing, place in found if place.delivery_id in views]
    return StandingPage(known, following)
