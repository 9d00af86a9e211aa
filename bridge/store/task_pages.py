"""Pages of tasks for the status page. No page reads more than a bounded number of rows, whatever is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from bridge.domain.task import Phase, Snapshot
from bridge.store import records
from bridge.store.page_views import COUNTED, BoundedCount, FinishedMark, LiveWatch, WatchPage
from bridge.store.rows import plain
from bridge.store.selection import BY_LABEL, HAS_TEXT, WatchFilter, like
from bridge.store.sql_files import SQL
from bridge.store.statements import Question, Session
from bridge.store.unreadable import readable
from bridge.store.views import WatchView
from bridge.store.watch_rows import snapshot_of

SCANNED: Final = 8_000  # rows that one page looks at, if it has conditions that no index has
MOST_HITS: Final = 500  # of what begins with a text
MOST_LIVE: Final = 10_000
_NEWEST: Final = 1 << 62  # above every id
_LAST: Final = "\U0010ffff"  # sorts behind everything that begins with a text

LIVE: Final = Question(("watch_id", "account", "action", "added_at"), SQL["pages.live"])
MOST_SNAPSHOT: Final = 1 << 18  # characters; a longer one holds the result itself


class _Drive(NamedTuple):
    """What an index finds in the order of the ids."""

    condition: str
    phase: Phase | None = None


def live_watches(session: Session) -> list[LiveWatch]:
    """The tasks that run, in no order; at most 10,000."""
    return [LiveWatch(*row) for row in session.find(LIVE, most=MOST_LIVE)]


def watches_by_id(session: Session, watch_ids: Sequence[int]) -> list[WatchView]:
    """These watches, in this order. Those that are gone are left out."""
    if not watch_ids:
        return []
    found = session.find(records.WATCH_VIEWS.select + " WHERE watch_id IN (:ids[])", ids=list(watch_ids))
    views = {view.watch_id: view for view in readable("watch", records.watch_view, found)}
    return [views[watch_id] for watch_id in watch_ids if watch_id in views]


def snapshots_by_id(session: Session, watch_ids: Sequence[int]) -> dict[int, Snapshot]:
    """What the provider last said of these watches. Those without a snapshot, or with a very long one, are left out."""
    if not watch_ids:
        return {}
    rows = session.find(SQL["pages.snapshots"], ids=list(watch_ids), most_chars=MOST_SNAPSHOT)
    found = {watch_id: snapshot_of(key, text) for watch_id, key, text in rows}
    return {watch_id: snapshot for watch_id, snapshot in found.items() if snapshot is not None}


def finished_page(
    session: Session, after: FinishedMark | None, limit: int
) -> tuple[list[WatchView], FinishedMark | None]:
    """The tasks that finished last, the newest first, and where the next page begins."""
    mark = after or FinishedMark(1e300, _NEWEST)
    found = session.find(SQL["pages.finished_page"], at=mark.ended_at, watch_id=mark.watch_id, most=limit + 1)
    views = watches_by_id(session, [watch_id for watch_id, _ in found[:limit]])
    return views, FinishedMark(found[limit - 1][1], found[limit - 1][0]) if len(found) > limit else None


def task_page(session: Session, wanted: WatchFilter, before: int | None, limit: int) -> WatchPage:
    """These tasks, the last added first, of those before this id."""
    hits = None if wanted.text is None else text_hits(session, wanted.text)
    if hits:
        ids = sorted(_matching(session, hits, wanted._replace(text=None)), reverse=True)
        ids = [one for one in ids if before is None or one < before]
        cut_at = ids[limit - 1] if len(ids) > limit else None
        return WatchPage(watches_by_id(session, ids[:limit]), cut_at)
    found: list[int] = []
    floor = 0
    for drive in _drives(wanted):
        its_floor = _floor(session, drive, wanted, before)
        found += _scan(session, drive, wanted, before, its_floor, limit + 1)
        floor = max(floor, its_floor)
    found = sorted((one for one in found if one >= floor), reverse=True)
    following = found[limit - 1] if len(found) > limit else floor or None
    return WatchPage(watches_by_id(session, found[:limit]), following)


def count_tasks(session: Session, wanted: WatchFilter) -> BoundedCount:
    """How many tasks match, counted up to `COUNTED`, and within `SCANNED` rows if no index has the conditions."""
    hits = None if wanted.text is None else text_hits(session, wanted.text)
    if hits:
        return BoundedCount(len(_matching(session, hits, wanted._replace(text=None))), False)
    number, is_cut = 0, False
    for drive in _drives(wanted):
        floor = _floor(session, drive, wanted, None)
        where, values = _where(drive, wanted, None, floor)
        sql = f"SELECT count(*) FROM (SELECT 1 FROM watches WHERE {where} LIMIT :most) AS bounded"  # noqa: S608
        number += session.find(sql, **values, most=COUNTED + 1 - number)[0][0]
        is_cut = is_cut or floor > 0
        if number > COUNTED:
            return BoundedCount(COUNTED, True)
    return BoundedCount(number, is_cut)


def text_hits(session: Session, text: str) -> list[int]:
    """The watches whose id, ACCOUNT/ID or label begins with this text, and that of an event's id. Empty when there are
    none, or enough that a scan soon finds some."""
    text = plain(text)
    if not text:
        return []
    found = session.find(SQL["pages.id_prefix"], text=text, end=text + _LAST, most=MOST_HITS)
    account, slash, begin = text.partition("/")
    if slash:
        found += session.find(SQL["pages.key_prefix"], text=begin, end=begin + _LAST, account=account, most=MOST_HITS)
    found += session.find(SQL["pages.label_prefix"], text=text, last=_LAST, most=MOST_HITS)
    found += session.find(SQL["pages.of_event"], text=text)
    return list({watch_id for (watch_id,) in found}) if len(found) < MOST_HITS else []


def _matching(session: Session, hits: Sequence[int], wanted: WatchFilter) -> list[int]:
    conditions = ["watch_id IN (:ids[])", *_conditions(wanted)]
    sql = f"SELECT watch_id FROM watches WHERE {' AND '.join(conditions)}"  # noqa: S608 - names of ours
    return [watch_id for (watch_id,) in session.find(sql, ids=list(hits), **_values(wanted))]


def _drives(wanted: WatchFilter) -> Iterator[_Drive]:
    """The index to go along: the label's, the account's and phase's (for each phase), or that of the ids."""
    if wanted.label is not None:
        yield _Drive(BY_LABEL)
    elif wanted.account is not None:
        yield from (_Drive("account = :account AND phase = :phase", phase) for phase in wanted.phases or tuple(Phase))
    elif wanted.phases:
        yield from (_Drive("phase = :phase", phase) for phase in wanted.phases)
    else:
        yield _Drive("")


