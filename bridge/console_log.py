"""The log on a terminal: one short line for each event, in local time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, Final

from bridge.domain.plurals import count
from bridge.screen import BAD, GOOD, Screen, cut, folded

Fields = Mapping[str, Any]

WARN: Final = "!"
TIME: Final = "%H:%M:%S"
INDENT: Final = 12  # width of the time and the mark, with a space on each side of the mark
LOUD: Final = frozenset({"warning", "error", "critical"})  # levels whose lines are never cut
GOOD_EVENTS: Final = frozenset(
    {
        "delivery.accepted",
        "account.answering",
        "account.restored",
        "account.recovered",
        "endpoint.recovered",
        "store.recovered",
    }
)
# These values are part of the sentences.
SAID: Final = frozenset(
    {"task_id", "account", "endpoint", "attempts", "phase", "reason", "kind", "address"}
    | {"source", "problems", "names", "name", "kept_as", "file", "folder"}
)


class _Said(dict[str, Any]):
    """The values of an event, and texts that are made of them."""

    def __missing__(self, name: str) -> str:
        return TEXTS[name](self)


TEXTS: Final[Mapping[str, Callable[[_Said], str]]] = {
    "task": lambda said: (
        f"{said['account']}/{said['task_id']}" if said.get("account") else str(said.get("task_id") or said["topic"])
    ),
    "tasks_named": lambda said: f"{said['count']} tasks" if "count" in said else said["task"],
    "subject": lambda said: f"account {said['account']}" if "account" in said else f"endpoint {said['endpoint']}",
    "because": lambda said: f": {said['reason']}" if said.get("reason") else "",
    "again": lambda said: f" (attempt {said['attempts']})" if said.get("attempts", 1) > 1 else "",
    "for_seconds": lambda said: f" for {said['seconds']:.0f} s" if "seconds" in said else "",
    "each_problem": lambda said: "".join(f"\n{problem}" for problem in said["problems"]),  # on its own line
    "all_names": lambda said: ", ".join(said["names"]),
    "counted_live": lambda said: count(said["watches"], "live task"),
    "counted_tasks": lambda said: count(said["tasks"], "task"),
    "counted_mistakes": lambda said: count(said["bad"], "mistake"),
    "counted_lines": lambda said: count(said["lines"], "invalid line"),
    "from_files": lambda said: str(said["first"]) if said["files"] == 1 else count(said["files"], "file"),
    "moved": lambda said: f"{count(said['taken'], 'task')} taken, the rest moved" if said["taken"] else "moved",
    "more_mistakes": lambda said: (
        f"; {count(said['problems'] - 1, 'more mistake')} in {said['kept_as']}.reason" if said["problems"] > 1 else ""
    ),
}
SENTENCES: Final = {
    "watch.added": "{tasks_named} added: {source}",
    "watch.running": "{task} is running{because}",
    "watch.finished": "{task} {phase}{because}",
    "delivery.accepted": "{task} accepted by {endpoint}{again}",
    "delivery.deferred": "{task} not accepted by {endpoint}{because} (attempt {attempts})",
    "delivery.dead": "{task} given up for {endpoint} after {attempts} attempts{because}",
    "watch.result_missing": "{task} succeeded without a result",
    "answer.unreadable": "account {account} gave an unknown answer{because}",
    "pause.started": "{subject} paused{for_seconds}",
    "pause.ended": "{subject} resumed",
    "once.timed_out": "timed out after {seconds:g} s",
    "once.unfinished": "unfinished: {counted_live}; deliveries waiting: {deliveries}",
    "discover.started": "account {account}: watching new tasks of the provider's list",
    "discover.failed": "account {account}: the list of tasks cannot be read{because}",
    "discover.recovered": "account {account}: the list of tasks can be read again",
    "daemon.ready": "ready",
    "daemon.stopping": "stopping: waiting for work in flight",
    "daemon.stopped": "stopped",
    "http.listening": "listening on {address}",
    "poll.answered": "{task} polled: {kind}",
    "watch.withdrawn": "{tasks_named} withdrawn: no longer in the {source}",
    "watchlist.read": "watchlist read: {counted_tasks}",
    "watchlist.invalid": "watchlist: {counted_mistakes}, so no task is withdrawn{each_problem}",
    "watchlist.refused": "watchlist: invalid ids are ignored{each_problem}",
    "lines.refused": "lines: {counted_lines} skipped{each_problem}",
    "lines.restarted": "lines: {file} is read from its beginning{because}",
    "lines.rotated": "lines: {file} was renamed; a new file is read",
    "queue.created": "queue: created the folder {folder}",
    "queue.taken": "queue: {counted_tasks} taken from {from_files}",
    "queue.rejected": "queue: {name}: {moved} to rejected/{kept_as}{because}{more_mistakes}",
    "queue.left_alone": "queue: ignored because of their names: {all_names}",
    "queue.waiting": "queue: {name} is still open in a program; it is taken when that closes it",
    "queue.stuck": "queue: {name} could not be opened, moved or removed{because}",
    "source.failed": "{source} cannot be read{because}",
    "source.recovered": "{source} can be read again",
    "settings.warning": "{reason}",
    "settings.invalid": "invalid settings, {in_force} stay in force{because}",
    "settings.reloaded": "settings read again",
    "account.blocked": "account {account} blocked by the provider{because}",
    "account.paused": "account {account} must wait {seconds:.0f} s{because}",
    "account.restored": "account {account} works again",
    "account.answering": "account {account}: the provider answers again",
    "account.failing": "account {account}: the last polls failed{because}",
    "account.recovered": "account {account} is polled at the normal rate again",
    "account.troubled": "account {account}: polls fail, so one is sent at a time{because}",
    "endpoint.disabled": "endpoint {endpoint} disabled{because}; use `genbridge enable`",
    "endpoint.failing": "endpoint {endpoint} keeps failing{because}",
    "endpoint.recovered": "endpoint {endpoint} accepts deliveries again",
    "store.failed": "{reason}",
    "store.recovered": "the store can be read and written again",
}


class ConsoleLines:
    """Renders log events for people, at the end of a structlog chain. `screen` is called for each line, because a
    terminal may change its size. With `is_whole`, nothing is left out or cut."""

    def __init__(self, screen: Callable[[], Screen], *, is_whole: bool) -> None:
        self._screen = screen
        self._is_whole = is_whole
        self._day = ""

    def __call__(self, _: object, __: str, event: MutableMapping[str, Any]) -> str:
        at = time.localtime(event.pop("timestamp"))
        level, exception = str(event.pop("level")), event.pop("exception", None)
        name = str(event.pop("event"))
        screen = self._screen()
        first, *more = self._fitted(self._text(name, event), level, screen)
        stamp = screen.painted(time.strftime(TIME, at), "dim")
        lines = [*self._new_day(time.strftime("%Y-%m-%d", at), screen)]
        lines += [f"{stamp}  {_mark(name, level, event, screen)}{first}", *(" " * INDENT + one for one in more)]
        return "\n".join([*lines, *([exception] if exception else [])])

    def _text(self, name: str, event: Fields) -> str:
        try:
            sentence = SENTENCES[name].format_map(_Said(event))
        except KeyError:  # there is no sentence, or the event lacks a value that the sentence needs
            return " ".join(filter(None, [f"{name}:", *_values(event)])).removesuffix(":")
        rest = [f"{key}={value}" for key, value in event.items() if key not in SAID] if self._is_whole else []
        return " ".join([sentence, *rest])

    def _fitted(self, text: str, level: str, screen: Screen) -> Iterator[str]:
        room = max(20, screen.width - INDENT)
        if not screen.is_terminal:
            yield text.replace("\n", "; ")
        elif level not in LOUD and not self._is_whole:
            yield cut(text, room)
        else:
            for line in text.split("\n"):
                yield from folded(line, room)

    def _new_day(self, day: str, screen: Screen) -> Iterator[str]:
        """A line with the date, if it has changed since the previous line."""
        before, self._day = self._day, day
        if before and before != day:
            yield screen.painted(day, "dim")


def _mark(name: str, level: str, event: Fields, screen: Screen) -> str:
    if level in LOUD:
        is_error = level != "warning"
        if screen.marks:
            return f"{screen.painted(BAD if is_error else WARN, 'bad' if is_error else 'warn')} "
        return f"{level}: "
    if name == "watch.finished":
        return screen.mark(GOOD if event.get("phase") == "succeeded" else BAD)
    return screen.mark(GOOD) if name in GOOD_EVENTS else "  " if screen.marks else ""


def _values(event: Fields) -> Iterator[str]:
    """The values of an event without a sentence: its subject, the reason, and the others with their names."""
    subjects = ("account", "endpoint", "task_id", "reason")
    yield ": ".join(str(event[key]) for key in subjects if event.get(key))
    yield from (f"{key}={value}" for key, value in event.items() if key not in subjects)
