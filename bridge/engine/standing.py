"""How one account stands with its provider: its gate, and the blocks that its watches' ages leave out."""

from __future__ import annotations

from dataclasses import replace

from bridge.domain.change import AccountChange, AccountPaused, AccountState
from bridge.domain.host import Host
from bridge.domain.limits import PROBE_FIRST_S, Gate, Limits, Verdict
from bridge.domain.task import Reading
from bridge.engine.agenda import Entry
from bridge.engine.ledger import Ledger
from bridge.logs import get_logger
from bridge.ports import Clock

log = get_logger()


class Standing:
    """Heeds what answers mean for the account, and has blocks and pauses written down."""

    def __init__(
        self, name: str, *, limits: Limits, past: AccountState, host: Host, ledger: Ledger, clock: Clock
    ) -> None:
        self._name = name
        self._past = past
        self._ledger = ledger
        self._clock = clock
        now = clock.steady()
        self.gate = Gate(limits, now=now, account=name, host=host)
        if past.blocked_at is not None:
            self.gate.block(now=now)
        self._heed_pause(past, now)

    def learn(self, past: AccountState) -> None:
        """What another daemon on the same store has found out about the account. What we know may be the newer."""
        now = self._clock.steady()
        self._heed_pause(past, now)
        if (past.count, past.blocked_at is None) <= (self._past.count, self._past.blocked_at is None):
            return
        self._past = past
        if past.blocked_at is None:
            self.gate.restore()
        else:
            self.gate.block(now=now + PROBE_FIRST_S * self.gate.daemons)

    def _heed_pause(self, past: AccountState, now: float) -> None:
        if past.paused_until is not None:
            self.gate.paused_until = max(self.gate.paused_until, min(past.paused_until, now + 3600.0))

    def age_s(self, entry: Entry, now: float) -> float:
        """Age of the watch without the time its account was blocked since it was added."""
        past = self._past
        blocked_s = past.blocked_s + (max(0.0, now - past.blocked_at) if past.blocked_at is not None else 0.0)
        blocked_s -= entry.blocked_before_s
        return max(0.0, now - entry.added_at - blocked_s if blocked_s > 0 else now - entry.added_at)

    def heed(self, reading: Reading, task_id: str, *, asked_at: float, now: float) -> bool:
        """What the answer to a request means for the account; whether others may pass now who could not before."""
        gate = self.gate
        was_probing, was_troubled = gate.probing, gate.troubled
        verdict = gate.answered(reading, task_id=task_id, now=now, chance=self._clock.chance(), asked_at=asked_at)
        if verdict is not Verdict.NOTHING:
            self._changed(verdict, reading, now)
        is_troubled = gate.troubled
        if is_troubled and not was_troubled:
            log.warning("account.troubled", account=self._name, reason=reading.detail)
        elif was_troubled and not is_troubled:
            log.info("account.recovered", account=self._name)
        return gate.host.troubled or (was_probing and not gate.probing)  # one probe over, it may be another's turn

    def _changed(self, verdict: Verdict, reading: Reading, now: float) -> None:
        past = self._past
        match verdict:
            case Verdict.BLOCKED:
                past = replace(past, blocked_at=now, reason=reading.detail, count=past.count + 1)
                log.error("account.blocked", account=self._name, reason=reading.detail)
            case Verdict.RESTORED:
                blocked_s = past.blocked_s + max(0.0, now - (past.blocked_at or now))
                past = replace(past, blocked_at=None, blocked_s=blocked_s)
                log.info("account.restored", account=self._name)
            case _:
                until_at = self.gate.paused_until
                log.warning("account.paused", account=self._name, seconds=round(until_at - now, 1))
                self._ledger.post(AccountPaused(account=self._name, until_at=until_at))
                return
        self._past = past
        self._ledger.post(
            AccountChange(
                account=self._name,
                blocked=verdict is Verdict.BLOCKED,
                reason=past.reason,
                count=past.count,
                blocked_s=past.blocked_s,
                at=now,
            )
        )
