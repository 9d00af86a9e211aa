"""Turns a task, as people and programs write it, into a `Wish`."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from bridge.config.duration_syntax import parse_duration
from bridge.domain.id_rule import TASK_KEYS, id_problem
from bridge.domain.ids import WatchKey, clean_task_id
from bridge.domain.quoting import printable, quoted, unknown_name
from bridge.domain.task import Json
from bridge.domain.watch import Wish
from bridge.sources.entry import Entry

MAX_LABEL_CHARS: Final = 500
MAX_META_BYTES: Final = 64 * 1024

_MEANT: Final = {"task_id": "id", "taskid": "id", "task": "id", "metadata": "meta", "name": "label"}
_NEAR: Final = 0.75
_ADDRESS: Final = re.compile(r"webhook|callback|hook|ur[il]s?$|notify|address", re.IGNORECASE)
_URL: Final = re.compile(r"https?://", re.IGNORECASE)


class TaskProblem(ValueError):
    """This task cannot be watched. The text is one printable line: what is wrong, and how to fix it."""

    def __init__(self, problem: str) -> None:
        super().__init__(printable(problem))


class MissingField(TaskProblem):
    """The task has no value for `key`, and the settings do not determine one."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(problem)
        self.key = key


class OfAnotherAccount(TaskProblem):
    """It cannot be a task of the named account."""


class DoubtfulId(TaskProblem):
    """The id is valid, but probably a mistake. A task that is already watched under this key stays watched."""

    def __init__(self, problem: str, key: WatchKey) -> None:
        super().__init__(problem)
        self.key = key


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReader:
    """Reads tasks against the names in the settings.

    - `accounts` maps each account to the action of tasks that name none.
    - `endpoints` are the names that a task may use.
    - `locate(url, account)` finds the task in a query URL, first at the named account. None: no account has such URLs.
      TaskProblem: the account must be named.
    - `action_problem(account, action, task_id)` and `id_problem(account, task_id)` say what is wrong; None: nothing.
    - `created(answer, account)` finds the task in a create call's JSON answer. None: this is not a create call's
      answer. TaskProblem: the account must be named.
    """

    accounts: Mapping[str, str | None]
    endpoints: Collection[str]
    locate: Callable[[str, str | None], Wish | None]
    action_problem: Callable[[str, str | None, str], str | None]
    id_problem: Callable[[str, str], str | None] = lambda account, task_id: id_problem(task_id)
    created: Callable[[Any, str | None], Mapping[str, Any] | None] = lambda answer, account: None

    def read(self, value: Any) -> Wish:
        """The wish for a bare id, a query URL or a mapping with `TASK_KEYS`. An integer is an id in decimal notation.
        TaskProblem for anything else."""
        if not isinstance(value, Mapping):
            return self._wish({"id": value})
        check_keys(value)
        return self._wish({key: given for key, given in value.items() if given is not None or key == "id"})

    def read_entry(self, entry: Entry, *, answers: bool = False) -> Wish:
        """The wish for a task in a file. TaskProblem also if the task could not be parsed. With `answers`, a create
        call's answer counts as the task that it created."""
        if entry.bug is not None:
            from bridge.logs import get_logger  # imported here: quick commands read tasks, too, and do not need it

            log = get_logger()
            log.error("source.bug", traceback=entry.bug)
        if entry.problem is not None:
            raise TaskProblem(entry.problem)
        return self.read(self.task_of(entry.value) if answers else entry.value)

    def task_of(self, value: Any, *, account: str | None = None) -> Any:
        """The task in a create call's answer, or else the value itself. TaskProblem as for `created`."""
        task = self.created(value, account) if isinstance(value, Mapping) else None
        return value if task is None else task

    def _wish(self, task: Mapping[str, Any]) -> Wish:
        located, task_id = self._identity(task)
        try:
            account = self._account(task, located)
        except TaskProblem:
            self._check_any(task_id)
            raise
        self._check_id(account, task_id)
        action = self._action(task, located, account, task_id)
        return self.shaped(Wish(account=account, task_id=task_id, action=action), task)

    def shaped(self, wish: Wish, task: Mapping[str, Any]) -> Wish:
        """The wish with label, meta, endpoints and give_up_after of a task. TaskProblem for an invalid one."""
        return replace(
            wish,
            label=_label(task.get("label")),
            meta=_meta(task.get("meta")),
            endpoints=self._named_endpoints(task.get("endpoints")),
            give_up_after_s=_give_up_after_s(task.get("give_up_after")),
        )

    def _identity(self, task: Mapping[str, Any]) -> tuple[Wish | None, str]:
        if "id" not in task:
            raise TaskProblem("id is missing")
        text = _id_text(task["id"])
        named = task.get("account")
        located = self._located(text, named if isinstance(named, str) else None) if _URL.match(text.strip()) else None
        try:
            return located, clean_task_id(located.task_id if located else text)
        except ValueError as error:
            raise TaskProblem(f"id: {error}") from None

    def _check_any(self, task_id: str) -> None:
        """TaskProblem if no account can have this id."""
        problems = [self.id_problem(account, task_id) for account in self.accounts]
        if problems and all(problems):
            raise TaskProblem(f"id: {quoted(task_id)}: {printable(problems[0] or '')}")

    def _check_id(self, account: str, task_id: str) -> None:
        problem = self.id_problem(account, task_id)
        if problem is not None:
            raise DoubtfulId(f"id: {quoted(task_id)}: {printable(problem)}", WatchKey(account, task_id))

    def _located(self, text: str, account: str | None) -> Wish:
        try:
            located = self.locate(text.strip(), account)
        except TaskProblem:
            raise
        except ValueError:  # the standard library's message about a malformed URL
            located = None
        if located is None:
            raise TaskProblem(
                f"id: {quoted(text)} is not a query URL of a configured account; give only the id, or add the account"
            )
        return located

    def _account(self, task: Mapping[str, Any], located: Wish | None) -> str:
        given = _text("account", task.get("account"))
        if located is not None:
            if given not in {None, located.account}:
                raise OfAnotherAccount(
                    f"account: {quoted(given or '')} is given, but the URL belongs to {quoted(located.account)}"
                )
            return located.account
        if given is None:
            if len(self.accounts) != 1:
                names = ", ".join(list(self.accounts)[:10])
                raise MissingField(
                    "account", f"account is missing; {f'accounts: {names}' if names else 'there are no accounts'}"
                )
            return next(iter(self.accounts))
        if given not in self.accounts:
            raise TaskProblem(f"account: {unknown_name('account', given, self.accounts)}")
        return given

    def _action(self, task: Mapping[str, Any], located: Wish | None, account: str, task_id: str) -> str | None:
        given = _text("action", task.get("action"))
        if located is not None and located.action is not None:
            if given not in {None, located.action}:
                raise TaskProblem(f"action: {quoted(given or '')} is given, but the URL says {quoted(located.action)}")
            given = located.action
        action = given or self.accounts.get(account)
        problem = self.action_problem(account, action, task_id)
        if problem is not None:
            raise MissingField("action", f"action: {problem}") if action is None else TaskProblem(f"action: {problem}")
        return action

    def _named_endpoints(self, given: Any) -> tuple[str, ...] | None:
        if given is None:
            return None
        if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
            raise TaskProblem("endpoints: must be a list of names, as in [chat]")
        if not given:
            raise TaskProblem("endpoints: is empty; leave it out to let the routes decide")
        for name in given:
            if name in self.endpoints:
                continue
            if "://" in name:
                raise TaskProblem(
                    f"endpoints: {quoted(name)} is an address; write the name of an endpoint from the settings"
                )
            raise TaskProblem(f"endpoints: {unknown_name('endpoint', name, self.endpoints)}")
        return tuple(dict.fromkeys(given))


