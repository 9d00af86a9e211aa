"""The log on a terminal: one short line for each event, in local time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, Final

from bridge.screen import BAD, GOOD, Screen, cut, folded

Fields = Mapping[str, Any]

WARN: Final = "!"
TIME: Final = "%H:%M:%S"
INDENT: Final = 12  # width of the time and the mark, with a space on each side of the mark
LOUD: Final = frozenset({"warning", "error", "critical"})  # levels whose lines are never cut
GOOD_EVENTS: Final = frozenset(
    {"delivery.accepted", "account.restored", "account.recovered", "endpoint.recovered", "store.recovered"}
)
# These values are part of the sentences.
SAID: Final = frozenset(
    {"task_id", "account", "endpoint", "attempts", "phase", "reason", "kind", "address"}
    | {"source", "problems", "names", "name", "kept_as", "file", "folder"}
)


def _task(event: Fields) -> str:
    account, task_id = event.get("account"), event.get("task_id") or event.get("topic", "")
    return f"{account}/{task_id}" if account else str(task_id)


def _because(event: Fields) -> str:
    return f": {event['reason']}" if event.get("reason") else ""


def _tries(event: Fields) -> str:
    return f" (attempt {event['attempts']})" if event.get("attempts", 1) > 1 else ""


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"


def _tasks(event: Fields) -> str:
    return f"{event['count']} tasks" if "count" in event else _task(event)


def _taken(event: Fields) -> str:
    files = event["first"] if event["files"] == 1 else f"{event['files']} files"
    return f"queue: {_count(event['tasks'], 'task')} taken from {files}"


def _rejected(event: Fields) -> str:
    taken, more = event["taken"], event["problems"] - 1
    moved = f"{_count(taken, 'task')} taken, the rest moved" if taken else "moved"
    rest = f"; {_count(more, 'more mistake')} in {event['kept_as']}.reason" if more else ""
    return f"queue: {event['name']}: {moved} to rejected/{event['kept_as']}{_because(event)}{rest}"


def _paused(event: Fields) -> str:
    return f"account {event['account']}" if "account" in event else f"endpoint {event['endpoint']}"


def _listed(event: Fields) -> str:
    """The problems of an event, each on its own line."""
    return "".join(f"\n{problem}" for problem in event["problems"])


SENTENCES: Final[Mapping[str, Callable[[Fields], str]]] = {
    "watch.added": lambda event: f"{_tasks(event)} added: {event.get('source', '')}",
    "watch.running": lambda event: f"{_task(event)} is running{_because(event)}",
    "watch.finished": lambda event: f"{_task(event)} {event['phase']}{_because(event)}",
    "delivery.accepted": lambda event: f"{_task(event)} accepted by {event['endpoint']}{_tries(event)}",
    "delivery.deferred": lambda event: (
        f"{_task(event)} not accepted by {event['endpoint']}{_because(event)} (attempt {event['attempts']})"
    ),
    "delivery.dead": lambda event: (
        f"{_task(event)} given up for {event['endpoint']} after {event['attempts']} attempts{_because(event)}"
    ),
    "watch.result_missing": lambda event: f"{_task(event)} succeeded without a result",
    "answer.unreadable": lambda event: f"account {event['account']} gave an unknown answer{_because(event)}",
    "pause.started": lambda event: (
        f"{_paused(event)} paused" + (f" for {event['seconds']:.0f} s" if "seconds" in event else "")
    ),
    "pause.ended": lambda event: f"{_paused(event)} resumed",
    "once.timed_out": lambda event: f"timed out after {event['seconds']:g} s",
    "once.unfinished": lambda event: (
        f"unfinished: {_count(event['watches'], 'live task')}; deliveries waiting: {event['deliveries']}"
    ),
    "discover.failed": lambda event: f"account {event['account']}: the list of tasks cannot be read{_because(event)}",
    "discover.recovered": lambda event: f"account {event['account']}: the list of tasks can be read again",
    "daemon.ready": lambda event: "ready",
    "daemon.stopping": lambda event: "stopping: waiting for work in flight",
    "daemon.stopped": lambda event: "stopped",
    "http.listening": lambda event: f"listening on {event['address']}",
    "poll.answered": lambda event: f"{_task(event)} polled: {event['kind']}",
    "watch.withdrawn": lambda event: f"{_tasks(event)} withdrawn: no longer in the {event['source']}",
    "watchlist.read": lambda event: f"watchlist read: {_count(event['tasks'], 'task')}",
    "watchlist.invalid": lambda event: (
        f"watchlist: {_count(event['bad'], 'mistake')}, so no task is withdrawn{_listed(event)}"
    ),
    "watchlist.refused": lambda event: f"watchlist: invalid ids are ignored{_listed(event)}",
    "lines.refused": lambda event: f"lines: {_count(event['lines'], 'invalid line')} skipped{_listed(event)}",
    "lines.restarted": lambda event: f"lines: {event['file']} is read from its beginning{_because(event)}",
    "lines.rotated": lambda event: f"lines: {event['file']} was renamed; a new file is read",
    "queue.created": lambda event: f"queue: created the folder {event['folder']}",
    "queue.taken": _taken,
    "queue.rejected": _rejected,
    "queue.left_alone": lambda event: f"queue: ignored because of their names: {', '.join(event['names'])}",
    "queue.waiting": lambda event: (
        f"queue: {event['name']} is still open in a program; it is taken when that closes it"
    ),
    "queue.stuck": lambda event: f"queue: {event['name']} could not be opened, moved or removed{_because(event)}",
    "source.failed": lambda event: f"{event['source']} cannot be read{_because(event)}",
    "source.recovered": lambda event: f"{event['source']} can be read again",
    "settings.warning": lambda event: str(event["reason"]),
    "settings.invalid": lambda event: f"invalid settings, {event['in_force']} stay in force{_because(event)}",
    "settings.reloaded": lambda event: "settings read again",
    "account.blocked": lambda event: f"account {event['account']} blocked by the provider{_because(event)}",
    "account.paused": lambda event: f"account {event['account']} must wait {event['seconds']:.0f} s{_because(event)}",
    "account.restored": lambda event: f"account {event['account']} works again",
    "account.recovered": lambda event: f"account {event['account']} is polled at the normal rate again",
    "account.troubled": lambda event: (
        f"account {event['account']}: polls fail, so one is sent at a time{_because(event)}"
    ),
    "endpoint.disabled": lambda event: (
        f"endpoint {event['endpoint']} disabled{_because(event)}; use `genbridge enable`"
    ),
    "endpoint.failing": lambda event: f"endpoint {event['endpoint']} has accepted nothing for a while{_because(event)}",
    "endpoint.recovered": lambda event: f"endpoint {event['endpoint']} accepts deliveries again",
    "store.failed": lambda event: str(event["reason"]),
    "store.recovered": lambda event: "the store can be read and written again",
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
            sentence = SENTENCES[name](event)
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
