"""The things that need a person, because genbridge cannot repair them by itself.

Temporary problems, such as a 429, a retry or a slow provider, are not included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from bridge.config.settings_file import SettingsFile
from bridge.control.overview import Overview
from bridge.control.store_now import StoreNow
from bridge.domain.ids import WatchKey
from bridge.domain.source import SourceKind
from bridge.sources.rejects import count_rejected
from bridge.store import ReadStore

if TYPE_CHECKING:
    from bridge.domain.daemon_state import AccountNow, DaemonNow
    from bridge.domain.page_views import ExpiringResult

SLOW_S: Final = 1.0  # a store is slow if one commit in twenty takes longer
RECENT_S: Final = 3 * 86_400.0  # older dead deliveries are kept, but not listed; long enough for a weekend and a day


class NeedKind(StrEnum):
    """The kinds, in the order in which they are shown."""

    NO_DAEMON = "no_daemon"
    SETTINGS_INVALID = "settings_invalid"
    DEAD_DELIVERIES = "dead_deliveries"
    ACCOUNT_BLOCKED = "account_blocked"
    ENDPOINT_DISABLED = "endpoint_disabled"
    STORE_SLOW = "store_slow"
    DISK_FULL = "disk_full"
    FILES_REJECTED = "files_rejected"
    RESULT_EXPIRES = "result_expires"


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One thing that needs a person. What the fields mean depends on the kind:

    kind               subject   count                   since_at         until_at      detail
    no_daemon                                            it stopped
    settings_invalid   member    mistakes                it was invalid                 the first mistake
                                                                                        (`read_at`: the settings in
                                                                                        force)
    dead_deliveries    endpoint  deliveries              the first        the last      last answer (`attempts`)
    account_blocked    account   tasks that wait         it was blocked   next probe    the provider's answer
    endpoint_disabled  endpoint  deliveries that wait    it was disabled                the receiver's answer
    store_slow                                                                          (`seconds`: p95 of commits)
    disk_full                    bytes that are left
    files_rejected     source    files                   the last                       folder
    result_expires     endpoint  deliveries                               gone          (`task`: the first to go,
                                                                                        `next_at`: its next attempt)
    """

    kind: NeedKind
    subject: str = ""
    count: int = 0
    since_at: float | None = None
    until_at: float | None = None
    detail: str = ""
    attempts: int = 0
    seconds: float | None = None
    task: WatchKey | None = None
    next_at: float | None = None
    read_at: float | None = None


class NeedCounts(NamedTuple):
    """The number of dead deliveries that need a person, and the number of all needs."""

    dead: int = 0
    needs: int = 0


def counts_of(found: Sequence[Need]) -> NeedCounts:
    dead = sum(need.count for need in found if need.kind is NeedKind.DEAD_DELIVERIES)
    return NeedCounts(dead=dead, needs=len(found))


def needs(at: StoreNow, found: Overview, *, daemon: DaemonNow, commit_p95_s: float | None = None) -> list[Need]:
    """Everything that needs a person, the worst first; without a daemon, only that. `daemon` is the one that serves the
    page (on a shared store, others may work); `commit_p95_s` is the 95th percentile of its commits."""
    store, file, _ = at
    if alone := list(_no_daemon(store, found, daemon)):
        return alone
    return [
        *_invalid_settings(found),
        *_dead_deliveries(store, file, found.now),
        *_blocked(store, file, found, daemon.accounts),
        *_disabled(store, file, found),
        *_machine(store, file, commit_p95_s),
        *_expiring(store.expiring(found.now), file),
    ]


def _no_daemon(store: ReadStore, found: Overview, daemon: DaemonNow) -> Iterator[Need]:
    is_alone = not store.is_shared or not found.members
    if daemon.stopped_at is not None and (is_alone or daemon.store_failed_at is not None):
        yield Need(kind=NeedKind.NO_DAEMON, since_at=daemon.stopped_at)


def _invalid_settings(found: Overview) -> Iterator[Need]:
    """One need for each daemon that works with older settings because its settings file is invalid."""
    for one in found.settings:
        if one.invalid_since is not None:
            yield Need(
                kind=NeedKind.SETTINGS_INVALID,
                subject=one.daemon,
                count=one.mistakes,
                since_at=one.invalid_since,
                read_at=one.read_at,
                detail=one.mistake,
            )


def _dead_deliveries(store: ReadStore, file: SettingsFile, now: float) -> Iterator[Need]:
    """Endpoints with a delivery that died recently, and all their dead ones: they are sent again together."""
    for one in store.dead_deliveries():
        if one.endpoint in file.endpoints and now - one.last_at <= RECENT_S:
            yield Need(
                kind=NeedKind.DEAD_DELIVERIES,
                subject=one.endpoint,
                count=one.deliveries,
                since_at=one.first_at,
                until_at=one.last_at,
                detail=one.detail,
                attempts=one.attempts,
            )


def _blocked(
    store: ReadStore, file: SettingsFile, found: Overview, accounts: Mapping[str, AccountNow]
) -> Iterator[Need]:
    for name, state in sorted(store.accounts().items()):
        if state.blocked_at is not None and name in file.accounts:
            yield Need(
                kind=NeedKind.ACCOUNT_BLOCKED,
                subject=name,
                count=found.counts.live_by_account.get(name, 0),
                since_at=state.blocked_at,
                until_at=accounts[name].probe_at if name in accounts else None,
                detail=state.reason,
            )


def _disabled(store: ReadStore, file: SettingsFile, found: Overview) -> Iterator[Need]:
    for one in store.disabled_endpoints():
        if one.endpoint in file.endpoints:
            yield Need(
                kind=NeedKind.ENDPOINT_DISABLED,
                subject=one.endpoint,
                count=found.counts.waiting_by_endpoint.get(one.endpoint, 0),
                since_at=one.disabled_at,
                detail=one.reason,
            )


def _machine(store: ReadStore, file: SettingsFile, commit_p95_s: float | None) -> Iterator[Need]:
    """A slow store, a full disk, and rejected files."""
    if commit_p95_s is not None and commit_p95_s > SLOW_S:
        yield Need(kind=NeedKind.STORE_SLOW, seconds=commit_p95_s)
    if (space := store.space()).is_nearly_full:
        yield Need(kind=NeedKind.DISK_FULL, count=space.free_bytes or 0)
    kind = SourceKind.QUEUE
    if (path := file.source_paths.get(kind)) is not None:
        count, last_at = count_rejected(path)
        if count:
            yield Need(kind=NeedKind.FILES_REJECTED, subject=kind, count=count, since_at=last_at, detail=str(path))


def _expiring(found: list[ExpiringResult], file: SettingsFile) -> Iterator[Need]:
    """One need for each endpoint, with the result that expires first."""
    for endpoint in dict.fromkeys(one.endpoint for one in found if one.endpoint in file.endpoints):
        first, *others = [one for one in found if one.endpoint == endpoint]
        yield Need(
            kind=NeedKind.RESULT_EXPIRES,
            subject=endpoint,
            count=1 + len(others),
            until_at=first.gone_at,
            task=WatchKey(first.account, first.task_id),
            next_at=first.next_attempt_at,
        )
