"""From one task, as people and programs write it, to a `Wish`."""

from __future__ import annotations

import difflib
import json
import math
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from bridge.config.durations import parse_duration
from bridge.domain.ids import clean_task_id
from bridge.domain.task import Json
from bridge.domain.text import quoted
from bridge.domain.watch import Wish
from bridge.sources.entry import Entry

KEYS: Final = ("id", "account", "action", "label", "meta", "endpoints", "give_up_after")
MAX_LABEL_CHARS: Final = 500
MAX_META_BYTES: Final = 64 * 1024

_MEANT: Final = {"task_id": "id", "taskid": "id", "task": "id", "metadata": "meta", "name": "label"}
_ADDRESS: Final = re.compile(r"webhook|callback|hook|ur[il]s?$|notify|address", re.IGNORECASE)
_URL: Final = re.compile(r"https?://", re.IGNORECASE)


class TaskProblem(ValueError):
    """This task cannot be watched; the text is one clear line: what, and how to mend it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """What a query URL of an account's API names."""

    account: str
    action: str | None
    task_id: str


class TaskReader:
    """Reads tasks against the settings' names.

    `accounts` maps each account to the action of tasks that name none; `endpoints` are the names a task may give;
    `locate` recognises query URLs of the accounts, first of all of the one that is named (None: not one of ours;
    TaskProblem: of which one must be said); `action_problem` says of an account what is
    wrong with an action, or with its absence (None: nothing).
    """

    def __init__(
        self,
        *,
        accounts: Mapping[str, str | None],
        endpoints: Collection[str],
        locate: Callable[[str, str | None], Located | None],
        action_problem: Callable[[str, str | None], str | None],
    ) -> None:
        self._accounts = dict(accounts)
        self._endpoints = tuple(endpoints)
        self._locate = locate
        self._action_problem = action_problem

    def read(self, value: Any) -> Wish:
        """The wish that a bare id, a query URL or a mapping `{id, account, action, label, meta, endpoints,
        give_up_after}` stands for. Integers count as ids by their decimal text. TaskProblem when it is none."""
        if not isinstance(value, Mapping):
            return self._wish({"id": value})
        _check_keys(value)
        return self._wish({key: given for key, given in value.items() if given is not None or key == "id"})

    def read_entry(self, entry: Entry) -> Wish:
        """The wish of a task from a file; TaskProblem also for one that could not even be parsed."""
        if entry.problem is not None:
            raise TaskProblem(entry.problem)
        return self.read(entry.value)

    def _wish(self, task: Mapping[str, Any]) -> Wish:
        located, task_id = self._identity(task)
        account = self._account(task, located)
        return Wish(
            account=account,
            task_id=task_id,
            action=self._action(task, located, account),
            label=_label(task.get("label")),
            meta=_meta(task.get("meta")),
            endpoints=self._named_endpoints(task.get("endpoints")),
            give_up_after_s=_give_up_after_s(task.get("give_up_after")),
        )

    def _identity(self, task: Mapping[str, Any]) -> tuple[Located | None, str]:
        if "id" not in task:
            raise TaskProblem("id is missing")
        text = _id_text(task["id"])
        named = task.get("account")
        located = self._located(text, named if isinstance(named, str) else None) if _URL.match(text.strip()) else None
        try:
            return located, clean_task_id(located.task_id if located else text)
        except ValueError as error:
            raise TaskProblem(f"id: {error}") from None

    def _located(self, text: str, account: str | None) -> Located:
        try:
            located = self._locate(text.strip(), account)
        except TaskProblem:
            raise
        except ValueError:  # what the standard library says of a malformed URL
            located = None
        if located is None:
            raise TaskProblem(
                f"id: {quoted(text)} is no query URL of a configured account; give the bare id, or add the account"
            )
        return located

    def _account(self, task: Mapping[str, Any], located: Located | None) -> str:
        given = _text("account", task.get("account"))
        if located is not None:
            if given not in {None, located.account}:
                raise TaskProblem(
                    f"account: {quoted(given or '')} is named, but the URL is one of {quoted(located.account)}"
                )
            return located.account
        if given is None:
            if len(self._accounts) != 1:
                raise TaskProblem(f"account is missing; {_choice('accounts', self._accounts)}")
            return next(iter(self._accounts))
        if given not in self._accounts:
            raise TaskProblem(f"account: {_unknown('account', given, self._accounts)}")
        return given

    def _action(self, task: Mapping[str, Any], located: Located | None, account: str) -> str | None:
        given = _text("action", task.get("action"))
        if located is not None and located.action is not None:
            if given not in {None, located.action}:
                raise TaskProblem(f"action: {quoted(given or '')} is named, but the URL says {quoted(located.action)}")
            given = located.action
        action = given or self._accounts.get(account)
        problem = self._action_problem(account, action)
        if problem is not None:
            raise TaskProblem(f"action: {problem}")
        return action

    def _named_endpoints(self, given: Any) -> tuple[str, ...] | None:
        if given is None:
            return None
        if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
            raise TaskProblem("endpoints: must be a list of names, as in [chat]")
        if not given:
            raise TaskProblem("endpoints: is empty; leave it out and the routes decide")
        for name in given:
            if name in self._endpoints:
                continue
            if "://" in name:
                raise TaskProblem(
                    f"endpoints: {quoted(name)} is an address; endpoints come from the settings, name one"
                )
            raise TaskProblem(f"endpoints: {_unknown('endpoint', name, self._endpoints)}")
        return tuple(dict.fromkeys(given))


def _check_keys(task: Mapping[Any, Any]) -> None:
    for key in task:
        if key in KEYS:
            continue
        name = str(key)
        if _ADDRESS.search(name):
            raise TaskProblem(
                f"{quoted(name)}: a task holds no address; endpoints come from the settings, a query URL goes under id"
            )
        raise TaskProblem(_unknown("key", name, KEYS, meant=_MEANT.get(name.lower())))


def _unknown(what: str, name: str, known: Collection[str], *, meant: str | None = None) -> str:
    near = [meant] if meant else difflib.get_close_matches(name[:80], known, n=1)
    hint = f"did you mean {near[0]}?" if near else _choice(f"{what}s", known)
    return f"unknown {what} {quoted(name)}; {hint}"


def _choice(what: str, known: Collection[str]) -> str:
    if not known:
        return f"the settings hold no {what}"
    names = list(known)
    return f"{what}: {', '.join(names[:10])}{' ...' if len(names) > 10 else ''}"


def _id_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return _decimal(value)
    raise TaskProblem(f"id: must be text, not {_kind(value)}")


def _decimal(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # thousands of digits: Python refuses to print them
        raise TaskProblem("id: the number is too long") from None


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {bool: "true or false", int: "a number", float: "a number with a point", list: "a list"}
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
    """The object as plain JSON, or TaskProblem: whatever passes here, every later reader can write out again."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise TaskProblem(f"meta: must be an object, not {_kind(value)}")
    try:
        data = orjson.dumps(value)
        json.dumps(value, allow_nan=False)  # orjson writes NaN and infinity as null
    except (TypeError, ValueError) as error:
        raise TaskProblem(f"meta: is no JSON object: {error}") from None
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
        seconds = parse_duration(value if isinstance(value, str) else f"{value:f}")
    except (ValueError, OverflowError) as error:
        raise TaskProblem(f"give_up_after: {error}") from None
    if not (math.isfinite(seconds) and seconds > 0):
        raise TaskProblem("give_up_after: must be above zero")
    return seconds
