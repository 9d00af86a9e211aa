"""Errors as problem documents (RFC 9457), with the same texts as on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

import orjson
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from bridge.domain.plurals import and_more
from bridge.errors import (
    ConfigError,
    GenbridgeError,
    OutdatedError,
    StoreError,
    Unavailable,
    UnknownError,
    UnknownNameError,
    UsageError,
)
from bridge.logs import get_logger
from bridge.net.http_server import RequestBodyError
from bridge.net.served_connection import PROBLEM_TYPE, problem_document
from bridge.redaction import hidden

log = get_logger()

MAX_ERRORS: Final = 100
_STATUS: Final[Mapping[type[GenbridgeError], HTTPStatus]] = {  # the first matching class counts
    UnknownNameError: HTTPStatus.NOT_FOUND,
    UnknownError: HTTPStatus.NOT_FOUND,
    OutdatedError: HTTPStatus.CONFLICT,
    UsageError: HTTPStatus.UNPROCESSABLE_ENTITY,
    ConfigError: HTTPStatus.UNPROCESSABLE_ENTITY,
    StoreError: HTTPStatus.SERVICE_UNAVAILABLE,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}


class ProblemError(BaseModel):
    """One mistake of a request."""

    at: str = Field(description="the key, parameter or line; empty: the whole request")
    message: str = Field(description="what is wrong, and how to fix it")


class ProblemDocument(BaseModel):
    """Why a request was refused (RFC 9457)."""

    type: str = Field(description="always about:blank")
    title: str = Field(description="the name of the status")
    status: int
    detail: str = Field(description="one line for people")
    errors: list[ProblemError] = Field(description="every mistake; may be empty")


class HttpProblem(Exception):
    """A request is refused: a `status`, a text that says what is wrong, and every mistake as (where, message)."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        errors: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.errors = errors
        self.headers = headers


def invalid(errors: Sequence[tuple[str, str]]) -> HttpProblem:
    """A request that is well-formed but invalid. The first mistake is its detail."""
    where, message = errors[0]
    more = and_more(len(errors) - 1)
    detail = f"{where}: {message}{more}" if where else f"{message}{more}"
    return HttpProblem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors)


def problem_response(problem: HttpProblem, *, for_sdks: bool = False) -> Response:
    """The problem document as a response. Secrets are hidden; at most `MAX_ERRORS` mistakes are listed. `for_sdks`: the
    text is also where SDKs of providers look for it, which otherwise show only the status."""
    text = hidden(str(problem))
    errors = [{"at": at, "message": hidden(message)} for at, message in problem.errors[:MAX_ERRORS]]
    document = problem_document(problem.status, text, errors)
    if for_sdks:
        error = {"message": text, "code": problem.status.value, "status": problem.status.phrase}
        document |= {"message": text, "error": error}
    return Response(
        orjson.dumps(document), problem.status, headers=dict(problem.headers or {}), media_type=PROBLEM_TYPE.decode()
    )


def problem_of(error: Exception) -> HttpProblem:
    """The problem for an error of genbridge or the framework. Any other is a bug, which only the log describes."""
    if isinstance(error, HttpProblem):
        return error
    if isinstance(error, RequestBodyError):
        return HttpProblem(error.status, str(error))
    if isinstance(error, HTTPException):
        return HttpProblem(
            HTTPStatus(error.status_code), _FRAMEWORK.get(error.status_code, error.detail), (), error.headers
        )
    for kind, status in _STATUS.items():
        if isinstance(error, kind):
            later = {"Retry-After": "5"} if status is HTTPStatus.SERVICE_UNAVAILABLE else None
            text = error.message if isinstance(error, UsageError) else str(error)
            return HttpProblem(status, text.replace("\n", "; "), _mistakes(error), later)
    log.error("http.bug", exc_info=error)
    return HttpProblem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error; the log of genbridge says more")


def _mistakes(error: Exception) -> Sequence[tuple[str, str]]:
    """The mistakes of the caller that this error names."""
    match error:
        case UsageError(at=at, message=message):
            return [(at, message.removeprefix(f"{at}: ") if at else message)]
        case ConfigError(problems=problems):
            return [("", problem) for problem in problems]
    return ()


_FRAMEWORK: Final = {
    404: "unknown address; /openapi.json lists all addresses",
    405: "this address does not support the method",
}


async def answer_error(request: Request, error: Exception) -> Response:
    """An exception handler of starlette."""
    return problem_response(problem_of(error))
