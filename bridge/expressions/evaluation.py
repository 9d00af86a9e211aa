"""One evaluation of a JMESPath expression, with its work counted.

A step is one visit of one node of the expression, about half a microsecond. Work that grows with a value (comparing,
sorting, copying, writing) is charged before it starts. A result may contain the same part many times (`[@, @] | [@, @]
| ...`). It is small in memory but huge when written, so its size counts as written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import orjson
from jmespath.functions import Functions, signature
from jmespath.visitor import Options, TreeInterpreter

from bridge.expressions.json_size import SizeMeter
from bridge.expressions.json_text import parse_json

READ_A_STEP: Final = 128  # characters of text per step, when read as JSON
COPIED_A_STEP: Final = 64  # characters of text per step, when copied
COMPARED_A_STEP: Final = 512  # characters of text per step, when compared
WRITTEN_A_STEP: Final = 32  # characters of a value per step, when written or compared
PARTS_A_STEP: Final = 8  # items of lists and objects per step
RESULT_SIZE: Final = 1 << 20  # a result of this size is always allowed
RESULT_FACTOR: Final = 2  # a larger result may have this many times the size of its parts, each counted once
INTEGERS: Final = range(-(2**63), 2**64)  # the integers that orjson can write


class OutOfSteps(Exception):
    """The evaluation exceeds its budget. The text names the exceeded limit."""


class _Budget:
    """The steps of one evaluation. The evaluation and its functions share it and do not refer to each other: each poll
    would leave such a cycle to the garbage collector."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self.left = steps
        self._size_meter = SizeMeter()

    @property
    def taken(self) -> int:
        """The steps taken so far."""
        return self._steps - self.left

    def use(self, steps: int) -> None:
        """Charge this many steps. OutOfSteps if there are not enough left."""
        self.left -= steps
        if self.left < 0:
            self.left = 0
            raise OutOfSteps(f"needs more than {self._steps} steps on this answer")

    def measure(self, value: Any) -> tuple[int, int]:
        """See `SizeMeter.measure`."""
        return self._size_meter.measure(value, self.use)

    def cost(self, value: Any) -> int:
        """The steps for reading the whole value."""
        if isinstance(value, str):
            return len(value) // COMPARED_A_STEP
        return self.measure(value)[0] // WRITTEN_A_STEP if isinstance(value, list | dict) else 0


