"""`add`, `withdraw`, `poll`: people's wishes about watches."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from bridge import wiring
from bridge.cli.session import Session, command, json_option
from bridge.cli.text import print_json, safe
from bridge.clock import SystemClock
from bridge.domain.ids import WatchKey
from bridge.domain.watch import Wish
from bridge.errors import UnknownError, UsageError
from bridge.sources.forms import read_tasks
from bridge.sources.tasks import TaskProblem, TaskReader
from bridge.store import SqliteStore
from bridge.store.views import Touched

SAID = {
    "added": "watching",
    "revived": "watching again",
    "again": "watching anew",
    "known": "already watched",
    "ended": "has ended ({phase}); `genbridge add --again` watches it anew",
}


@command("add")
@click.argument("ids", nargs=-1, required=True, metavar="ID...|-")
@click.option("--account", help="Account of the settings; may be left out when there is one.")
@click.option("--action", help="Path of the task form, e.g. videos/text2video; else the account's.")
@click.option("--label", help="A name for people.")
@click.option("--meta", "meta", multiple=True, metavar="KEY=VALUE", help="Handed on to receivers; may be repeated.")
@click.option(
    "--endpoint", "endpoints", multiple=True, help="Tell this endpoint instead of the routes; may be repeated."
)
@click.option("--again", is_flag=True, help="Watch a task that has ended anew.")
@json_option
@click.pass_obj
def add_command(session: Session, /, ids: Sequence[str], again: bool, as_json: bool, **options: Any) -> None:
    """Watch tasks: ids, full query URLs, or `-` to read tasks from stdin.

    On stdin: an id a line, JSON (one task or a list), or JSON lines. Exit 0 means the tasks are written down and
    their ends will be told, whether or not a daemon runs now. All or nothing: one bad task adds none.
    """
    reader = wiring.task_reader(session.loaded.settings)
    shared = _shared(**options)
    values = _stdin_tasks() if list(ids) == ["-"] else [(None, one) for one in ids]
    wishes = [_wish(reader, value, shared, line) for line, value in values]
    now = SystemClock().now()
    with session.store(create=True) as store:
        added = store.add(wishes, source="cli", now=now, again=again)
    if as_json:
        print_json([{"account": one.key.account, "id": one.key.task_id, "result": one.what} for one in added])
        return
    for one in added:
        said = SAID[one.what].format(phase=one.phase)
        click.echo(f"{one.key.account}/{safe(one.key.task_id)}: {said}")


@command("withdraw")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--account", help="When several accounts watch this id.")
@click.pass_obj
def withdraw_command(session: Session, ids: Sequence[str], account: str | None) -> None:
    """Stop watching; no event is made. A task still named by the watchlist comes back when that file changes."""
    with session.store() as store:
        keys = find_keys(store, ids, account)
        for touched in store.withdraw(keys, now=SystemClock().now()):
            _say(touched, "withdrawn")


@command("poll")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--account", help="When several accounts watch this id.")
@click.pass_obj
def poll_command(session: Session, ids: Sequence[str], account: str | None) -> None:
    """Ask about these tasks now, as soon as the account's limits allow. Needs a running daemon."""
    with session.store() as store:
        keys = find_keys(store, ids, account)
        for touched in store.poll_now(keys, now=SystemClock().now()):
            _say(touched, "will be asked about now")


def find_keys(store: SqliteStore, ids: Sequence[str], account: str | None) -> list[WatchKey]:
    """The watches of these ids, all of them or UnknownError; UsageError when an id is watched at several accounts."""
    keys = []
    for task_id in ids:
        found = store.find(task_id.strip(), account)
        if not found:
            at = f" at account {account}" if account else ""
            raise UnknownError(f"no watch of {safe(task_id)}{at}: `genbridge list` shows what is watched")
        if len(found) > 1:
            accounts = ", ".join(watch.state.account for watch in found)
            raise UsageError(f"{safe(task_id)} is watched at several accounts ({accounts}): choose with --account")
        keys.append(found[0].state.key)
    return keys


def _shared(meta: Sequence[str], endpoints: Sequence[str], **words: str | None) -> dict[str, Any]:
    """What the options say of every task, as a task's own keys."""
    shared: dict[str, Any] = {key: word for key, word in words.items() if word is not None}
    if endpoints:
        shared["endpoints"] = list(endpoints)
    if meta:
        shared["meta"] = dict(_key_value(pair) for pair in meta)
    return shared


def _say(touched: Touched, done: str) -> None:
    what = done if touched.done else f"nothing to do, it is {touched.phase}"
    click.echo(f"{touched.key.account}/{safe(touched.key.task_id)}: {what}")


def _wish(reader: TaskReader, value: Any, shared: dict[str, Any], line: int | None) -> Wish:
    where = f"stdin:{line}: " if line is not None else ""
    try:
        if not shared:
            return reader.read(value)
        task = dict(value) if isinstance(value, dict) else {"id": value}
        return reader.read({**shared, **task})
    except TaskProblem as problem:
        raise UsageError(f"{where}{problem}") from None


def _stdin_tasks() -> list[tuple[int | None, Any]]:
    data = sys.stdin.buffer.read()
    start = data.lstrip()[:1]
    suffix = ".txt" if start not in {b"{", b"[", b'"'} else ".json"
    entries = list(read_tasks(data, suffix))
    if suffix == ".json" and any(entry.problem for entry in entries):
        lines = list(read_tasks(data, ".jsonl"))  # several JSON values, one a line
        entries = entries if any(entry.problem for entry in lines) else lines
    for entry in entries:
        if entry.problem:
            raise UsageError(f"stdin:{entry.line}: {entry.problem}")
    if not entries:
        raise UsageError("stdin holds no task")
    return [(entry.line, entry.value) for entry in entries]


def _key_value(pair: str) -> tuple[str, str]:
    key, equals, value = pair.partition("=")
    if not equals or not key:
        raise UsageError(f'--meta: "{pair}" is not KEY=VALUE')
    return key, value
