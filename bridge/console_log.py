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
SAID: Final = frozenset({"task_id", "account", "endpoint", "attempts", "phase", "reason", "kind", "address"})


def _task(event: Fields) -> str:
    account, task_id = event.get("account"), event.get("task_id") or event.get("topic", "")
    return f"{account}/{task_id}" if account else str(task_id)


def _because(event: Fields) -> str:
    return f": {event['reason']}" if event.get("reason") else ""


def _tries(event: Fields) -> str:
    return f" (attempt {event['attempts']})" if event.get("attempts", 1) > 1 else ""


def _added(event: Fields) -> str:
    what = f"{event['count']} tasks" if "count" in event else _task(event)
    return f"{what} added: {event.get('source', '')}"


SENTENCES: Final[Mapping[str, Callable[[Fields], str]]] = {
    "watch.added": _added,
    "watch.running": lambda event: f"{_task(event)} is running{_because(event)}",
    "watch.finished": lambda event: f"{_task(event)} {event['phase']}{_because(event)}",
    "delivery.accepted": lambda event: f"{_task(event)} accepted by {event['endpoint']}{_tries(event)}",
    "delivery.deferred": lambda event: (
        f"{_task(event)} not accepted by {event['endpoint']}{_because(event)} (attempt {event['attempts']})"
    ),
    "delivery.dead": lambda event: (
        f"{_task(event)} given up for {event['endpoint']} after {event['attempts']} attempts{_because(event)}"
    ),
    "daemon.ready": lambda event: "ready",
    "daemon.stopping": lambda event: "stopping: waiting for work in flight",
    "daemon.stopped": lambda event: "stopped",
    "http.listening": lambda event: f"listening on {event['address']}",
    "poll.answered": lambda event: f"{_task(event)} polled: {event['kind']}",
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
            return iter((text,))
        return iter((cut(text, room),)) if level not in LOUD and not self._is_whole else folded(text, room)

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
