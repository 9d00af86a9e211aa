"""Which keys there are, and where: read off the models, for messages, for the schema and for the documentation."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from bridge.config.model import Model, Settings

ANY: Final = "*"  # a name chosen by the operator, or a place in a list

Spot = tuple[str, ...]


def keys() -> Iterator[tuple[Spot, FieldInfo]]:
    """Every key of the settings with its field, in the order of the models; `*` stands for names and list places."""
    for spot, models in _MODELS.items():
        for model in models:
            for field in model.model_fields.values():
                yield (*spot, _key(field)), field


def spot_of(path: Sequence[str | int]) -> Spot | None:
    """The spot in the models that a mapping at `path` belongs to; None where keys are free names."""
    for spot in _MODELS:
        if len(spot) == len(path) and all(part in (ANY, step) for part, step in zip(spot, path, strict=True)):
            return spot
    return None


def keys_at(path: Sequence[str | int], *, type_: str | None = None) -> list[str]:
    """The keys that a mapping at `path` may have; none where names are free. `type_` chooses the kind of endpoint."""
    spot = spot_of(path)
    models = [] if spot is None else _MODELS[spot]
    chosen = [model for model in models if model.__name__.lower() == type_] or models
    return list(dict.fromkeys(_key(field) for model in chosen for field in model.model_fields.values()))


def _key(field: FieldInfo) -> str:
    assert field.alias is not None
    return field.alias


def _collect(annotation: Any, spot: Spot, found: dict[Spot, list[type[Model]]]) -> None:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        _collect(arguments[0], spot, found)
    elif origin in {Union, types.UnionType}:
        for argument in arguments:
            _collect(argument, spot, found)
    elif origin in {dict, tuple}:
        _collect(arguments[1 if origin is dict else 0], (*spot, ANY), found)
    elif isinstance(annotation, type) and issubclass(annotation, Model):
        found.setdefault(spot, []).append(annotation)
        for field in annotation.model_fields.values():
            _collect(field.annotation, (*spot, _key(field)), found)


def _models() -> dict[Spot, list[type[Model]]]:
    found: dict[Spot, list[type[Model]]] = {}
    _collect(Settings, (), found)
    return found


_MODELS: Final = _models()
