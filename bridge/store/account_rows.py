"""Rows to the states of accounts. Apart from the other records, because commands that list watches do without them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from bridge.domain.account_state import AccountState, Hold
from bridge.domain.pause import Pause, PauseOf
from bridge.store.records import Record
from bridge.store.statements import Session

_ACCOUNTS: Final = Record("account", AccountState, "accounts", without=("holds", "pause"))
_HOLDS: Final = Record("hold", Hold, "holds", until_at="held_until")


def account_states(session: Session, pauses: Iterable[Pause]) -> dict[str, AccountState]:
    """What is known of each account."""
    states = {state.account: state for state in _ACCOUNTS.find(session)}
    for account, holds in _HOLDS.by("account", session, "ORDER BY account, route").items():
        states[account] = replace(states.get(account, AccountState(account=account)), holds=tuple(holds))
    for made in pauses:
        if made.of is PauseOf.ACCOUNT:
            states[made.name] = replace(states.get(made.name, AccountState(account=made.name)), pause=made)
    return states
