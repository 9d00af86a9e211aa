"""What the page shows about each account and each endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from bridge.control.account_waits import waits_of
from bridge.control.estimates import estimates
from bridge.control.overview import Overview
from bridge.control.store_now import StoreNow
from bridge.domain.account_state import AccountState
from bridge.domain.daemon_state import FAILING_POLLS
from bridge.domain.endpoint_health import Health
from bridge.domain.page_views import BoundedCount, DisabledSince
from bridge.domain.pause import Pause, PauseOf, lasting

if TYPE_CHECKING:
    from bridge.domain.daemon_state import AccountNow, DaemonNow

DAY_S: Final = 86_400.0
NOBODY: Final = BoundedCount(0, False)


class FactState(StrEnum):
    """The state of an account or endpoint, the worst first."""

    BLOCKED = "blocked"  # an account: its key was rejected
    DISABLED = "disabled"  # an endpoint: it answered 410
    FAILING = "failing"  # endpoint: nothing was accepted since its last failure; account: its provider fails
    PAUSED = "paused"  # by a person
    HELD = "held"  # until a time that the provider or receiver asked for
    SLOWED = "slowed"  # account: slowed by a 429
    WELL = "well"


STOPPED: Final = frozenset({FactState.BLOCKED, FactState.PAUSED})  # states of accounts that are not polled


@dataclass(frozen=True)
class StateNow:
    """A state with its reason (of a block, wait or failure), its beginning, and its end, if they are known."""

    state: FactState
    reason: str = ""
    since_at: float | None = None
    until_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class AccountFacts(StateNow):
    """One account of the settings. `until_at`: the next probe, or the end of the pause or wait."""

    account: str
    live: int
    in_flight: int
    rate: float | None  # requests per second that are allowed now; None: this daemon does not poll it
    polls_per_minute: float | None
    answered_at: float | None
    usual_s: float | None  # half of its tasks take no longer; None: too little is known
    pause: Pause | None  # the current pause, even if the state is worse

    @property
    def rate_used(self) -> float | None:
        """The share of the allowed rate that the polls of the last minutes have used."""
        if not self.rate or self.polls_per_minute is None:
            return None
        return self.polls_per_minute / 60 / self.rate


@dataclass(frozen=True, kw_only=True)
class EndpointFacts(StateNow):
    """One endpoint of the settings. `error` is the answer to the last failed attempt, if known."""

    endpoint: str
    waiting: int
    dead: int
    accepted: BoundedCount  # accepted deliveries of the last 24 h
    accepted_at: float | None  # the last one of these
    error: str
    pause: Pause | None  # the current pause, even if the state is worse


def _rank(state: FactState) -> int:
    return list(FactState).index(state)


def account_facts(
    at: StoreNow, found: Overview, *, daemon: DaemonNow, polls: Mapping[str, float]
) -> list[AccountFacts]:
    """The accounts of these settings, the worst first. `polls`: see `Rings.polls_now`."""
    states, known, facts = at.store.accounts(), estimates(at), []
    for name, account in at.file.accounts.items():
        past, now, live = states.get(name), daemon.accounts.get(name), found.counts.live_by_account.get(name, 0)
        state = account_state(past, found.now, now)
        if state.state is FactState.WELL and live and now is not None and now.failures >= FAILING_POLLS:
            state = StateNow(FactState.FAILING, now.failure)
        facts.append(
            AccountFacts(
                account=name,
                **vars(state),
                live=live,
                in_flight=now.in_flight if now else 0,
                rate=now.rate if now else None,
                polls_per_minute=polls.get(name),
                answered_at=now.answered_at if now else None,
                usual_s=known.remaining_s(name, account.action, 0.0),
                pause=past.current_pause(found.now) if past is not None else None,
            )
        )
    return sorted(facts, key=lambda one: _rank(one.state))


def account_state(past: AccountState | None, at: float, now: AccountNow | None = None) -> StateNow:
    """The state of an account from what is stored, and from what the daemon that polls it knows."""
    probe_at = now.probe_at if now else None
    if past is not None and past.blocked_at is not None:
        return StateNow(FactState.BLOCKED, past.reason, past.blocked_at, probe_at)
    if past is not None and (pause := past.current_pause(at)) is not None:
        return StateNow(FactState.PAUSED, "", pause.since_at, pause.until_at)
    waits = list(waits_of(past, at))
    failing = [wait.reason for wait in waits if wait.is_failing]
    if probe_at is not None or failing:
        return StateNow(FactState.FAILING, "".join(failing), until_at=probe_at)
    if waits:
        last = max(waits, key=lambda wait: wait.until_at)
        return StateNow(FactState.HELD, last.reason, until_at=last.until_at)
    if now is not None and now.is_slowed:
        return StateNow(FactState.SLOWED)
    return StateNow(FactState.WELL)


def endpoint_facts(at: StoreNow, found: Overview) -> list[EndpointFacts]:
    """The endpoints of these settings, the worst first."""
    store = at.store
    accepted = store.accepted(found.now - DAY_S)
    disabled = {one.endpoint: one for one in store.disabled_endpoints()}
    dead = {one.endpoint: one for one in store.dead_deliveries()}
    failing = {one.endpoint: one for one in found.failing}
    paused = lasting(found.pauses, PauseOf.ENDPOINT, found.now)
    facts = []
    for name in at.file.endpoints:
        lost, failed, pause = dead.get(name), failing.get(name), paused.get(name)
        count, accepted_at = accepted.get(name, (NOBODY, None))
        facts.append(
            EndpointFacts(
                endpoint=name,
                **vars(_endpoint_state(name, found, disabled.get(name), failed, pause)),
                waiting=found.counts.waiting_by_endpoint.get(name, 0),
                dead=lost.deliveries if lost else 0,
                accepted=count,
                accepted_at=accepted_at,
                error=failed.reason if failed else lost.detail if lost else "",
                pause=pause,
            )
        )
    return sorted(facts, key=lambda one: _rank(one.state))


def _endpoint_state(
    name: str, found: Overview, off: DisabledSince | None, failed: Health | None, pause: Pause | None
) -> StateNow:
    if off is not None:
        return StateNow(FactState.DISABLED, off.reason, off.disabled_at)
    if pause is not None:
        return StateNow(FactState.PAUSED, "", pause.since_at, pause.until_at)
    if failed is not None:
        return StateNow(FactState.FAILING, failed.reason, failed.failing_since)
    held = [wait for (endpoint, _), wait in found.held_endpoints.items() if endpoint == name]
    if held:
        last = max(held, key=lambda wait: wait.until_at)
        return StateNow(FactState.HELD, last.reason, until_at=last.until_at)
    return StateNow(FactState.WELL)
