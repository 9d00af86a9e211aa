"""Sets up structlog: one event per line, with a dotted name, without control characters and secrets.

Levels: debug for each poll; info for each transition, delivery, start and stop; warning for failures that will be
retried; error for problems that a person should look at. `docs/operations.md` lists every event.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from functools import partial
from typing import Any, TextIO

from bridge.console_log import ConsoleLines
from bridge.domain.quoting import printable
from bridge.lean_imports import absent
from bridge.log_stream import LogStream
from bridge.redaction import hidden
from bridge.screen import screen_of

with absent("rich"):  # structlog would draw errors with it, which nobody uses here
    import structlog
    from structlog.typing import Processor

_level = logging.DEBUG  # events below it are dropped
_is_for_people = False


def get_logger() -> structlog.typing.FilteringBoundLogger:
    """The logger that every module uses. `set_up` configures it."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger


def is_debugging() -> bool:
    """Whether debug events are logged. Check it before you build an event that occurs thousands of times a second."""
    return _level <= logging.DEBUG


def is_for_people() -> bool:
    """Whether the log goes to a terminal, in lines for people."""
    return _is_for_people


def set_up(*, level: str, syntax: str, stream: TextIO | None = None) -> None:
    """Log to `stream` (default: stderr) at `level` and above, in a `syntax`: console, json, or auto, which is console
    on a terminal and JSON elsewhere."""
    global _level, _is_for_people
    _level = logging.getLevelNamesMapping()[level.upper()]
    out = stream or sys.stderr
    is_console = syntax == "console" or (syntax == "auto" and out.isatty())
    _is_for_people = is_console and out.isatty()
    processors = _processors(ConsoleLines(partial(screen_of, out), is_whole=is_debugging()) if is_console else None)
    structlog.configure(
        processors=processors,
        wrapper_class=_never_raising(structlog.make_filtering_bound_logger(_level)),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    if (raw := _log_stream(out)) is not None:
        raw.describe = partial(_dropped_notice, processors)
    logging.basicConfig(level=logging.WARNING, handlers=[_Libraries()], force=True)
    # httpx logs whole URLs at INFO; apprise logs its services with their tokens.
    logging.getLogger("apprise").propagate = False


def _processors(console: ConsoleLines | None) -> list[Processor]:
    """The steps from an event to its line: for people, or JSON without `console`."""
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso" if console is None else None, utc=True),
        structlog.processors.format_exc_info,  # before _clean: the text of an error may contain a secret
        _clean,
        console or structlog.processors.JSONRenderer(ensure_ascii=False),
    ]


def _never_raising(kind: type[Any]) -> type[Any]:
    """A logger that never raises: if an event cannot be rendered, it logs `log.bug` instead."""

    class Safe(kind):  # type: ignore[misc]  # structlog makes the class
        def _proxy_to_logger(self, method: str, event: str | None = None, **values: Any) -> Any:
            try:
                return super()._proxy_to_logger(method, event, **values)
            except Exception as error:
                log = get_logger()
                log.error("log.bug", name=str(event), reason=type(error).__name__)
                return None

    return Safe


def catch_up() -> None:
    """If lines were dropped and writing works again, log how many."""
    if (raw := _log_stream(sys.stderr)) is not None:
        raw.catch_up()


def _log_stream(out: TextIO) -> LogStream | None:
    raw = getattr(out, "buffer", None)
    return raw if isinstance(raw, LogStream) else None


def _dropped_notice(processors: Sequence[Processor], count: int, reason: str) -> str:
    """The log line about dropped lines."""
    text = io.StringIO()
    every_level = structlog.make_filtering_bound_logger(logging.DEBUG)
    log = structlog.wrap_logger(structlog.WriteLogger(text), processors=processors, wrapper_class=every_level)
    log.warning("log.dropped", count=count, reason=reason)
    return text.getvalue()


class _Libraries(logging.Handler):
    """Logs the messages of libraries as events: in the same syntax, on one line, without secrets."""

    def emit(self, record: logging.LogRecord) -> None:
        log = get_logger()
        try:
            message = record.getMessage()
        except Exception:
            message = str(record.msg)  # its arguments do not match its text
        if record.levelno >= logging.ERROR:
            log.error("library.message", logger=record.name, message=message, exc_info=record.exc_info)
        else:
            log.warning("library.message", logger=record.name, message=message, exc_info=record.exc_info)


def _clean(_: object, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    for key, value in event.items():
        # A traceback may have several lines; every other value has one.
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


# For commands, which log without `set_up`, and whose stdout is data.
structlog.configure(
    processors=_processors(ConsoleLines(lambda: screen_of(sys.stderr), is_whole=False)),
    logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
)
