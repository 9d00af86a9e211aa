"""The limit of work for all expressions on one answer."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

SEARCH_STEPS: Final = 50_000  # for one expression on one value: about 25 ms
ANSWER_STEPS: Final = 100_000  # for all expressions together on one answer: about 50 ms


class ExpressionLimit(Exception):
    """An expression exceeds its budget. The text names the expression and the budget."""

    def __init__(self, expression: str, where: str, problem: str) -> None:
        shown = expression if len(expression) <= 80 else f"{expression[:79]}…"
        super().__init__(f'{where}: "{shown}" {problem}' if where else f'"{shown}" {problem}')


class answer_budget:
    """A context in which all expressions share one budget. Nested contexts share the outer one.

    A class, because a generator costs three times as much. Its dictionaries are created when they are needed, because
    each poll enters it.
    """

    __slots__ = ("_token", "_used", "found", "left")

    def __enter__(self) -> None:
        if _open.get() is not None:
            self._token = None
            return
        self.left = ANSWER_STEPS  # the steps left for the answer
        self.found: dict[tuple[Callable[[str], Any], str], Any] | None = None  # see `once`
        self._used: dict[tuple[str, str], int] | None = None  # how many steps each expression has used
        self._token = _open.set(self)

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _open.reset(self._token)

    def use(self, expression: str, where: str, steps: int) -> None:
        """Charge an expression. If there are not enough steps left, ExpressionLimit names the most expensive
        expression."""
        self.left -= steps
        used = self._used = self._used or {}
        key = (expression, where)
        used[key] = used.get(key, 0) + steps
        if self.left < 0:
            costliest = max(used, key=lambda each: used[each])
            raise ExpressionLimit(*costliest, "needs too many steps for this answer")


_open: Final[ContextVar[answer_budget | None]] = ContextVar("answer budget", default=None)


def steps_left() -> int:
    """How many steps the next expression may take."""
    now = _open.get()
    return SEARCH_STEPS if now is None else max(0, min(SEARCH_STEPS, now.left))


def once(read: Callable[[str], Any], text: str) -> Any:
    """The result of `read(text)`. Within one answer, it reads each text only once."""
    now = _open.get()
    if now is None:
        return read(text)
    found = now.found = now.found or {}
    if (read, text) not in found:
        found[read, text] = read(text)
    return found[read, text]


def use(expression: str, where: str, steps: int) -> None:
    """Charge the current budget, if there is one."""
    now = _open.get()
    if now is not None:
        now.use(expression, where, steps)