def _floor(session: Session, drive: _Drive, wanted: WatchFilter, before: int | None) -> int:
    """The id down to which to look, so that no more than `SCANNED` rows are read; 0: look at all of them."""
    if not _rest(drive, wanted):
        return 0
    where, values = _where(drive, WatchFilter(account=wanted.account, label=wanted.label), before, 0, bare=True)
    sql = f"SELECT watch_id FROM watches WHERE {where} ORDER BY watch_id DESC LIMIT 1 OFFSET :skipped"  # noqa: S608
    # The rows of one phase lie far apart, so each of them costs more.
    phases = 2 * len(wanted.phases or tuple(Phase)) if drive.phase is not None else 1
    found = session.find(sql, **values, skipped=SCANNED // phases)
    return int(found[0][0]) if found else 0


def _scan(session: Session, drive: _Drive, wanted: WatchFilter, before: int | None, floor: int, most: int) -> list[int]:
    where, values = _where(drive, wanted, before, floor)
    # With further conditions PostgreSQL would take the order for a short way, and read every row when few match.
    order = (
        "{sqlite:watch_id}{postgres:(watch_id + 0)}" if drive.phase is not None and _rest(drive, wanted) else "watch_id"
    )
    sql = f"SELECT watch_id FROM watches WHERE {where} ORDER BY {order} DESC LIMIT :most"  # noqa: S608
    return [watch_id for (watch_id,) in session.find(sql, **values, most=most)]


def _where(
    drive: _Drive, wanted: WatchFilter, before: int | None, floor: int, *, bare: bool = False
) -> tuple[str, dict[str, object]]:
    """The conditions of the drive, of the filter unless `bare`, and of the ids."""
    rest = [] if bare else _rest(drive, wanted)
    conditions = [drive.condition, *rest, "watch_id < :before"]
    values = {**_values(wanted), "before": _NEWEST if before is None else before, "floor": floor}
    if floor:
        conditions.append("watch_id >= :floor")
    if drive.phase is not None:
        values["phase"] = str(drive.phase)
    return " AND ".join(filter(None, conditions)), values


def _rest(drive: _Drive, wanted: WatchFilter) -> list[str]:
    """The conditions that the drive does not have."""
    given = wanted
    if drive.condition:
        given = given._replace(label=None)
    if drive.phase is not None:
        given = given._replace(phases=(), account=None)
    return list(_conditions(given))


def _conditions(wanted: WatchFilter) -> Iterator[str]:
    """Conditions that must not choose an index: `|| ''` keeps SQLite from it."""
    if wanted.phases:
        yield "phase || '' IN (:phases[])"
    if wanted.account is not None:
        yield "account || '' = :account"
    if wanted.label is not None:
        yield "label || '' = :label"
    if wanted.since is not None:
        yield "(added_at >= :since OR ended_at >= :since)"
    if wanted.text is not None:
        yield HAS_TEXT


def _values(wanted: WatchFilter) -> dict[str, object]:
    return {
        "phases": [str(phase) for phase in wanted.phases],
        "account": wanted.account and plain(wanted.account),
        "label": wanted.label and plain(wanted.label),
        "since": wanted.since,
        "text": None if wanted.text is None else like(plain(wanted.text)),
    }
