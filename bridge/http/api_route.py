"""A route of the API as a value: its path, who may use it, and the models of its input and output.

Both the validation of requests and the OpenAPI document use it, so they agree.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any, Final, Literal, TypeVar

import anyio
import anyio.to_thread
import orjson
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bridge.config.mistakes import mistakes
from bridge.config.problems import written_key
from bridge.domain.quoting import printable
from bridge.http.access import Right, check_right
from bridge.http.problem_details import HttpProblem, answer_error, invalid
from bridge.http.services import Services
from bridge.net.http_server import read_body
from bridge.sources.json_syntax import unique_keys

MAX_BODY_BYTES: Final = 16 << 20
SMALL_BODY_BYTES: Final = 4096  # takes less than 50 ms to read, with any content; a thread reads a larger one
_ONE_AT_A_TIME: Final = anyio.CapacityLimiter(1)
JSON: Final = "application/json"
NOT_FOUND: Final = frozenset({HTTPStatus.NOT_FOUND})

Method = Literal["GET", "POST"]
M = TypeVar("M", bound=BaseModel)


class ApiModel(BaseModel):
    """A request or an answer. Requests with unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class RawBody(BaseModel):
    """A body that the route reads itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCall:
    """One request. `query` and `body` are the route's models, validated; `raw` is the unparsed body."""

    services: Services
    request: Request
    query: Any = None
    body: Any = None
    raw: bytes = b""


Handler = Callable[[ApiCall], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRoute:
    """One route. `handle` returns a value for JSON, or a whole `Response`; its docstring is the summary."""

    method: Method
    path: str
    handle: Handler
    right: Right = Right.READ
    query: type[ApiModel] | None = None
    ignores_query: bool = False  # parameters with any name are accepted
    headers: tuple[str, ...] = ()  # the request headers that `handle` reads
    body: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    status: HTTPStatus = HTTPStatus.OK
    media_type: str = JSON
    more_media_types: tuple[str, ...] = ()  # further types in which the answer may be sent
    reads_body: bool = False  # `handle` reads the body itself, after it has checked the rest of the request
    problems: frozenset[HTTPStatus] = field(default=frozenset())  # problems in addition to the ones of the other fields
    others: Mapping[HTTPStatus, type[BaseModel]] = field(default_factory=dict)  # further answers

    @property
    def summary(self) -> str:
        return " ".join((self.handle.__doc__ or "").split())

    async def respond(self, request: Request, services: Services) -> Response:
        """Check and answer one request."""
        try:
            check_right(request, self.right)
            body = await self._body(request)
            found = await self.handle(ApiCall(services=services, request=request, query=self._query(request), **body))
        except Exception as error:  # the outermost handler of a request
            return await answer_error(request, error)
        return found if isinstance(found, Response) else json_response(found, self.status)

    def _query(self, request: Request) -> BaseModel | None:
        if self.ignores_query:
            return None
        given: dict[str, str] = {}
        for key, value in request.query_params.multi_items():
            if key in given:
                raise invalid([(key, "is there twice; give it once")])
            given[key] = value
        if self.query is None:
            if given:
                raise invalid([(next(iter(given)), "this address takes no parameters; leave it out")])
            return None
        return validated(self.query, given)

    async def _body(self, request: Request) -> Mapping[str, Any]:
        if self.body is None:
            return {}
        encoding = request.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            detail = f"the body is encoded with {printable(encoding)}; send it as it is, without Content-Encoding"
            raise HttpProblem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, headers={"Accept-Encoding": "identity"})
        raw = await read_body(request, max_bytes=MAX_BODY_BYTES)
        if self.body is RawBody:
            return {"raw": raw}
        read = partial(_read, self.body, raw or b"{}")
        if len(raw) > SMALL_BODY_BYTES:
            return {"raw": raw, "body": await anyio.to_thread.run_sync(read, limiter=_ONE_AT_A_TIME)}
        return {"raw": raw, "body": read()}


def _read(model: type[M], raw: bytes) -> M:
    try:
        tree = strict_json(raw)
    except ValueError as error:
        raise HttpProblem(HTTPStatus.BAD_REQUEST, f"the body cannot be read as JSON: {error}") from None
    if not isinstance(tree, dict):
        raise invalid([("", "the body must be a JSON object, as in {}")])
    return validated(model, tree)


def strict_json(text: bytes | str) -> Any:
    """The value of a JSON text. ValueError says why it cannot be read; a key that is there twice is a reason, too."""
    try:
        value = orjson.loads(text)
        json.loads(text, object_pairs_hook=unique_keys)  # orjson takes the last of equal keys
    except (ValueError, RecursionError) as error:
        is_deep = isinstance(error, RecursionError) or "depth limit" in str(error)  # of json, of orjson
        raise ValueError("it is nested too deeply" if is_deep else str(error)) from None
    return value


def route(method: Method, path: str, **options: Any) -> Callable[[Handler], ApiRoute]:
    """Makes an `ApiRoute` with these options of the function below."""
    return lambda handle: ApiRoute(method=method, path=path, handle=handle, **options)


def post(path: str, body: type[BaseModel], answer: type[BaseModel]) -> Callable[[Handler], ApiRoute]:
    """Makes a route that does something to a task or an endpoint, which must exist."""
    return route("POST", path, right=Right.FULL, body=body, answer=answer, problems=NOT_FOUND)


def served(routes: Sequence[ApiRoute], services: Services) -> list[Route]:
    """The routes for starlette: one for each path, so that the answer to a wrong method lists all valid methods."""
    by_path: dict[str, dict[str, ApiRoute]] = {}
    for one in routes:
        by_path.setdefault(one.path, {})[one.method] = one

    def at(path: str, methods: Mapping[str, ApiRoute]) -> Route:
        async def endpoint(request: Request) -> Response:
            method = "GET" if request.method == "HEAD" else request.method
            return await methods[method].respond(request, services)

        return Route(path, endpoint, methods=list(methods))

    return [at(path, methods) for path, methods in by_path.items()]


def validated(model: type[M], tree: Mapping[str, Any], *, depth: int | None = None) -> M:
    """The validated model of the input. HttpProblem 422 lists every mistake, with at most `depth` parts of its key."""
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        found = [(written_key(one.path[:depth]), one.message) for one in mistakes(error, model, tree)]
        raise invalid(found) from None


def json_response(value: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(orjson.dumps(value), status, media_type=JSON)
