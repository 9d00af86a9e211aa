"""Receives callbacks: verifies them, polls the tasks that they name, and forwards hints to other daemons."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import anyio

from bridge.domain.callback import (
    REFUSED,
    Callback,
    CallbackHeard,
    CallbackOutcome,
    CallbackRequest,
)
from bridge.domain.callback_pace import HINTS_PER_S, ReadBudget
from bridge.domain.ids import WatchKey
from bridge.domain.store_key import KeyPurpose, callback_path, callback_secret
from bridge.domain.task import Json
from bridge.engine.account import AccountPoller
from bridge.engine.poller import Poller
from bridge.engine.store_outage import retrying
from bridge.errors import StoreError
from bridge.logs import get_logger
from bridge.metrics import Metrics
from bridge.ports import Clock, Offload

log = get_logger()

PASSED_ON_EVERY_S: Final = 0.2  # how often ids are forwarded to other daemons, in one transaction
MAX_PASSED_ON: Final = 200  # maximum number of ids in that transaction
MAX_PASSED_IDS: Final = 5  # maximum number of ids from one callback
KEYS_CHECKED_EVERY_S: Final = 5.0  # how often to check whether a provider's public keys must be fetched


class CallbackPolls(Protocol):
    """What callbacks need from the store."""

    def ensure_key(self, purpose: KeyPurpose, *, now: float) -> bytes:
        """The store's random key for this purpose; created if it is missing. All daemons use the same key."""

    def poll_called(
        self, heard: Mapping[WatchKey, CallbackHeard], *, most: int, now: float
    ) -> tuple[int, list[WatchKey]]:
        """Make the daemons that hold these watches poll them at once, at most `most` of each account. Returns the
        number of these watches, and the live ones beyond that limit. Unknown watches are ignored, at the cost of one
        query."""


@dataclass(frozen=True, slots=True)
class CallbackReply:
    """The outcome of a callback, and the challenge to return if the callback had one."""

    outcome: CallbackOutcome
    challenge: Json = None


class CallbackHints:
    """Receives the callbacks of all accounts. `receive` waits neither for a poll nor for the store."""

    def __init__(
        self, *, poller: Poller, store: CallbackPolls, offload: Offload, clock: Clock, metrics: Metrics
    ) -> None:
        self._poller = poller
        self._store = store
        self._offload = offload
        self._clock = clock
        self._metrics = metrics
        self._wanted = anyio.Event()
        self._key: bytes | None = None
        self._budgets: dict[str, ReadBudget] = {}
        self._elsewhere: dict[WatchKey, CallbackHeard] = {}  # ids that another daemon may watch
        self._has_elsewhere = anyio.Event()

    def open(self) -> None:
        """Allow `run` to begin: callbacks can arrive from now on."""
        self._wanted.set()

    @property
    def is_ready(self) -> bool:
        """Whether the addresses are known."""
        return self._key is not None

    def is_address(self, account: str, secret: str) -> bool:
        """Whether this is the secret of the account's callback address."""
        expected = callback_secret(self._key or b"", account).encode()
        fits = hmac.compare_digest(expected, secret.encode(errors="replace"))
        return fits and self._key is not None and account in self._poller.accounts

    def path(self, account: str) -> str:
        return callback_path(self._key or b"", account)

    def receive(self, account: str, request: CallbackRequest) -> CallbackReply:
        """Process a callback that arrived at the account's address."""
        poller = self._poller.accounts.get(account)
        budget = self._budgets.setdefault(account, ReadBudget())
        if poller is None or not budget.admits(len(request.body), self._clock.steady()):
            reply = CallbackReply(CallbackOutcome.DROPPED)
        else:
            reply = self._take(poller, poller.plan.callbacks.read(request, now=self._clock.now()))
        self._metrics.account(account).callbacks[reply.outcome] += 1
        return reply

    def _take(self, account: AccountPoller, callback: Callback) -> CallbackReply:
        if callback.proof in REFUSED:
            return CallbackReply(CallbackOutcome(callback.proof))
        if callback.challenge is not None:
            return CallbackReply(CallbackOutcome.CHALLENGE, callback.challenge)
        if not callback.ids:
            return CallbackReply(CallbackOutcome.UNREADABLE)
        detail = f"{callback.proof}: {callback.status}" if callback.status else str(callback.proof)
        outcome, elsewhere = account.hear(callback.ids, detail)
        if outcome is CallbackOutcome.UNKNOWN and elsewhere and self._pass_on(account.name, elsewhere, detail):
            return CallbackReply(CallbackOutcome.FORWARDED)
        return CallbackReply(outcome)

    def _pass_on(self, account: str, ids: list[str], detail: str) -> bool:
        """Keep ids for forwarding to the daemon that may watch them. Returns whether there was room."""
        if len(self._elsewhere) >= MAX_PASSED_ON:
            return False
        heard = CallbackHeard(self._clock.now(), detail)
        self._elsewhere |= {WatchKey(account, task_id): heard for task_id in ids[:MAX_PASSED_IDS]}
        self._has_elsewhere.set()
        return True

    async def run(self) -> None:
        """Once callbacks can arrive, do the slow work until canceled: read the key of the addresses, forward ids, fetch
        public keys."""
        await self._wanted.wait()
        self._key = await retrying(
            partial(self._offload, partial(self._store.ensure_key, KeyPurpose.CALLBACKS, now=self._clock.now())),
            self._clock,
        )
        async with anyio.create_task_group() as group:
            group.start_soon(self._pass_on_all)
            group.start_soon(self._refresh_keys)

    async def _pass_on_all(self) -> None:
        while True:
            await self._has_elsewhere.wait()
            self._has_elsewhere = anyio.Event()
            heard, self._elsewhere = self._elsewhere, {}
            call = partial(self._store.poll_called, heard, most=HINTS_PER_S, now=self._clock.now())
            try:
                called, left = await self._offload(call)
                if called:
                    await self._poller.fetch_changes()
            except StoreError:  # hints are not important enough to be sent again
                called, left = 0, []
            if left:
                self._elsewhere = {key: heard[key] for key in left} | self._elsewhere
                self._has_elsewhere.set()
            await self._clock.sleep(max(called / HINTS_PER_S, PASSED_ON_EVERY_S))

    async def _refresh_keys(self) -> None:
        while True:
            for account in list(self._poller.accounts.values()):
                if not await account.plan.callbacks.refresh(self._clock.steady()):
                    log.warning("callback.keys_unavailable", account=account.name)
            await self._clock.sleep(KEYS_CHECKED_EVERY_S)
