"""The overall status: counts, daemons, sources, accounts, endpoints, and everything that fails or has to wait."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bridge.control.account_waits import wait_json, waits_of
from bridge.control.delivery_waits import QueueWaits, lasting_queue_waits
from bridge.control.formats import rfc3339
from bridge.control.pausing import pauses_json
from bridge.control.settings_status import SettingsFacts, known_settings, settings_json
from bridge.control.store_now import StoreNow
from bridge.domain.account_state import RouteWait
from bridge.domain.daemon_state import FAILING_POLLS
from bridge.domain.endpoint_health import Health
from bridge.domain.pause import Pause, PauseOf, lasting
from bridge.domain.source import DISCOVER, SETTINGS, SourceFacts
from bridge.domain.task import Phase
from bridge.domain.views import Counts, FailingPolls, MemberView, Unchecked, UnreadView

if TYPE_CHECKING:
    from bridge.config.load import Loaded
    from bridge.config.settings_file import SettingsFile

COUNT_EVERY_S: Final = 1.0
COUNT_SHARE: Final = 20  # counting takes at most a twentieth of the time
RECENT_S: Final = 86_400.0  # unreadable and unchecked answers are shown for a day
MOST_UNREADABLE: Final = 10  # maximum number of rows that are named


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The status of a store and its daemons at one instant."""

    now: float
    counts: Counts
    members: Sequence[MemberView]  # daemons on a shared store
    sources: Sequence[SourceFacts]
    settings: Sequence[SettingsFacts]  # of the daemons
    pauses: Sequence[Pause]
    unreadable: Sequence[str]  # rows of the store that cannot be read
    unchecked: Sequence[Unchecked]
    failing: Sequence[Health]
    failing_polls: Sequence[FailingPolls]
    held_accounts: Sequence[tuple[str, RouteWait]]
    held_endpoints: QueueWaits

    @property
    def unread(self) -> list[UnreadView]:
        """Provider answers of the last day that could not be read."""
        return [view for view in self.counts.unread if view.last_at > self.now - RECENT_S]

    def why_stopped(self, account: str) -> str | None:
        """Why nothing is polled for this account: the reason of its block, or its pause; None if it is able to work."""
        paused = "paused" if account in lasting(self.pauses, PauseOf.ACCOUNT, self.now) else None
        return self.counts.blocked.get(account, paused)

    def why_not_ready(self, accounts: Collection[str]) -> list[str]:
        """Why a daemon with these accounts is not ready: none of them is able to work, or a source cannot be read.
        Lists of providers are not included, because those are faults of the account."""
        stopped = {name: why for name in accounts if (why := self.why_stopped(name)) is not None}
        unable = stopped if len(stopped) == len(accounts) else {}
        failing = (one for one in self.sources if one.is_failing and not one.source.startswith(DISCOVER))
        return [
            *(f"account {name}: {why}" for name, why in unable.items()),
            *(f"source {one.source}: {one.error}" for one in failing),
        ]

    def json(self) -> dict[str, Any]:
        return {
            "members": _members(self.members),
            **counts_json(self.counts),
            "unread_answers": [_unread(view) for view in self.unread],
            **pauses_json(self.pauses, self.now),
            "unchecked_by_endpoint": _unchecked(self.unchecked),
            "failing_endpoints": _failing(self.failing),
            "failing_accounts": _failing_polls(self.failing_polls),
            "sources": sources_json(self.sources),
            "settings": settings_json(self.settings),
            "unreadable_rows": {"count": len(self.unreadable), "rows": list(self.unreadable[:MOST_UNREADABLE])},
            "held_accounts": [wait_json(name, wait) for name, wait in self.held_accounts],
            "held_endpoints": _held_endpoints(self.held_endpoints),
        }


