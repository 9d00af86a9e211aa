"""`add`: tasks to watch, from the command line or stdin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import click

from bridge.cli.options import json_option
from bridge.cli.session import Session, command
from bridge.cli.stdin import stdin_entries
from bridge.cli.text import print_json
from bridge.clock import SystemClock
from bridge.config.load import Loaded
from bridge.domain.text import printable
from bridge.domain.watch import Wish
from bridge.errors import UsageError
from bridge.reader import task_created, task_reader
from bridge.sources.entry import Entry
from bridge.sources.tasks import TaskProblem, TaskReader

SAID: Final = {
    "added": "watching",
    "revived": "watching again",
    "again": "watching anew",
    "known": "already watched",
    "ended": "has ended ({phase}); `genbridge add --again` watches it anew",
}
NEEDS_DAEMON: Final = frozenset({"added", "revived", "again", "known"})


@command("add")
@click.argument("ids", nargs=-1, required=True, metavar="ID...|-")
@click.option("--account", metavar="NAME", help="Account of the settings; may be left out when there is one.")
@click.option("--action", metavar="PATH", help="Path of the task form, e.g. videos/text2video; else the account's.")
@click.option("--label", metavar="TEXT", help="A name for people.")
@click.option("--meta", "meta", multiple=True, metavar="KEY=VALUE", help="Handed on to receivers; may be repeated.")
@click.option(
    "--endpoint",
    "endpoints",
    multiple=True,
    metavar="NAME",
    help="Tell this endpoint instead of those of the routes; may be repeated.",
)
@click.option("--again", is_flag=True, help="Watch a task that has ended anew.")
@json_option
@click.pass_obj
def add_command(session: Session, /, ids: Sequence[str], again: bool, as_json: bool, **options: Any) -> None:
    """Watch tasks: ids, query URLs, or - to read stdin.

    On stdin: an id a line, JSON (one task or a list), JSON lines, YAML as in a watchlist, or the JSON answer of a
    create call: `curl ... | genbridge add -`. An id that begins with - goes behind --, as in `genbridge add -- -x7`.

    Exit 0 means the tasks are written down and their ends will be told, whether or not a daemon runs now. All or
    nothing: one bad task adds none.
    """
    loaded = session.loaded
    reader = task_reader(loaded)
    shared = _shared(**options)
    if "-" in ids and len(ids) > 1:
        raise UsageError("`-` reads every task from stdin: give it alone")
    entries = stdin_entries() if ids[0] == "-" else None
    if entries is not None:
        wishes = _wishes(reader, [_told(loaded, entry, shared) for entry in entries], shared)
    else:
        wishes = [_wish(reader, one, shared) for one in ids]
    now = SystemClock().now()
    with session.writing(create=True) as store:
        added = store.add(wishes, source="cli", now=now, again=again)
    if as_json:
        print_json([{"account": one.key.account, "id": one.key.task_id, "result": one.what} for one in added])
    else:
        for one in added:
            said = SAID[one.what].format(phase=one.phase)
            click.echo(f"{one.key.account}/{printable(one.key.task_id)}: {said}")
    for one in added:
        if one.what == "added" and one.key.task_id.startswith(prefix := f"{one.key.account}/"):
            click.echo(
                f"note: {prefix} is a part of the id {printable(one.key.task_id)}; `add` takes bare ids", err=True
            )
    if any(one.what in NEEDS_DAEMON for one in added):
        session.hint_at_daemon()


def _shared(meta: Sequence[str], endpoints: Sequence[str], **words: str | None) -> dict[str, Any]:
    """What the options say of every task, as a task's own keys."""
    shared: dict[str, Any] = {key: word for key, word in words.items() if word is not None}
    if endpoints:
        shared["endpoints"] = list(endpoints)
    if meta:
        shared["meta"] = dict(_key_value(pair) for pair in meta)
    return shared


def _told(loaded: Loaded, entry: Entry, shared: dict[str, Any]) -> Entry:
    """The entry, or, where it is the JSON answer of a create call, the task that this tells of."""
    try:
        task = task_created(loaded, entry.value, account=shared.get("account"))
    except TaskProblem as problem:
        return replace(entry, problem=str(problem))
    return entry if task is None else replace(entry, value=task)


def _wishes(reader: TaskReader, entries: Sequence[Entry], shared: dict[str, Any]) -> list[Wish]:
    """The wishes of all that was read; UsageError at the first that is none, which says how many more there are."""
    wishes, problems = [], []
    for entry in entries:
        try:
            if entry.problem is not None:
                raise UsageError(entry.problem)
            wishes.append(_wish(reader, entry.value, shared))
        except UsageError as error:
            problems.append(f"stdin:{entry.line}: {error}")
    if problems:
        more = f" (and {len(problems) - 1} more like it)" if len(problems) > 1 else ""
        raise UsageError(f"{problems[0]}{more}; nothing was added")
    return wishes


def _wish(reader: TaskReader, value: Any, shared: dict[str, Any]) -> Wish:
    """One task; what it says itself wins over the options."""
    own = value if isinstance(value, dict) else {"id": value}
    try:
        return reader.read({**shared, **{key: given for key, given in own.items() if given is not None or key == "id"}})
    except TaskProblem as problem:
        raise UsageError(str(problem)) from None


def _key_value(pair: str) -> tuple[str, str]:
    key, equals, value = pair.partition("=")
    if not equals or not key:
        raise UsageError(f'--meta: "{pair}" is not KEY=VALUE')
    return key, value
