"""Rows to the states of accounts. Apart from the other records, because commands that list watches do without them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from bridge.domain.account_state import AccountState, Hold
from bridge.domain.pause import Pause, PauseOf
from bridge.store.records import Record
from bridge.store.rows import Row
from bridge.store.statements import Session
from bridge.store.unreadable import readable

_ACCOUNTS: Final = Record("account", AccountState, "accounts", without=("holds", "pause"))
_HOLDS: Final = Record("hold", Hold, "holds", until_at="held_until")
_SELECT_HOLDS: Final = f"SELECT account, {', '.join(_HOLDS.columns)} FROM holds ORDER BY account, route"  # noqa: S608


def account_states(session: Session, pauses: Iterable[Pause]) -> dict[str, AccountState]:
    """What is known of each account."""
    states = {state.account: state for state in _ACCOUNTS.find(session)}
    for account, hold in readable("hold", _hold, session.find(_SELECT_HOLDS)):
        state = states.get(account, AccountState(account=account))
        states[account] = replace(state, holds=(*state.holds, hold))
    for made in pauses:
        if made.of is PauseOf.ACCOUNT:
            states[made.name] = replace(states.get(made.name, AccountState(account=made.name)), pause=made)
    return states


def _hold(row: Row) -> tuple[str, Hold]:
    return row[0], _HOLDS.read(row[1:])
