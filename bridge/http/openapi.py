"""The OpenAPI 3.1 document, made from the routes and their models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from bridge import __version__
from bridge.http.access import Right
from bridge.http.api_route import JSON, ApiRoute, RawBody
from bridge.http.problem_details import ProblemDocument
from bridge.net.served_connection import PROBLEM_TYPE

REF: Final = "#/components/schemas/{model}"
_TASK: Final = {
    "anyOf": [
        {"type": ["string", "number"], "minLength": 1, "description": "a task id, or the URL of a query"},
        {
            "type": "object",
            "required": ["id"],
            "properties": {
                "id": {"type": ["string", "number"], "minLength": 1, "maxLength": 512},
                "account": {"type": ["string", "null"]},
                "action": {"type": ["string", "null"]},
                "label": {"type": ["string", "null"], "maxLength": 500},
                "meta": {
                    "type": ["object", "null"],
                    "additionalProperties": True,
                    "description": "passed on to receivers",
                },
                "endpoints": {"type": ["array", "null"], "items": {"type": "string"}},
                "give_up_after": {"type": ["string", "number", "null"], "examples": ["2h"]},
            },
        },
    ]
}
_TASKS: Final = {
    "description": "One task, a list of tasks, `tasks:` with a list, or the answer of a create call. The body may also "
    "be YAML, CSV or lines of text: its content decides, not its type.",
    "anyOf": [
        *_TASK["anyOf"],
        {"type": "array", "items": _TASK},
        {"type": "object", "additionalProperties": True},
    ],
    "examples": [{"id": "TASK_ID", "label": "cat"}, ["TASK_1", "TASK_2"]],
}
_EVERYWHERE: Final = (  # problems that any request may get
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.MISDIRECTED_REQUEST,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_DESCRIPTION: Final = (
    "Add tasks, follow them, and manage deliveries. Errors are problem documents (RFC 9457). Without `http.token` only "
    "this machine may connect; with it, send `Authorization: Bearer`. `http.read_token` allows GET. With "
    "`http.gateway`, `/gateway/ACCOUNT/PATH` forwards every request to the provider of an account. `/results/` serves "
    "copies to anyone who has a signed link. This document describes neither of them."
)


def openapi(routes: Sequence[ApiRoute]) -> dict[str, Any]:
    """The document about these routes."""
    models = [model for route in routes for model in _models(route)] + [ProblemDocument]
    _, definitions = models_json_schema([(one, "validation") for one in dict.fromkeys(models)], ref_template=REF)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "genbridge", "version": __version__, "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {name: _without_null_defaults(each) for name, each in definitions.get("$defs", {}).items()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _models(route: ApiRoute) -> Iterator[type[BaseModel]]:
    for model in (route.body, route.answer, *route.others.values()):
        if model is not None and model is not RawBody:
            yield model


def _operation(route: ApiRoute) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": route.summary, "responses": _responses(route)}
    operation["operationId"] = f"{route.method.lower()}{route.path.replace('/', '_').replace('{', '').replace('}', '')}"
    operation["security"] = [] if route.right is Right.OPEN else [{"token": []}, {}]
    headers = [{"name": name, "in": "header", "schema": {"type": "string"}} for name in route.headers]
    if parameters := [*_path_parameters(route), *_query_parameters(route), *headers]:
        operation["parameters"] = parameters
    if route.body is RawBody:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": _TASKS}, "text/plain": {}}}
    elif route.reads_body:
        operation["requestBody"] = {"content": {JSON: {}}}
    elif route.body is not None:
        operation["requestBody"] = {"required": True, "content": _content(route.body, JSON)}
    return operation


def _responses(route: ApiRoute) -> dict[str, Any]:
    found: dict[str, Any] = {}
    content = _content(route.answer, route.media_type) if route.answer else {route.media_type: {}}
    content |= {media_type: {} for media_type in route.more_media_types}
    found[str(route.status.value)] = {"description": route.status.phrase, "content": content}
    for status, model in route.others.items():
        found[str(status.value)] = {"description": status.phrase, "content": _content(model, JSON)}
    refused = {*_EVERYWHERE, *route.problems}
    if route.right is not Right.OPEN:
        refused.add(HTTPStatus.UNAUTHORIZED)
    refused.add(HTTPStatus.UNPROCESSABLE_ENTITY)
    if route.body is not None or route.reads_body:
        refused |= {HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.REQUEST_TIMEOUT}
    if route.body is not None:
        refused.add(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    for status in sorted(refused):
        content = _content(ProblemDocument, PROBLEM_TYPE.decode())
        found.setdefault(str(status.value), {"description": status.phrase, "content": content})
    return found


def _content(model: type[BaseModel], media_type: str) -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": REF.format(model=model.__name__)}}}


def _path_parameters(route: ApiRoute) -> Iterator[dict[str, Any]]:
    for step in route.path.split("/"):
        if step.startswith("{"):
            name = step.strip("{}").partition(":")[0]
            yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _query_parameters(route: ApiRoute) -> Iterator[dict[str, Any]]:
    if route.query is None:
        return
    schema = _without_null_defaults(route.query.model_json_schema(ref_template=REF))
    for name, field in schema.get("properties", {}).items():
        is_required = name in schema.get("required", ())
        described = {"description": field.pop("description")} if "description" in field else {}
        yield {"name": name, "in": "query", "required": is_required, "schema": field, **described}


def _without_null_defaults(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, changed: no default is null. Generators for TypeScript require every key with a default."""
    for key in schema.get("properties", {}).values():
        if key.get("default", "") is None:
            del key["default"]
    return schema
