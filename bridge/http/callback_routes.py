"""The addresses for the callbacks of providers. They need no token: the secret in them is the permission."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel, Field
from starlette.responses import Response

from bridge.domain.callback import CallbackOutcome, CallbackRequest
from bridge.errors import StoreError
from bridge.http.access import Right
from bridge.http.api_route import MAX_BODY_BYTES, ApiCall, json_response, route
from bridge.http.problem_details import HttpProblem
from bridge.net.http_server import read_body

ACTED_ON: Final = frozenset({CallbackOutcome.POLLED, CallbackOutcome.COALESCED})
REFUSALS: Final = {
    CallbackOutcome.MISSING: "the callback is not signed, and accounts.{}.callback_secret is set",
    CallbackOutcome.FORGED: "the signature of the callback is wrong; check accounts.{}.callback_secret",
    CallbackOutcome.STALE: "the signature of the callback is too old, or a clock is wrong",
}


class CallbackAnswer(BaseModel):
    """The outcome of a callback, or its challenge."""

    outcome: CallbackOutcome | None = Field(None, description="the outcome of the callback")
    challenge: Any = Field(None, description="only in the answer to a challenge, which has no other key")


@route(
    "POST",
    "/callbacks/{account}/{secret}",
    right=Right.OPEN,
    ignores_query=True,
    reads_body=True,
    answer=CallbackAnswer,
    others={HTTPStatus.ACCEPTED: CallbackAnswer},
    problems=frozenset({HTTPStatus.NOT_FOUND}),
)
async def take_callback(call: ApiCall) -> Response:
    """A callback of the account's provider: a hint to poll the task that it names."""
    account, secret = call.request.path_params["account"], call.request.path_params["secret"]
    callbacks = call.services.app().parts.callback_hints
    if not callbacks.is_ready:
        raise StoreError("the daemon is starting; try again")
    if not callbacks.is_address(account, secret):
        raise HttpProblem(HTTPStatus.NOT_FOUND, "unknown callback address; see `genbridge callback-url`")
    reply = callbacks.receive(
        account,
        CallbackRequest(
            headers=dict(call.request.headers),
            body=await read_body(call.request, max_bytes=MAX_BODY_BYTES),
            path=call.request.app.state.access.rules.base_path + callbacks.path(account),
            query=call.request.url.query,
        ),
    )
    if reply.outcome in REFUSALS:
        raise HttpProblem(HTTPStatus.FORBIDDEN, REFUSALS[reply.outcome].format(account))
    if reply.outcome is CallbackOutcome.CHALLENGE:
        return json_response({"challenge": reply.challenge})
    # Some providers repeat a callback unless the answer is exactly 200.
    return json_response(
        {"outcome": reply.outcome}, HTTPStatus.OK if reply.outcome in ACTED_ON else HTTPStatus.ACCEPTED
    )


ROUTES: Final = (take_callback,)