def counts_json(counts: Counts) -> dict[str, Any]:
    """The figures for JSON, with the disabled endpoints and blocked accounts."""
    return {
        "watches": {str(phase): number for phase, number in counts.watches.items()},
        "live": counts.live,
        "waiting": counts.waiting,
        "dead": counts.dead,
        "waiting_by_endpoint": dict(counts.waiting_by_endpoint),
        "dead_by_endpoint": dict(counts.dead_by_endpoint),
        "oldest_waiting_at": rfc3339(counts.oldest_waiting_at),
        "disabled_endpoints": dict(counts.disabled),
        "blocked_accounts": dict(counts.blocked),
    }


def overview(
    at: StoreNow,
    *,
    unreadable: Sequence[str] | None = None,
    over: Mapping[Phase, int] | None = None,
    unchecked: Sequence[Unchecked] | None = None,
    failing_polls: Sequence[FailingPolls] | None = None,
    has_daemon: bool = True,
) -> Overview:
    """The status of this store, for these settings. An account or endpoint that is no longer in them counts only with
    its tasks and deliveries: nobody can repair it.

    `unreadable` are the rows that could not be read, `over` counts the tasks that are not live, `unchecked` are answers
    that could not be checked, and `failing_polls` are tasks without usable answers, each from an earlier reading. None:
    read them now, which takes long in a large store. Without `has_daemon`, no settings are in force.
    """
    store, file, now = at
    queues, counts, members, stored = file.queues, store.counts(over), store.members(), store.sources()
    working = {view.daemon for view in members} if store.is_shared else {""}
    unchecked = store.unchecked(since=now - RECENT_S) if unchecked is None else unchecked
    failing_polls = store.failing_polls(least=FAILING_POLLS) if failing_polls is None else failing_polls
    return Overview(
        now=now,
        counts=counts._replace(
            blocked={name: reason for name, reason in counts.blocked.items() if name in file.accounts},
            disabled={name: reason for name, reason in counts.disabled.items() if name in queues},
            unread=[view for view in counts.unread if view.account in file.accounts],
        ),
        members=members,
        sources=_known_sources(file, stored, working, daemon=file.member_name if store.is_shared else ""),
        settings=known_settings(file, stored, working if has_daemon else ()),
        pauses=store.pauses(),
        unreadable=store.unreadable() if unreadable is None else unreadable,
        unchecked=[one for one in unchecked if one.endpoint in queues],
        failing=[one for one in store.failing_endpoints() if one.endpoint in queues],
        failing_polls=[one for one in failing_polls if one.account in file.accounts],
        held_accounts=[
            (name, wait) for name, state in sorted(store.accounts().items()) for wait in waits_of(state, now)
        ],
        held_endpoints=lasting_queue_waits(store.queue_waits(), queues, now),
    )


def next_count_at(begun_at: float, now: float) -> float:
    """When to count the rows of a store again, after a count from `begun_at` until now."""
    return now + max(COUNT_EVERY_S, COUNT_SHARE * (now - begun_at))


def _members(members: Sequence[MemberView]) -> list[dict[str, Any]]:
    return [
        {
            "member": view.member,
            "shares": view.shares,
            "joined_at": rfc3339(view.joined_at),
            "lease_until": rfc3339(view.lease_until),
        }
        for view in members
    ]


def _unchecked(found: Sequence[Unchecked]) -> Mapping[str, Any]:
    return {
        view.endpoint: {"count": view.deliveries, "last_at": rfc3339(view.last_at), "reason": view.reason}
        for view in found
    }


def _held_endpoints(waits: QueueWaits) -> list[dict[str, Any]]:
    """`reason` is null when an earlier message is retried first, to keep the order."""
    return [
        {
            "endpoint": one.endpoint,
            "target": one.target or None,
            "until": rfc3339(one.until_at),
            "reason": one.reason or None,
        }
        for one in waits.values()
    ]