def has_misspelled_key(task: Mapping[str, Any]) -> bool:
    """Whether this would be a task if its keys were spelled correctly."""
    import difflib  # imported here, because quick commands do not need it

    strange = [key for key in task if key not in TASK_KEYS and key.lower() not in _MEANT]
    return bool(strange) and all(
        difflib.get_close_matches(key[:80].lower(), TASK_KEYS, n=1, cutoff=_NEAR) for key in strange
    )


def has_known_keys(task: Mapping[str, Any]) -> bool:
    """Whether any key is a task key, or a common other name for one."""
    return any(key in TASK_KEYS or key.lower() in _MEANT for key in task)


def check_keys(task: Iterable[Any]) -> None:
    """TaskProblem for the first key that a task cannot have."""
    for key in task:
        if key in TASK_KEYS:
            continue
        name = str(key)
        if _ADDRESS.search(name):
            raise TaskProblem(
                f"{quoted(name)}: a task must not contain an address; name an endpoint of the settings, or write a "
                "query URL as id"
            )
        meant = _MEANT.get(name.lower())
        problem = unknown_name("key", name, TASK_KEYS)
        raise TaskProblem(f'unknown key {quoted(name)}; did you mean "{meant}"?' if meant else problem)


def _id_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, int) or isinstance(value, bool):
        raise TaskProblem(f"id: must be text, not {_kind(value)}")
    try:
        return str(value)
    except ValueError:  # thousands of digits, which Python refuses to print
        raise TaskProblem("id: the number is too long") from None


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {str: "text", bool: "true or false", int: "a number", float: "a number with a point", list: "a list"}
    return kinds.get(type(value), "a mapping" if isinstance(value, Mapping) else "this")


def _text(key: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    raise TaskProblem(f"{key}: must be text, not {_kind(value)}")


def _label(value: Any) -> str | None:
    label = _text("label", value)
    if label is None:
        return None
    if len(label) > MAX_LABEL_CHARS:
        raise TaskProblem(f"label: has {len(label)} characters; at most {MAX_LABEL_CHARS} are allowed")
    if any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in label):
        raise TaskProblem("label: must be one line without control characters")
    return label


def _meta(value: Any) -> Mapping[str, Json] | None:
    """The object as plain JSON. TaskProblem if JSON cannot represent it."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise TaskProblem(f"meta: must be an object, not {_kind(value)}")
    try:
        data = orjson.dumps(value)
        json.dumps(value, allow_nan=False)  # because orjson writes NaN and infinity as null
    except (TypeError, ValueError) as error:
        known = {"range": "a number is out of range; put it in quotes", "Recursion": "it is nested too deeply"}
        why = next((text for word, text in known.items() if word in str(error)), error)
        raise TaskProblem(f"meta: cannot be sent as JSON: {why}") from None
    if len(data) > MAX_META_BYTES:
        raise TaskProblem(f"meta: has {len(data)} bytes; at most {MAX_META_BYTES} are allowed")
    plain: Mapping[str, Json] = orjson.loads(data)
    return plain


def _give_up_after_s(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TaskProblem(f"give_up_after: must be a duration such as 2h, not {_kind(value)}")
    try:
        seconds = parse_duration(f"{value:f}" if isinstance(value, float) else str(value))
    except (ValueError, OverflowError) as error:
        raise TaskProblem(f"give_up_after: {error}") from None
    if not (math.isfinite(seconds) and seconds > 0):
        raise TaskProblem("give_up_after: must be more than 0")
    return seconds
