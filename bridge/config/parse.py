"""From YAML nodes to `Settings`: all mistakes at once, each with its place, in words of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from bridge.config import shape, values
from bridge.config.kinds import PROVIDERS
from bridge.config.model import Settings
from bridge.config.secret import Surroundings
from bridge.config.yaml import Node, Pairs, Place, Scalar, as_free, as_text, walk
from bridge.domain.event import Topic
from bridge.domain.text import quoted
from bridge.errors import ConfigError

LATER_KEYS: Final[Mapping[shape.Spot, frozenset[str]]] = {
    (): frozenset({"http", "archive", "batch"}),
    ("accounts", shape.ANY): frozenset({"batch"}),
    ("polling",): frozenset({"batch"}),
}

Steps = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake; sorts by its place."""

    place: Place
    path: str
    message: str

    def line(self, name: str) -> str:
        where = f"{name}:{self.place[0]}:{self.place[1]}"
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


def parse(node: Node, *, name: str, found: Sequence[Problem] = (), around: Surroundings | None = None) -> Settings:
    """The settings that `node` spells. Without `around` references stay references; with it they are replaced.

    ConfigError holds a line `name:line:column: key: what is wrong` for each mistake, sorted by place; those `found`
    before are among them.
    """
    if not isinstance(node, Pairs):
        empty = isinstance(node, Scalar) and node.is_null
        what = (
            "the settings are empty; name at least one account" if empty else "the settings must be a mapping of keys"
        )
        raise ConfigError([Problem((node.line, node.column), "", what).line(name)])
    tree = _pruned(as_text(node), ())
    if isinstance(tree.get("providers"), dict):
        tree["providers"] = as_free(node.values["providers"])  # descriptions keep their numbers
    problems = {*found, *_unknown_names(tree, node), *_account_mistakes(tree, node)}
    try:
        settings = Settings.model_validate(tree, context=around, by_alias=True, by_name=False)
    except ValidationError as error:
        problems.update(_translated(error, node))
    if problems:
        # Raised here and not above, so that the validator's error, which knows what was read, is not chained to it.
        raise ConfigError([problem.line(name) for problem in sorted(problems)])
    return settings


def _pruned(value: Any, path: Steps) -> Any:
    """`value` without keys that have none: a section whose lines are all commented out means its defaults."""
    if isinstance(value, dict):
        known = shape.keys_at(path)
        return {key: _pruned(item, (*path, key)) for key, item in value.items() if item is not None or key not in known}
    if isinstance(value, list):
        return [_pruned(item, (*path, place)) for place, item in enumerate(value)]
    return value


def _unknown_names(tree: Mapping[str, Any], node: Node) -> Iterator[Problem]:
    """Routes that name accounts or endpoints which are not there."""
    routes = tree.get("routes")
    for number, route in enumerate(routes if isinstance(routes, list) else ()):
        for what in ("accounts", "endpoints"):
            known = tree.get(what)
            named = route.get(what) if isinstance(route, dict) else None
            for place, given in enumerate(named if isinstance(named, list) else ()):
                if isinstance(given, str) and given not in (known if isinstance(known, dict) else {}):
                    steps: Steps = ("routes", number, what, place)
                    message = values.unknown(what.removesuffix("s"), given, known if isinstance(known, dict) else ())
                    yield Problem(_value_place(node, steps), _written(steps), message)


def _account_mistakes(tree: Mapping[str, Any], node: Node) -> Iterator[Problem]:
    """Accounts of a provider that is not there, or without exactly one kind of key."""
    own, accounts = tree.get("providers"), tree.get("accounts")
    known = (*PROVIDERS, *(own if isinstance(own, dict) else ()))
    for name, account in accounts.items() if isinstance(accounts, dict) else ():
        if not isinstance(account, dict):
            continue
        provider = account.get("provider")
        if isinstance(provider, str) and provider not in known:
            steps: Steps = ("accounts", name, "provider")
            yield Problem(_value_place(node, steps), _written(steps), values.unknown("provider", provider, known))
        key, message = _key_mistake(account)
        if message:
            steps = ("accounts", name, key)
            place = _key_place(node, steps if key in account else steps[:-1])
            yield Problem(place, _written(steps), message)


