"""Pauses of accounts and endpoints: starting and ending them, and their effect on polls and deliveries."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from bridge.config.settings_file import SettingsFile
from bridge.control.account_waits import opens_at, waits_on
from bridge.control.formats import ago, rfc3339
from bridge.domain.account_state import AccountState
from bridge.domain.pause import Pause, PauseOf, lasting
from bridge.domain.quoting import unknown_name
from bridge.domain.views import WatchView
from bridge.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from bridge.store.command_store import CommandStore

SECTIONS: Final = {"accounts": PauseOf.ACCOUNT, "endpoints": PauseOf.ENDPOINT}


def pause(
    store: CommandStore, file: SettingsFile, name: str, *, now: float, until_at: float | None
) -> tuple[PauseOf, str]:
    """Pause an account or endpoint. `until_at` None: until `resume`. UsageError if the name is neither or both."""
    of, known = _named(file, name, ())
    store.pause(of, known, now=now, until_at=until_at)
    return of, known


def resume(store: CommandStore, file: SettingsFile, name: str, *, now: float) -> tuple[PauseOf, str, bool]:
    """End a pause; returns whether it is an account or endpoint, and whether it was paused. Errors as for `pause`. A
    paused name that is no longer in the settings works, too."""
    paused = [one for one in store.pauses() if one.lasts(now)]
    of, known = _named(file, name, paused)
    return of, known, store.resume(of, known, now=now)


def held_watches(
    views: Iterable[WatchView], accounts: Mapping[str, AccountState], known: Container[str], now: float
) -> list[WatchView]:
    """The same watches. If the account must wait, the next poll is at the end of that wait. None if the end is not
    known: the account is blocked, paused until `resume`, or not among `known`, those of the settings."""
    return [view if view.ended_at is not None else _held(view, accounts, known, now) for view in views]


def after_pause(at: float | None, one: Pause) -> float | None:
    """This time, or the end of the pause if that is later; None if the pause is open-ended."""
    return None if at is None or one.until_at is None else max(at, one.until_at)


def how_long(one: Pause, now: float) -> str:
    """`until 2026-01-02T03:04:05Z (in 59m 3s)`. Without an end: since when it lasts, and the command that ends it."""
    at, word = (one.since_at, "since") if one.until_at is None else (one.until_at, "until")
    return f"{word} {rfc3339(at)} ({ago(at, now)}); `genbridge resume {one.name}` ends the pause"


def pauses_json(pauses: Sequence[Pause], now: float) -> dict[str, dict[str, str | None]]:
    """For JSON: each pause with its end; null is open-ended."""
    return {
        f"paused_{of}s": {name: rfc3339(one.until_at) for name, one in lasting(pauses, of, now).items()}
        for of in PauseOf
    }


def _named(file: SettingsFile, text: str, paused: Sequence[Pause]) -> tuple[PauseOf, str]:
    """The account or endpoint with this name, in the settings or among `paused`. If both have it: the paused one."""
    names = {PauseOf.ACCOUNT: set(file.accounts), PauseOf.ENDPOINT: set(file.queues)}
    for one in paused:
        names[one.of].add(one.name)
    section, dot, name = text.partition(".")
    if dot and section in SECTIONS and name in names[SECTIONS[section]]:
        return SECTIONS[section], name
    found = [of for of in PauseOf if text in names[of]]
    if len(found) == 2:
        found = [one.of for one in paused if one.name == text] or found
    if len(found) == 2:
        raise UsageError(f"{text} is an account and an endpoint: write accounts.{text} or endpoints.{text}")
    if not found:
        known = sorted(names[PauseOf.ACCOUNT] | names[PauseOf.ENDPOINT])
        raise UnknownNameError(unknown_name("account or endpoint", text, known), file=str(file.path))
    return found[0], text


def _held(view: WatchView, accounts: Mapping[str, AccountState], known: Container[str], now: float) -> WatchView:
    state = accounts.get(view.account)
    if view.account not in known or (state is not None and state.blocked_at is not None):
        return view._replace(next_poll_at=None)
    if state is None:
        return view
    next_poll_at: float | None = view.next_poll_at
    opens = opens_at(waits_on(state, view.action, now))
    if opens > now:
        next_poll_at = max(next_poll_at or 0.0, opens)
    if (pause := state.current_pause(now)) is not None:
        next_poll_at = after_pause(next_poll_at or 0.0, pause)
    return view if next_poll_at == view.next_poll_at else view._replace(next_poll_at=next_poll_at)
