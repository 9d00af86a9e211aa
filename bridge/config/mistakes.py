"""Translates pydantic's errors into genbridge's words, with the keys and types in the models' annotations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic.fields import FieldInfo

from bridge.config.problems import NOT_A_MAPPING, NOT_A_TEXT, Problem, at_key, at_value
from bridge.config.yaml_nodes import KeyPath, Node
from bridge.domain.quoting import similar, unknown_name

Types = Sequence[Any]  # the alternatives in an annotation

MISSING: Final = {"missing", "union_tag_not_found"}
_UNTYPED: Final = {"union_tag_not_found", "union_tag_invalid"}

# Other names of robots.
_MEANT: Final = {
    "lark": "feishu",
    "wechat": "wecom",
    "weixin": "wecom",
    "dingding": "dingtalk",
}
_MESSAGES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type", "mapping_type"), NOT_A_MAPPING),
    "tuple_type": "must be a list",
    "string_type": NOT_A_TEXT,
    "too_short": "is empty; name at least one",
    "string_too_short": "is empty",
    "string_too_long": "has more than {max_length} characters",
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "is not a whole number"),
    "int_parsing_size": "is too large",
    **dict.fromkeys(("float_parsing", "float_type"), "is not a number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "must be true or false"),
    "list_type": "must be a list",
    "too_long": "has more than {max_length} items",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """What is wrong at `path`: with the value there, the key (`is_key`), or a missing key (`is_lack`)."""

    path: KeyPath
    message: str
    is_key: bool = False
    is_lack: bool = False
    is_unknown: bool = False  # a key that does not exist
    meant: str | None = None  # the key that an unknown one resembles

    def problem(self, node: Node) -> Problem:
        """The mistake with its location in a file."""
        if self.is_key or self.is_lack:
            return at_key(node, self.path, self.message, holder=self.is_lack)
        return at_value(node, self.path, self.message)


def mistakes(
    error: ValidationError, model: type[BaseModel], tree: Any, *, keys: Sequence[str] = ()
) -> Iterator[Mistake]:
    """Each mistake that pydantic found in a tree. `keys` are the model's keys if they differ from its fields."""
    details = error.errors(include_url=False, include_input=False)
    holders = {detail["loc"][:length] for detail in details for length in range(len(detail["loc"]))}
    found = []
    for detail in details:
        path = detail["loc"]
        if detail["type"] != "too_short" or path not in holders:  # if items are invalid, their number does not matter
            found.append(_mistake(detail, model, tree, keys))
        if detail["type"] in _UNTYPED:  # pydantic does not look at the other keys then
            types, written = _follow(model, path)
            strange = [key for key in reached(tree, written)[0] if key not in keys_of(types)]
            found += [_unknown_key((*written, key), keys_of(types)) for key in strange]
    # A key that is only misspelled is one mistake, not also a missing key; the value of a wrong key does not matter.
    misspelled = {(*each.path[:-1], each.meant) for each in found if each.meant}
    wrong = {each.path for each in found if each.is_key}
    yield from (one for one in found if one.is_key or one.path not in (misspelled if one.is_lack else wrong))


def _mistake(detail: Mapping[str, Any], model: type[BaseModel], tree: Any, keys: Sequence[str]) -> Mistake:
    kind, context, location = detail["type"], detail.get("ctx", {}), detail["loc"]
    if kind == "extra_forbidden":
        types, path = _follow(model, location[:-1])
        known = keys_of(types) if path or not keys else keys
        return _unknown_key((*path, location[-1]), known)
    _, path = _follow(model, location)
    if path[-1:] == ("[key]",):
        allowed = re.findall(r"'([^']+)'", str(context.get("expected", "")))
        message = unknown_name("key", str(path[-2]), allowed) if allowed else str(context.get("error"))
        return Mistake(path=_within(tree, path[:-1]), message=message, is_key=True)
    if kind in _UNTYPED:
        path = (*path, context["discriminator"].strip("'"))
    value, left = reached(tree, path)
    if kind in MISSING and left:
        return Mistake(path=path, message="is missing", is_lack=True)
    message = "is empty" if value is None else _message(detail, value, path)
    if message == NOT_A_MAPPING and (known := keys_of(_follow(model, location)[0])):
        message = f"{message}, such as {', '.join(known[:3])}"
    return Mistake(path=_within(tree, path), message=message)