def _key_mistake(account: Mapping[str, Any]) -> tuple[str, str]:
    """Of which key what is wrong; nothing when the account has an api_key, or an access key with its secret."""
    pair = [key for key in ("access_key", "secret_key") if key in account]
    if "api_key" in account:
        return (pair[0], "stands beside api_key; leave one of the two ways out") if pair else ("", "")
    if len(pair) == 1:
        return pair[0], "access_key and secret_key go together"
    return ("", "") if pair else ("api_key", "is missing")


def _translated(error: ValidationError, node: Node) -> Iterator[Problem]:
    details = error.errors(include_url=False, include_input=False)
    places = [detail["loc"] for detail in details]
    for detail in details:
        loc = detail["loc"]
        inner = any(len(other) > len(loc) and other[: len(loc)] == loc for other in places)
        if detail["type"] == "too_short" and inner:
            continue  # its items are wrong, hence not counted
        yield _problem(detail["type"], loc, detail.get("ctx", {}), node)


def _problem(kind: str, loc: Steps, context: Mapping[str, Any], node: Node) -> Problem:
    steps, type_ = _steps(loc, node)
    if steps and steps[-1] == "[key]":
        return Problem(_key_place(node, steps[:-1]), _written(steps[:-1]), str(context.get("error")))
    if kind == "extra_forbidden":
        return Problem(_key_place(node, steps), _written(steps), _unknown_key(steps, type_))
    if kind in {"union_tag_not_found", "union_tag_invalid"}:
        steps = (*steps, "type")
        if kind == "union_tag_invalid":
            message = values.unknown("type", str(context["tag"]), ("webhook", "apprise"))
            return Problem(_value_place(node, steps), _written(steps), message)
    found, left = walk(node, steps)
    if kind in {"missing", "union_tag_not_found"}:
        place = _key_place(node, steps[:-1]) if left else (found.line, found.column)
        return Problem(place, _written(steps), "is missing" if left else "is empty")
    reached = steps[: len(steps) - len(left)] if left and isinstance(left[0], int) else steps
    return Problem((found.line, found.column), _written(reached), _message(kind, context, found))


_WORDS: Final[Mapping[str, str]] = {
    "model_type": "must be a mapping of keys",
    "model_attributes_type": "must be a mapping of keys",
    "dict_type": "must be a mapping of keys",
    "tuple_type": "must be a list",
    "string_type": "must be one text",
    "enum": "must be one text",
    "too_short": "is empty; name at least one",
    "too_long": "holds more than {max_length}",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
}


def _message(kind: str, context: Mapping[str, Any], found: Node) -> str:
    if isinstance(found, Scalar) and found.is_null:
        return "is empty"
    if kind == "value_error":
        return str(context["error"])
    if kind == "enum" and isinstance(found, Scalar):
        return values.unknown("topic", found.text, [topic.value for topic in Topic])
    return _WORDS.get(kind, "is not valid").format(**context)


def _unknown_key(steps: Steps, type_: str | None) -> str:
    key, spot = str(steps[-1]), shape.spot_of(steps[:-1])
    if spot is not None and key in LATER_KEYS.get(spot, ()):
        return "is not in this version"
    return values.unknown("key", key, shape.keys_at(steps[:-1], type_=type_))


def _steps(loc: Steps, node: Node) -> tuple[Steps, str | None]:
    """A location of pydantic's as steps through the nodes, and the kind of endpoint it went through."""
    type_ = None
    if len(loc) > 2 and loc[0] == "endpoints" and loc[2] in {"webhook", "apprise"}:
        type_ = str(loc[2])
        loc = (*loc[:2], *loc[3:])
    last = loc[-1] if loc else None
    if isinstance(last, str) and walk(node, loc)[1]:
        loc = (*loc[:-1], last.removesuffix("_s"))  # a default's location is its field's name
    return loc, type_


def _value_place(node: Node, steps: Steps) -> Place:
    found, _ = walk(node, steps)
    return found.line, found.column


def _key_place(node: Node, steps: Steps) -> Place:
    """Where the key at `steps` is written; of a place in a list, where its value begins; of the whole, its start."""
    if not steps:
        return 1, 1
    above, left = walk(node, steps[:-1])
    key = above.keys.get(str(steps[-1])) if isinstance(above, Pairs) and not left else None
    return (key.line, key.column) if key is not None else _value_place(node, steps)


def _written(steps: Sequence[str | int]) -> str:
    """`endpoints.chat.urls[0]`."""
    return "".join(_step(step) for step in steps).removeprefix(".")


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    plain = step and all(char.isalnum() or char in "_-" for char in step)
    return f".{step}" if plain and len(step) <= 64 else f".{quoted(step)}"
