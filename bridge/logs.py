"""structlog set-up: one event a line, dotted names, no control characters, no secrets.

debug = each poll; info = each transition, delivery, start and stop; warning = will be tried again; error = a person
should look. Every event name stands in `EVENTS`; `docs/operations.md` says what each means.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Final, TextIO

import structlog

from bridge.domain.text import printable

EVENTS: Final = frozenset(
    {
        "account.blocked",
        "account.paused",
        "account.recovered",
        "account.restored",
        "account.troubled",
        "change.bug",
        "clock.differs",
        "daemon.drained",
        "daemon.ready",
        "daemon.stopped",
        "daemon.stopping",
        "delivery.accepted",
        "delivery.bug",
        "delivery.dead",
        "delivery.deferred",
        "durations.bug",
        "durations.ignored",
        "endpoint.disabled",
        "lease.lost",
        "lines.refused",
        "lines.restarted",
        "lines.rotated",
        "member.joined",
        "note.bug",
        "once.timed_out",
        "once.unfinished",
        "poll.answered",
        "poll.bug",
        "queue.left_alone",
        "queue.rejected",
        "queue.stuck",
        "queue.taken",
        "service.unheard",
        "settings.invalid",
        "settings.reloaded",
        "settings.warning",
        "shares.gained",
        "shares.released",
        "source.bug",
        "source.failed",
        "source.recovered",
        "store.failed",
        "store.recovered",
        "template.failed",
        "watch.added",
        "watch.ended",
        "watch.running",
        "watch.withdrawn",
        "watchlist.invalid",
        "watchlist.read",
    }
)

_told = logging.DEBUG  # the least level that is heeded
_secrets: list[str] = []  # longest first: one may begin with another


def get_logger() -> structlog.typing.FilteringBoundLogger:
    """The logger every module uses; set up once by `set_up`, silent below its level."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger


def is_debugging() -> bool:
    """Whether anybody hears debug events: what happens thousands of times a second asks before it tells."""
    return _told <= logging.DEBUG


def hide(secrets: Iterable[str]) -> None:
    """Replace these strings wherever a log line would hold them. Shorter than 4 characters they hide nothing."""
    known = {*_secrets, *(secret for secret in secrets if len(secret) >= 4)}
    _secrets[:] = sorted(known, key=len, reverse=True)


def hidden(text: str) -> str:
    """`text` with every known secret replaced."""
    for secret in _secrets:
        text = text.replace(secret, "***")
    return text


def set_up(*, level: str, form: str, stream: TextIO | None = None, colors: bool = True) -> None:
    """Log to `stream` (stderr) at `level` and above; `form` is console, json, or auto (console on a terminal).
    `colors` says whether a terminal wants them."""
    global _told
    _told = logging.getLevelNamesMapping()[level.upper()]
    out = stream or sys.stderr
    console = form == "console" or (form == "auto" and out.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=colors and out.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,  # before the cleaning: an error's text may hold a secret
            _clean,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_told),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    # Libraries: httpx's INFO lines carry whole URLs, apprise's name its services with their tokens.
    logging.basicConfig(level=logging.WARNING, stream=out, force=True, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("apprise").propagate = False


def _clean(_: object, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    for key, value in event.items():
        # A traceback keeps its lines; every other value is one line.
        event[key] = hidden(value) if key == "exception" else _cleaned(value)
    return event


def _cleaned(value: object) -> object:
    match value:
        case str():
            return printable(hidden(value))
        case list() | tuple():
            return [_cleaned(each) for each in value]
        case _:
            return value