def _failing(found: Sequence[Health]) -> dict[str, Any]:
    """By endpoint. `reported_at`: the last `endpoint_failing`; null before the first."""
    return {
        one.endpoint: {
            "since": rfc3339(one.failing_since),
            "failed_attempts": one.failures,
            "reason": one.reason,
            "reported_at": rfc3339(one.told_at),
        }
        for one in found
    }


def _failing_polls(found: Sequence[FailingPolls]) -> dict[str, Any]:
    return {one.account: {"tasks": one.tasks, "last_at": rfc3339(one.last_at), "reason": one.reason} for one in found}


def _unread(view: UnreadView) -> dict[str, Any]:
    return {
        "account": view.account,
        "word": view.word,
        "answers": view.answers,
        "last_at": rfc3339(view.last_at),
        "reason": view.reason,
        "notified_at": rfc3339(view.told_at),
    }


def _known_sources(
    file: SettingsFile, stored: Sequence[SourceFacts], working: Collection[str], *, daemon: str
) -> list[SourceFacts]:
    """Every source of these settings, even if it was never read, then those of the other daemons that work. `daemon` is
    the name of the daemon of these settings."""
    by_key = {one.key: one for one in stored}
    own = [(daemon, source.value, str(path)) for source, path in file.source_paths.items()]
    own += [(daemon, f"{DISCOVER}{name}", "") for name, account in file.accounts.items() if account.is_discovered]
    others = [key for key in by_key if key[0] in working and key[0] != daemon and key[1] != SETTINGS]
    unread = {key: SourceFacts(daemon=key[0], source=key[1], path=key[2]) for key in own}
    return [by_key.get(key) or unread[key] for key in (*own, *others)]


def sources_json(sources: Sequence[SourceFacts]) -> list[dict[str, Any]]:
    return [
        {
            "daemon": one.daemon or None,
            "source": one.source,
            "path": one.path or None,
            "last_read_at": rfc3339(one.read_at),
            "taken": one.taken,
            "rejected": one.rejected,
            "left_alone": one.left_alone,
            "failing": one.is_failing,
            "last_error": one.error,
            "last_error_at": rfc3339(one.error_at),
            "note": one.note,
        }
        for one in sources
    ]


def accounts_json(found: Overview, loaded: Loaded) -> list[dict[str, Any]]:
    """Each account of the settings: its provider, the number of live tasks, and what prevents polls."""
    status = found.json()
    return [
        {
            "account": name,
            "provider": account.provider,
            "live": found.counts.live_by_account.get(name, 0),
            "is_able": found.why_stopped(name) is None,
            "blocked": found.counts.blocked.get(name),
            "paused": _pause(status["paused_accounts"], name),
            "holds": _about(status["held_accounts"], "account", name),
            "unread_answers": _about(status["unread_answers"], "account", name),
        }
        for name, account in loaded.settings.accounts.items()
    ]


def endpoints_json(found: Overview, loaded: Loaded) -> list[dict[str, Any]]:
    """Each endpoint of the settings: its kind, the number of waiting deliveries, and what prevents deliveries."""
    status = found.json()
    return [
        {
            "endpoint": name,
            "type": endpoint.type,
            "format": getattr(endpoint, "format", None),
            "waiting": found.counts.waiting_by_endpoint.get(name, 0),
            "dead": found.counts.dead_by_endpoint.get(name, 0),
            "disabled": found.counts.disabled.get(name),
            "paused": _pause(status["paused_endpoints"], name),
            "failing": status["failing_endpoints"].get(name),
            "holds": _about(status["held_endpoints"], "endpoint", name),
            "unchecked": status["unchecked_by_endpoint"].get(name),
        }
        for name, endpoint in loaded.settings.endpoints.items()
    ]


def _pause(paused: Mapping[str, str | None], name: str) -> dict[str, str | None] | None:
    return {"until": paused[name]} if name in paused else None


def _about(records: Iterable[dict[str, Any]], key: str, name: str) -> list[dict[str, Any]]:
    return [{field: value for field, value in one.items() if field != key} for one in records if one[key] == name]
