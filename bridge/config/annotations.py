"""Reads the annotations of pydantic models: the keys that a mapping may have, and the types of values inside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Tag
from pydantic.fields import FieldInfo

from bridge.config.problems import Steps

Types = Sequence[Any]  # the alternatives in an annotation


def keys_of(types: Types) -> list[str]:
    """The keys that a mapping of one of these types may have; empty if every key is allowed."""
    return list(dict.fromkeys(key for model in _models(types) for key in fields(model)))


def fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def types_inside(types: Types, step: str | int) -> list[Any]:
    """The types of the value at a key, or at a position of a list."""
    return [inner for type_ in map(_bare, types) for annotation in _inside(type_, step) for inner in _types(annotation)]


def follow(model: type[BaseModel], steps: Steps) -> tuple[Types, Steps]:
    """The types at a location from pydantic, and the location as people write it: with keys instead of field names, and
    without the tags of unions."""
    types: Types = [model]
    written: list[str | int] = []
    for step in steps:
        if tagged := [type_ for type_ in types if step in _tags(type_)]:
            types = tagged
            continue
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
    """The values that distinguish this alternative of a union from the others: a tag, or the only value that a field
    may have."""
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