class Evaluation(TreeInterpreter):
    """The evaluation of one expression on one value, with a budget of steps."""

    def __init__(self, steps: int) -> None:
        self.budget = _Budget(steps)
        super().__init__(Options(custom_functions=_BoundedFunctions(self.budget)))
        self._has_built = False

    def result(self, parsed: Any, value: Any) -> Any:
        """The result of the expression. OutOfSteps if it exceeds the budget."""
        found = self.visit(parsed, value)
        if self._has_built and isinstance(found, list | dict):
            written, parts = self.budget.measure(found)
            if written > max(RESULT_SIZE, RESULT_FACTOR * parts):
                raise OutOfSteps("makes a result that contains the same parts too many times")
        return found

    def visit(self, node: Any, value: Any) -> Any:
        self.budget.use(1)
        return _VISITS[node["type"]](self, node, value)

    def visit_comparator(self, node: Any, value: Any) -> Any:
        left, right = (self.visit(child, value) for child in node["children"])
        self.budget.use(min(self.budget.cost(left), self.budget.cost(right)))
        is_equality = node["value"] in {"eq", "ne"}
        if not is_equality and not all(type(each) in {int, float, str} for each in (left, right)):
            return None
        return self.COMPARATOR_FUNC[node["value"]](left, right)

    def visit_flatten(self, node: Any, value: Any) -> Any:
        base = self.visit(node["children"][0], value)
        if not isinstance(base, list):
            return None
        self.budget.use(sum(len(each) if isinstance(each, list) else 1 for each in base) // PARTS_A_STEP)
        self._has_built = True
        flat: list[Any] = []
        for each in base:
            flat.extend(each) if isinstance(each, list) else flat.append(each)
        return flat

    def visit_slice(self, node: Any, value: Any) -> Any:
        if not isinstance(value, list):
            return None
        self.budget.use(len(value) // PARTS_A_STEP)
        self._has_built = True
        return value[slice(*node["children"])]


def _building(visit: Callable[..., Any]) -> Callable[..., Any]:
    """The visit function for a node that creates a list or an object."""

    def build(evaluation: Evaluation, node: Any, value: Any) -> Any:
        evaluation._has_built = True
        return visit(evaluation, node, value)

    return build


def _visits() -> dict[str, Callable[..., Any]]:
    """The visit function for each type of node. It is looked up only once, because visits are most of the work."""
    named = {name.removeprefix("visit_"): getattr(Evaluation, name) for name in dir(Evaluation) if name[:6] == "visit_"}
    makers = ("projection", "filter_projection", "value_projection", "multi_select_list", "multi_select_dict")
    return named | {name: _building(named[name]) for name in (*makers, "function_expression")}


class _BoundedFunctions(Functions):
    """JMESPath's functions. Each charges its work before it starts."""

    def __init__(self, budget: _Budget) -> None:
        self._budget = budget

    def call_function(self, function_name: str, resolved_args: Iterable[Any]) -> Any:
        given = list(resolved_args)
        parts = sum(len(each) for each in given if isinstance(each, list | dict))
        chars = sum(len(each) for each in given if isinstance(each, str))
        self._budget.use(parts // PARTS_A_STEP + chars // COPIED_A_STEP)
        if function_name in {"sort", "max", "min"} and isinstance(given[0], list):
            self._charge_comparing(given[0], len(given[0]).bit_length() if function_name == "sort" else 1)
        if function_name == "to_string":
            self._charge_deeply(given[0])
        return _fitting(super().call_function(function_name, given))

    @signature({"types": ["array", "string"]}, {"types": []})
    def _func_contains(self, subject: Any, search: Any) -> Any:
        if isinstance(subject, str):
            return isinstance(search, str) and search in subject
        if isinstance(search, str | list | dict):
            self._charge_deeply(subject)
        return search in subject

    @signature({"types": []})
    def _func_from_json(self, value: Any) -> Any:
        """The JSON value of a text; None if the text is not JSON. A value that is not a text is returned unchanged."""
        if not isinstance(value, str):
            return value
        self._budget.use(len(value) // READ_A_STEP)
        try:
            return parse_json(value)
        except orjson.JSONDecodeError:
            return None

    @signature({"types": ["string"]}, {"types": ["array-string"]})
    def _func_join(self, separator: str, array: list[str]) -> Any:
        self._budget.use((sum(map(len, array)) + len(separator) * len(array)) // COPIED_A_STEP)
        return separator.join(array)

    @signature({"types": ["array"]}, {"types": ["expref"]})
    def _func_sort_by(self, array: Any, expref: Any) -> Any:
        if not array:
            return array
        keys = self._keys(array, expref, "sort_by")
        self._charge_comparing(keys, len(keys).bit_length())
        return [array[at] for at in sorted(range(len(keys)), key=keys.__getitem__)]

    @signature({"types": ["array"]}, {"types": ["expref"]})
    def _func_max_by(self, array: Any, expref: Any) -> Any:
        return self._best(array, self._keys(array, expref, "max_by"), max)

    @signature({"types": ["array"]}, {"types": ["expref"]})
    def _func_min_by(self, array: Any, expref: Any) -> Any:
        return self._best(array, self._keys(array, expref, "min_by"), min)

    def _best(self, array: Any, keys: list[Any], choose: Callable[..., int]) -> Any:
        self._charge_comparing(keys)
        return array[choose(range(len(keys)), key=keys.__getitem__)] if keys else None

    def _keys(self, array: list[Any], expref: Any, function_name: str) -> list[Any]:
        """The result of the expression for each item: all texts or all numbers."""
        keys = [expref.visit(expref.expression, each) for each in array]
        texts = sum(1 for each in keys if isinstance(each, str))
        numbers = sum(1 for each in keys if isinstance(each, int | float) and not isinstance(each, bool))
        if len(keys) not in (texts, numbers):
            raise TypeError(f"{function_name}() needs all texts or all numbers")
        return keys

    def _charge_deeply(self, value: Any) -> None:
        self._budget.use(self._budget.cost(value))

    def _charge_comparing(self, values: list[Any], times: int = 1) -> None:
        chars = sum(len(each) for each in values if isinstance(each, str))
        self._budget.use((len(values) // PARTS_A_STEP + chars // COMPARED_A_STEP) * times)


def signature_of(name: str) -> Sequence[dict[str, Any]] | None:
    """The parameters of a function; None if no function has this name."""
    function = _BoundedFunctions.FUNCTION_TABLE.get(name)
    return None if function is None else function["signature"]


def _fitting(value: Any) -> Any:
    """The value; a number that JSON cannot represent is replaced by one that it can."""
    if isinstance(value, int) and value not in INTEGERS:
        value = float(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


_VISITS: Final = _visits()
