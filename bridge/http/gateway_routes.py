"""The gateway: forwards requests to the provider of an account, adds the account's key, and watches new tasks.

`/gateway/ACCOUNT/PATH` stands for `PATH` below the account's base URL. The connection always goes to that URL's host;
paths that could lead out of its path are refused.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterable, Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Final, TypeVar
from urllib.parse import unquote

import anyio
import anyio.lowlevel
from starlette.types import Receive, Scope, Send

from bridge.domain.forwarding import KEY_HEADERS, Pair, sent_headers, target_of
from bridge.domain.quoting import unknown_name
from bridge.engine.poller import Poller
from bridge.errors import first_error
from bridge.http.access import AccessRules, Right, with_security_headers
from bridge.http.gateway_answers import AnswerPassing
from bridge.http.gateway_bodies import CallerGone, RequestBody
from bridge.http.gateway_watches import WatchCommit, WatchWish
from bridge.http.problem_details import HttpProblem, problem_of, problem_response
from bridge.http.services import Services
from bridge.logs import get_logger
from bridge.net.client import Unanswered
from bridge.net.failure_kinds import BodyStopped, Failure
from bridge.net.http_server import cancel_when_gone
from bridge.net.httpx_connections import StreamedAnswer
from bridge.net.served_connection import ABORT
from bridge.net.streaming_client import StreamedRequest
from bridge.wiring.gateway_accounts import GatewayAccount
from bridge.wiring.task_reading import task_reader

log = get_logger()

T = TypeVar("T")

GATEWAY_PATH: Final = "/gateway"
ADMIT_S: Final = 10.0  # how long a request waits for the account's limits
LAST_S: Final = 4.0  # how long requests in flight may take when the daemon stops
STOPPED: Final = "the daemon stopped before the provider answered"
# CONNECT opens a tunnel; TRACE would return the request with the key.
NOT_PASSED: Final = frozenset({"CONNECT", "TRACE"})


class Gateway:
    """The ASGI app below `/gateway`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = _GatewayCall(self._services, scope, receive, send)
        try:
            await call.run()
        except (Exception, BaseExceptionGroup) as error:
            await call.fail(first_error(error))


