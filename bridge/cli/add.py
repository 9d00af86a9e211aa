"""`add`: tasks to watch, from the command line or stdin."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from bridge.cli.options import duration, json_option
from bridge.cli.output import print_json
from bridge.cli.session import CommandSession, clock_of, command
from bridge.control.watch_requests import NEEDS_DAEMON, added_json, added_line, wish, wishes
from bridge.domain.ids import WatchKey
from bridge.domain.plurals import and_more
from bridge.domain.quoting import printable, quoted
from bridge.domain.watch import Wish
from bridge.errors import UsageError
from bridge.sources.entry import Entry
from bridge.sources.task_reader import TaskReader
from bridge.wiring.task_reading import task_reader


@command("add")
@click.argument("ids", nargs=-1, required=True, metavar="ID...|-")
@click.option("--account", metavar="NAME", help="The account; optional if the settings have only one.")
@click.option(
    "--action",
    metavar="PATH",
    help="What the provider needs besides the id, e.g. videos/text2video; default: the account's action.",
)
@click.option("--label", metavar="TEXT", help="A name for people.")
@click.option("--meta", "meta", multiple=True, metavar="KEY=VALUE", help="Data for receivers; may be repeated.")
@click.option(
    "--endpoint",
    "endpoints",
    multiple=True,
    metavar="NAME",
    help="Notify this endpoint instead of those of the routes; may be repeated.",
)
@click.option("--again", is_flag=True, help="Watch a finished task again.")
@click.option("--wait", is_flag=True, help="Wait until the tasks have finished, as `genbridge wait` does.")
@click.option(
    "--timeout", type=duration, metavar="DURATION", help="With --wait: stop waiting after this time; exit 75."
)
@json_option
def add_command(
    session: CommandSession,
    /,
    ids: Sequence[str],
    again: bool,
    wait: bool,
    timeout: float | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Watch tasks: ids, query URLs, or - to read stdin.

    Stdin may hold one id per line, JSON (one task or a list), JSON lines, YAML as in a watchlist, CSV, or the JSON
    answer of a create call: `curl ... | genbridge add -`. An id that begins with - must follow --: `add -- -x7`.

    Exit 0 means that the tasks are on disk and their results will be delivered, even if no daemon is running now. If
    one task is invalid, none is added.

    With --wait, output and exit code are those of `genbridge wait`; with --wait --json, the output is that of
    `genbridge list --json`.
    """
    if timeout is not None and not wait:
        raise UsageError("--timeout needs --wait")
    reader = task_reader(session.file)
    shared = _shared(**options)
    if "-" in ids and len(ids) > 1:
        raise UsageError("`-` reads every task from stdin: give no other ids")
    if ids[0] == "-":
        wanted = wishes(reader, _stdin_entries(), shared)
    else:
        wanted = _argument_wishes(reader, ids, shared)
    with session.writing(create=True) as store:
        added = store.add(wanted, source="cli", now=clock_of(store).now(), again=again)
    if as_json and not wait:
        print_json(added_json(added))
    elif not as_json:
        for one in added:
            click.echo(added_line(one), err=wait)
    for one in added:
        prefix = f"{one.key.account}/"
        if one.what == "added" and one.key.task_id.startswith(prefix):
            said = f"note: the id {printable(one.key.task_id)} includes {prefix}; `add` takes ids without the account"
            click.echo(said, err=True)
    if any(one.what in NEEDS_DAEMON for one in added):
        session.hint_at_daemon()
    return _waited(session, [one.key for one in added], timeout, as_json=as_json) if wait else 0


def _argument_wishes(reader: TaskReader, ids: Sequence[str], shared: Mapping[str, Any]) -> list[Wish]:
    """UsageError names the first id that cannot be watched, and the number of other mistakes."""
    good, mistakes = [], dict[str, None]()
    for one in ids:
        try:
            good.append(wish(reader, _not_a_file(one), shared))
        except UsageError as mistake:
            mistakes[str(mistake)] = None
    if mistakes:
        raise UsageError(f"{next(iter(mistakes))}{and_more(len(mistakes) - 1)}")
    return good


def _waited(session: CommandSession, keys: Sequence[WatchKey], timeout_s: float | None, *, as_json: bool) -> int:
    """Wait for these tasks and print them; returns the exit code."""
    from bridge.cli.wait import wait_for  # imported here, because it imports much

    with session.asking() as at:
        known = at.store.news()
        views = {key: at.store.view(key) for key in keys}
        return wait_for(session, at, views, known, timeout_s, as_json=as_json)


def _stdin_entries() -> list[Entry]:
    """Every task on stdin, valid or not; UsageError if it is empty or too long."""
    from bridge.sources.task_files import MAX_FILE_BYTES, read_any  # here, because plain ids do not need the syntaxes

    if sys.stdin is None:
        raise UsageError("stdin is closed")
    if sys.stdin.isatty():
        click.echo("reading tasks, one per line; end with Ctrl-D on an empty line", err=True)
    data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise UsageError(f"stdin has more than {MAX_FILE_BYTES >> 20} MiB; add it in several parts")
    entries = list(read_any(data))
    if not entries:
        raise UsageError("stdin has no task")
    return entries


def _not_a_file(text: str) -> str:
    """The argument; UsageError when it names an existing file."""
    if ("/" in text or "." in text) and os.path.isfile(text):  # noqa: PTH113 - the other raises on a long name
        raise UsageError(f"{quoted(text)} is a file name: use `genbridge add - < {printable(text)}`")
    return text


def _shared(meta: Sequence[str], endpoints: Sequence[str], **words: str | None) -> dict[str, Any]:
    """The options that apply to every task, as keys of a task."""
    shared: dict[str, Any] = {key: word for key, word in words.items() if word is not None}
    if endpoints:
        shared["endpoints"] = list(endpoints)
    for key, value in map(_key_value, meta):
        if key in shared.setdefault("meta", {}):
            raise UsageError(f"--meta: the key {quoted(key)} is there twice; give it once")
        shared["meta"][key] = value
    return shared


def _key_value(pair: str) -> tuple[str, str]:
    key, equals, value = pair.partition("=")
    if not equals or not key:
        raise UsageError(f'--meta: "{pair}" is not KEY=VALUE, such as order=4711')
    return key, value