def _unknown_key(path: KeyPath, known: Sequence[str]) -> Mistake:
    name = str(path[-1])
    message, meant = unknown_name("key", name, known), similar(name, known)
    return Mistake(path=path, message=message, is_key=True, is_unknown=True, meant=meant)


def _message(detail: Mapping[str, Any], value: object, path: KeyPath) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind in {"literal_error", "enum", "union_tag_invalid"}:
        what = str(path[-1]) if isinstance(path[-1], str) else str(path[-2]).removesuffix("s")
        allowed = list(filter(None, re.findall(r"'([^']*)'", context.get("expected") or context["expected_tags"])))
        if not isinstance(value, str):
            return NOT_A_TEXT
        meant = _MEANT.get(value.lower())
        return (
            f'unknown {what} "{value}"; did you mean "{meant}"?'
            if meant in allowed
            else unknown_name(what, value, allowed)
        )
    if kind in _MESSAGES:
        return _MESSAGES[kind].format(**context)
    message = str(detail["msg"]).replace("Input should ", "must ", 1)
    return message[0].lower() + message[1:]


def _within(tree: Any, path: KeyPath) -> KeyPath:
    """The part of `path` that was written: a single value may stand for a list of it, or for a mapping."""
    value, left = reached(tree, path)
    return path if isinstance(value, Mapping) else path[: len(path) - len(left)]


def reached(tree: Any, path: KeyPath) -> tuple[Any, KeyPath]:
    """The value at `path`, or the nearest one above it, and the rest of the path."""
    for depth, step in enumerate(path):
        if isinstance(tree, Mapping) and step in tree:
            tree = tree[step]
        elif isinstance(tree, list) and isinstance(step, int) and 0 <= step < len(tree):
            tree = tree[step]
        else:
            return tree, path[depth:]
    return tree, ()


def keys_of(types: Types) -> list[str]:
    """The keys that a mapping of one of these types may have; empty if every key is allowed."""
    return list(dict.fromkeys(key for model in _models(types) for key in fields(model)))


def fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def types_inside(types: Types, step: str | int) -> list[Any]:
    """The types of the value at a key, or at a position of a list."""
    return [inner for type_ in map(_bare, types) for annotation in _inside(type_, step) for inner in _types(annotation)]


def _follow(model: type[BaseModel], steps: KeyPath) -> tuple[Types, KeyPath]:
    """The types at a location from pydantic, and the location as people write it: without the tags of unions, and with
    the key of a field (pydantic names the field itself if its default is invalid)."""
    types: Types = [model]
    written: list[str | int] = []
    for step in steps:
        if tagged := [type_ for type_ in types if step in _tags(type_)]:
            types = tagged
        else:
            named = (each.model_fields.get(str(step)) for each in _models(types))
            written.append(next((field.alias for field in named if field is not None and field.alias), step))
            types = types_inside(types, written[-1])
    return types, tuple(written)


def _inside(type_: Any, step: str | int) -> Iterator[Any]:
    if _is_model(type_):
        field = fields(type_).get(str(step))
        if field is not None:
            yield field.annotation
    else:
        yield from [argument for argument in get_args(type_) if argument is not ...][-1:]


def _types(annotation: Any) -> Iterator[Any]:
    """The alternatives in an annotation. Each keeps its own metadata, which may contain its tag."""
    bare = _bare(annotation)
    if get_origin(bare) in {Union, UnionType}:
        for argument in get_args(bare):
            yield from _types(argument)
    else:
        yield annotation


def _tags(type_: Any) -> Iterator[object]:
    """What distinguishes this alternative of a union: its tag, or the only value that a field may have."""
    yield from (each.tag for each in getattr(type_, "__metadata__", ()) if isinstance(each, Tag))
    for model in _models([type_]):
        for field in model.model_fields.values():
            if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1:
                yield from get_args(field.annotation)


def _models(types: Types) -> list[type[BaseModel]]:
    return [type_ for type_ in map(_bare, types) if _is_model(type_)]


def _is_model(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, BaseModel)


def _bare(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation
