"""JMESPath queries within a budget of steps, size and depth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import jmespath
import orjson
from jmespath.exceptions import EmptyExpressionError, IncompleteExpressionError, JMESPathError, LexerError, ParseError

from bridge.domain.quoting import quoted
from bridge.domain.task import Json
from bridge.expressions.answer_budget import ExpressionLimit, steps_left, use
from bridge.expressions.evaluation import Evaluation, OutOfSteps, signature_of

MOST_CHARS: Final = 4_000  # maximum length of a query
MOST_DEPTH: Final = 120  # maximum depth of nested expressions


class ExpressionError(Exception):
    """A function in the expression does not accept the value. The text says which and why."""


class Query:
    """A JMESPath expression, compiled once. `where` is its location in the settings. ValueError, with a message for
    people, if it is not JMESPath or can never give a value."""

    __slots__ = ("_parsed", "text", "where")

    def __init__(self, text: str, *, where: str = "") -> None:
        self.text = text
        self.where = where
        self._parsed = _parsed(text)

    def search(self, value: Json) -> Json:
        """The selected value; None if there is none. The result shares its parts with the value.

        ExpressionError if a function does not accept the value; ExpressionLimit if the work or the result exceeds the
        budget.
        """
        evaluation = Evaluation(steps_left())
        problem = None
        found: Json = None
        try:
            found = evaluation.result(self._parsed, value)
        except OutOfSteps as error:
            problem = str(error)
        except RecursionError:
            problem = "nests too deeply on this answer"
        except (JMESPathError, ValueError, TypeError, ArithmeticError, AttributeError) as error:
            raise ExpressionError(str(error).splitlines()[0] if str(error) else type(error).__name__) from None
        finally:
            use(self.text, self.where, evaluation.budget.taken)
        if problem is not None:
            raise ExpressionLimit(self.text, self.where, problem)
        return found


def _parsed(text: str) -> Any:
    if len(text) > MOST_CHARS:
        raise ValueError(f"a JMESPath expression has at most {MOST_CHARS} characters")
    shown = text if len(text) <= 200 else f"{text[:199]}…"
    try:
        parsed: Any = jmespath.compile(text).parsed
        problem = _problem(parsed)
    except RecursionError:
        problem = "it nests too deeply"
    except (JMESPathError, ValueError) as error:  # ValueError comes from a literal
        problem = _syntax_problem(error)
    if problem is not None:
        raise ValueError(f'"{shown}" is not a JMESPath expression: {problem}')
    return parsed


def _syntax_problem(error: Exception) -> str:
    """What is wrong with the text of an expression, where, and what to write instead if that is likely."""
    match error:
        case IncompleteExpressionError() | ParseError(token_type="EOF"):
            return "it is incomplete"
        case LexerError(lexer_value="=", lexer_position=place):
            return f"character {place + 1}: a single =; write == to compare"
        case LexerError(lexer_value="$", lexer_position=place):
            return f"character {place + 1}: this is JSONPath; leave out the $ and write data.status"
        case LexerError(lexer_value="-", lexer_position=place):
            return f'character {place + 1}: unexpected -; write a key with a hyphen in quotes: "task-id"'
        case LexerError(message=what, lexer_position=place):
            return f"character {place + 1}: {what[:1].lower()}{what[1:]}"
        case ParseError(token_type="NUMBER", token_value=number, lex_position=place):
            how = f"a number to compare with is `{number}`, an index is [{number}], and a key is in quotes"
            return f"character {place + 1}: unexpected {number}; {how}"
        case ParseError(token_value=token, lex_position=place):
            return f"character {place + 1}: unexpected {quoted(str(token))}"
        case EmptyExpressionError():
            return "it is empty"
        case _:
            return str(error).splitlines()[0]


def _problem(parsed: Any) -> str | None:
    """Why a parsed expression can never give a value."""
    for node, depth, parent in _nodes(parsed):
        if depth > MOST_DEPTH:
            return f"it nests more than {MOST_DEPTH} levels deep"
        problem = None
        if node["type"] == "function_expression":
            problem = _misuse(str(node["value"]), node["children"])
        elif node["type"] == "expref" and parent != "function_expression":
            problem = "& is only allowed before an argument of a function"
        elif node["type"] == "literal" and not _is_json(node["value"]):
            problem = (
                "a literal is not JSON that can be sent (a number beyond 64 bits, NaN, Infinity) or nests too deeply"
            )
        if problem is not None:
            return problem
    return None


def _nodes(parsed: Any) -> Iterator[tuple[Any, int, str]]:
    """Each node of a parsed expression, with its depth and its parent's type."""
    waiting = [(parsed, 1, "")]
    while waiting:
        node, depth, parent = waiting.pop()
        yield node, depth, parent
        waiting += [(child, depth + 1, node["type"]) for child in node["children"] if isinstance(child, dict)]


def _misuse(name: str, given: list[Any]) -> str | None:
    """Why a call of this function can never give a value."""
    takes = signature_of(name)
    if takes is None:
        return f"there is no function {name}()"
    is_variadic = bool(takes and takes[-1].get("variadic"))
    if len(given) != len(takes) and not (is_variadic and len(given) > len(takes)):
        return f"{name}() takes {len(takes)} argument{'s' * (len(takes) != 1)}, not {len(given)}"
    for place, child in enumerate(given):
        wants = takes[min(place, len(takes) - 1)]["types"]
        if (child["type"] == "expref") != ("expref" in wants):
            what = "an expression with & before it" if "expref" in wants else "a value, not an expression with &"
            return f"{name}() takes {what} as argument {place + 1}"
    return None


def _is_json(value: Json) -> bool:
    try:
        return bool(orjson.loads(orjson.dumps(value)) == value)
    except (TypeError, ValueError, RecursionError):
        return False
