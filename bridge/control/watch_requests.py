"""Requests about tasks: add, withdraw, poll now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from bridge.control.pausing import how_long
from bridge.domain.ids import WatchKey
from bridge.domain.pause import PauseOf, lasting
from bridge.domain.plurals import and_more
from bridge.domain.quoting import printable
from bridge.domain.rate_limiter import PROBE_GAP_S
from bridge.domain.views import RequestResult, WatchView
from bridge.domain.watch import Wish
from bridge.errors import UsageError
from bridge.ports import Added
from bridge.sources.entry import Entry
from bridge.sources.task_reader import MissingField, OfAnotherAccount, TaskProblem, TaskReader
from bridge.store.command_store import CommandStore

NEEDS_DAEMON: Final = frozenset({"added", "revived", "again", "known"})  # results of `add` that need a running daemon

_ADDED: Final = {
    "added": "watching",
    "revived": "watching again",
    "again": "watching again",
    "known": "already watched, unchanged",
    "ended": "has finished ({phase}); `genbridge add --again` watches it again",
}


class WrongTask(NamedTuple):
    """A task of a list that cannot be watched. `lacks`: the missing key; empty if something else is wrong."""

    line: int
    why: str
    number: int = 0  # see `Entry`
    lacks: str = ""

    @property
    def place(self) -> str:
        """`line 3`; or `task 2`, its position among the tasks, if other tasks are on the same line."""
        return f"task {self.number}" if self.number else f"line {self.line}"


def wish(reader: TaskReader, value: Any, shared: Mapping[str, Any]) -> Wish:
    """One task: an id, or a mapping whose keys come before `shared`. UsageError if it cannot be watched."""
    try:
        return _read(reader, value, shared)
    except MissingField as problem:
        raise UsageError(f"{problem}; give it with --{problem.key}") from None
    except TaskProblem as problem:
        raise UsageError(str(problem)) from None


def wish_again(reader: TaskReader, view: WatchView) -> Wish:
    """The same task, label, meta and endpoints once more. UsageError if the settings no longer allow it."""
    again = wish(reader, {"id": view.task_id, "account": view.account, "action": view.action}, {})
    if again.key != WatchKey(view.account, view.task_id):
        raise UsageError(f"{printable(view.task_id)} means another task in the current settings")
    return again


def wishes(reader: TaskReader, entries: Sequence[Entry], shared: Mapping[str, Any]) -> list[Wish]:
    """All tasks on stdin. UsageError names the first that cannot be watched, and the number of others."""
    good, problems = sorted_wishes(reader, entries, shared)
    if problems:
        first = problems[0]
        task = f"task {first.number}: " if first.number else ""
        why = f"{first.why}{and_more(len(problems) - 1)}"
        end = " Nothing was added" if why.endswith("?") else "; nothing was added"
        raise UsageError(f"stdin:{first.line}: {task}{why}{end}")
    return good


def sorted_wishes(
    reader: TaskReader, entries: Iterable[Entry], shared: Mapping[str, Any], *, most_wrong: int | None = None
) -> tuple[list[Wish], list[WrongTask]]:
    """The tasks of a text that can be watched, and the others; reading stops after `most_wrong` of those. The shared
    account applies to tasks that name no account, but not to a query URL or create answer of another account."""
    good, problems = [], []
    for entry in entries:
        try:
            good.append(_listed(reader, entry, shared))
        except TaskProblem as problem:
            lacks = problem.key if isinstance(problem, MissingField) else ""
            problems.append(WrongTask(entry.line, str(problem), entry.number, lacks))
            if len(problems) == most_wrong:
                break
    return good, problems


def _listed(reader: TaskReader, entry: Entry, shared: Mapping[str, Any]) -> Wish:
    if entry.problem is not None:
        raise TaskProblem(entry.problem)
    try:
        return _read(reader, reader.task_of(entry.value, account=shared.get("account")), shared)
    except OfAnotherAccount as problem:
        rest = {name: given for name, given in shared.items() if name != "account"}
        if rest == shared:
            raise
        try:
            return _read(reader, reader.task_of(entry.value), rest)
        except MissingField:
            raise
        except TaskProblem:
            raise problem from None


def _read(reader: TaskReader, value: Any, shared: Mapping[str, Any]) -> Wish:
    own = value if isinstance(value, dict) else {"id": value}
    return reader.read({**shared, **{key: given for key, given in own.items() if given is not None or key == "id"}})


def added_json(added: Sequence[Added]) -> list[dict[str, Any]]:
    return [{"account": one.key.account, "id": one.key.task_id, "result": one.what} for one in added]


def added_line(one: Added) -> str:
    """`kling/TASK: watching`"""
    return f"{one.key.account}/{printable(one.key.task_id)}: {_ADDED[one.what].format(phase=one.phase)}"


def withdraw(store: CommandStore, keys: Sequence[WatchKey], *, now: float) -> list[tuple[RequestResult, str]]:
    """Stop watching these tasks, without an event; returns each with what was done, or why nothing was."""
    return [(one, _detail(one, "withdrawn")) for one in store.withdraw(keys, now=now)]


def poll_now(
    store: CommandStore, keys: Sequence[WatchKey], *, now: float, accounts: Collection[str]
) -> list[tuple[RequestResult, str]]:
    """Request polls of these tasks; returns the same as `withdraw`. `accounts` are those of the settings."""
    touched = store.poll_now(keys, now=now)
    paused = lasting(store.pauses(), PauseOf.ACCOUNT, now)
    when = dict.fromkeys((key.account for key in keys), "once its account is in the settings again")
    when |= dict.fromkeys(accounts, "as soon as the account's limits allow")
    blocked = [name for name, state in store.accounts().items() if state.blocked_at is not None and name in accounts]
    when |= dict.fromkeys(
        blocked, f"within {PROBE_GAP_S:.0f} s, to see whether the provider accepts its blocked account"
    )
    when |= {name: f"after the pause of its account: paused {how_long(one, now)}" for name, one in paused.items()}
    return [(one, _detail(one, f"polling {when[one.key.account]}")) for one in touched]


def _detail(touched: RequestResult, done: str) -> str:
    return done if touched.done else f"already {touched.phase or 'gone'}, nothing to do"
