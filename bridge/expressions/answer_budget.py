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


class AnswerBudget:
    """The steps left for one answer, and how many each expression has used."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.found: dict[tuple[Callable[[str], Any], str], Any] = {}  # see `once`
        self._used: dict[tuple[str, str], int] = {}

    def use(self, expression: str, where: str, steps: int) -> None:
        """Charge an expression. If there are not enough steps left, ExpressionLimit names the most expensive
        expression."""
        self.left -= steps
        key = (expression, where)
        self._used[key] = self._used.get(key, 0) + steps
        if self.left < 0:
            costliest = max(self._used, key=lambda each: self._used[each])
            raise ExpressionLimit(*costliest, "needs too many steps for this answer")


_open: ContextVar[AnswerBudget | None] = ContextVar("answer budget", default=None)


class answer_budget:
    """A context in which all expressions share one budget. Nested contexts share the outer one.

    A class, because a generator costs three times as much, and each poll uses it twice.
    """

    __slots__ = ("_token",)

    def __enter__(self) -> None:
        self._token = None if _open.get() is not None else _open.set(AnswerBudget(ANSWER_STEPS))

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _open.reset(self._token)


def steps_left() -> int:
    """How many steps the next expression may take."""
    now = _open.get()
    return SEARCH_STEPS if now is None else max(0, min(SEARCH_STEPS, now.left))


def once(read: Callable[[str], Any], text: str) -> Any:
    """The result of `read(text)`. Within one answer, it reads each text only once."""
    now = _open.get()
    if now is None:
        return read(text)
    if (read, text) not in now.found:
        now.found[read, text] = read(text)
    return now.found[read, text]


def use(expression: str, where: str, steps: int) -> None:
    """Charge the current budget, if there is one."""
    now = _open.get()
    if now is not None:
        now.use(expression, where, steps)