class _GatewayCall:
    def __init__(self, services: Services, scope: Scope, receive: Receive, send: Send) -> None:
        self._services = services
        self._scope = scope
        self._receive = receive
        self._send = send
        self._headers: list[Pair] = scope["headers"]
        self._method: str = scope["method"]
        self._answering: AnswerPassing | None = None
        self._unseen = ""  # the account of a request that may have created a task, before its answer is read
        self._is_stopped = False

    async def run(self) -> None:
        """Forward the request, and its answer. HttpProblem if it is refused, or if the daemon stops."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._stop_in_time, group.cancel_scope)
            await self._pass()
            group.cancel_scope.cancel()
        if self._is_stopped:
            raise HttpProblem(HTTPStatus.SERVICE_UNAVAILABLE, STOPPED)

    async def _stop_in_time(self, scope: anyio.CancelScope) -> None:
        """When the daemon stops, give requests in flight `LAST_S` to be answered."""
        await self._services.stopping.wait()
        await self._services.clock.sleep(LAST_S)
        self._is_stopped = True
        scope.cancel()

    async def _pass(self) -> None:
        name, rest = _split(self._scope["raw_path"])
        account = await self._account(name)
        target = self._target(account, rest)
        body = RequestBody(self._headers, self._receive)
        path = rest.decode("ascii") or "/"
        wish = None
        if account.rules.may_create(self._method, path):
            wish = WatchWish(self._headers, account=account.name, reader=task_reader(self._services.settings()))
        status = account.rules.status_call(self._method, target.decode("ascii"))
        headers = [
            *sent_headers(
                self._headers,
                key_header=account.rules.key_header,
                token=self._token.decode(),
                is_read=wish is not None or status is not None,
            ),
            *((key.encode("latin-1"), value.encode("latin-1")) for key, value in account.rules.headers.items()),
            *body.headers,
        ]
        content = await body.start()
        traffic = await self._admitted(name, content)
        asked_at = self._services.clock.steady()
        self._unseen = name if wish is not None else ""
        try:
            request = StreamedRequest(self._method, target, headers, content)
            answer = await self._answer(account, request, is_paid_for=wish is not None)
        finally:
            traffic.left(name)
        self._answering = AnswerPassing(
            services=self._services,
            traffic=traffic,
            account=account,
            method=self._method,
            path=path,
            below=f"{GATEWAY_PATH}/{name}",
            wish=wish,
            status=status,
            asked_at=asked_at,
            answer=answer,
            send=self._send,
        )
        try:
            await self._answering.run(self._receive)
            self._unseen = ""
        finally:
            await answer.aclose()

    async def _answer(self, account: GatewayAccount, request: StreamedRequest, *, is_paid_for: bool) -> StreamedAnswer:
        """The provider's answer, as soon as it begins. HttpProblem 502 or 504 if there is none. CallerGone if the
        caller has disconnected, unless the request may create a task."""
        send = partial(account.client.send, request)
        try:
            found = await (send() if is_paid_for else self._unless_gone(send, request.body))
        except Exception:
            self._unseen = ""  # the body of the request is incomplete
            raise
        if isinstance(found, Unanswered):
            if not found.may_have_arrived:
                self._unseen = ""
            late = found.kind is Failure.TIMEOUT
            raise HttpProblem(HTTPStatus.GATEWAY_TIMEOUT if late else HTTPStatus.BAD_GATEWAY, found.reason)
        return found

    async def _unless_gone(self, call: Callable[[], Awaitable[T]], body: bytes | AsyncIterable[bytes]) -> T:
        """The result of the call. If the caller disconnects, the call is canceled and CallerGone is raised. While the
        body is still being read, reading it reports the disconnection."""
        found: list[T] = []
        async with anyio.create_task_group() as group:
            if isinstance(body, bytes):
                group.start_soon(cancel_when_gone, self._receive, group.cancel_scope)
            found.append(await call())
            group.cancel_scope.cancel()
        if not found:
            raise CallerGone
        return found[0]

    async def fail(self, error: BaseException) -> None:
        """Answer with the problem. If an answer has begun, break the connection: it must not look complete."""
        if not isinstance(error, Exception):
            raise error
        if self._answering is not None and self._answering.has_begun:
            if not isinstance(error, BodyStopped | HttpProblem | CallerGone):
                log.error("http.bug", exc_info=error)
            await self.abort()
        elif isinstance(error, CallerGone):
            await self.abort()
        else:
            send = with_security_headers(self._send, self._rules.previews)  # this answer comes from genbridge
            problem = problem_of(error)
            if self._unseen and (self._answering is None or self._answering.answer.status < HTTPStatus.BAD_REQUEST):
                commit = WatchCommit(self._services, self._unseen)
                commit.fail(str(problem))
                name, value = commit.header
                problem.headers = {**(problem.headers or {}), name.decode().title(): value.decode()}
            await problem_response(problem, for_sdks=True)(self._scope, self._receive, send)

    async def abort(self) -> None:
        if (extension := self._scope.get("extensions", {}).get(ABORT)) is not None:
            extension["abort"]()
            await anyio.lowlevel.checkpoint()

    async def _account(self, name: str) -> GatewayAccount:
        """The account, if the caller has the token. HttpProblem 401, 403, 404, 405 or 501."""
        loaded = self._services.settings()
        if loaded.settings.http is None or not loaded.settings.http.gateway:
            raise HttpProblem(HTTPStatus.NOT_FOUND, "the gateway is off: set http.gateway: true")
        account = await self._services.gateway.find(name, loaded)
        self._check_token("" if account is None else account.rules.key_header)
        if account is None:
            problem = unknown_name("account", name, loaded.settings.accounts)
            raise HttpProblem(HTTPStatus.NOT_FOUND, problem)
        if any(key == b"upgrade" and b"websocket" in value.lower() for key, value in self._headers):
            raise HttpProblem(
                HTTPStatus.NOT_IMPLEMENTED, "the gateway does not support WebSockets: call the provider directly"
            )
        if self._method in NOT_PASSED:
            raise HttpProblem(HTTPStatus.NOT_IMPLEMENTED, f"the gateway does not support {self._method}")
        if account.rules.refusal is not None:
            raise HttpProblem(HTTPStatus.NOT_IMPLEMENTED, f"account {name}: {account.rules.refusal}")
        return account

    @property
    def _token(self) -> bytes:
        return self._rules.token or b""

    @property
    def _rules(self) -> AccessRules:
        rules: AccessRules = self._scope["app"].state.access.rules
        return rules

    def _check_token(self, key_header: str) -> None:
        """HttpProblem unless the token is in one of the headers that carry keys."""
        names = KEY_HEADERS | {b"authorization", key_header.lower().encode()}
        right = Right.OPEN
        for name, value in self._headers:
            if name in names:
                whole = value.decode("latin-1").strip()
                after_scheme = whole.partition(" ")[2].strip()  # Bearer, Token, Key, Basic
                right = max(right, *map(self._rules.right_of_token, (whole, after_scheme)))
        self._rules.check_right(right, Right.FULL, hint="use http.token of the settings as the API key of your client")

    def _target(self, account: GatewayAccount, rest: bytes) -> bytes:
        query: bytes = self._scope["query_string"]
        if self._token and self._token in query:
            raise HttpProblem(HTTPStatus.BAD_REQUEST, "the token of genbridge is in the query: send it in a header")
        try:
            return target_of(rest, query, base_path=account.rules.base_path)
        except ValueError as problem:
            raise HttpProblem(HTTPStatus.BAD_REQUEST, str(problem)) from None

    async def _admitted(self, name: str, body: bytes | AsyncIterable[bytes]) -> Poller:
        """The limits of the accounts, with this request counted. HttpProblem 429; StoreError; CallerGone."""
        traffic = self._services.working_app().parts.poller
        refusal = await self._unless_gone(partial(traffic.admit, name, within_s=ADMIT_S), body)
        if refusal is not None:
            after = {} if math.isinf(refusal.left_s) else {"Retry-After": str(max(1, math.ceil(refusal.left_s)))}
            raise HttpProblem(HTTPStatus.TOO_MANY_REQUESTS, f"account {name}: {refusal.reason}", (), after)
        return traffic


def _split(raw_path: bytes) -> tuple[str, bytes]:
    """The name of the account, and the unchanged rest of the path. HttpProblem 404."""
    prefix, _, below = raw_path.partition(b"/gateway/")
    if prefix:  # some letters of the prefix are percent-encoded
        raise HttpProblem(HTTPStatus.NOT_FOUND, "write the path as /gateway/ACCOUNT/...")
    name, slash, rest = below.partition(b"/")
    return unquote(name.decode("latin-1")), slash + rest
