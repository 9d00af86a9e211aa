"""Access control: checks of Host, Origin and token before a route handles the request; security headers of answers."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bridge.config.http_settings import Http
from bridge.domain.listen_address import ANY_HOST, is_loopback
from bridge.domain.origins import ascii_host
from bridge.domain.public_addresses import parse_address
from bridge.http.problem_details import HttpProblem, problem_response
from bridge.http.sessions import is_session_of

READING: Final = frozenset({"GET", "HEAD"})
FORM_PATHS: Final = ("/actions/", "/signin")  # forms of the page
MOST_PORT: Final = 65_535
PROBED: Final = ("/healthz", "/readyz")
PASSED_ON: Final = "/gateway/"  # answers of providers keep their own headers
SAME: Final = "same-origin"
BEARER_HINT: Final = "send the token of the settings: Authorization: Bearer ..."
ALWAYS: Final = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_HOST: Final = re.compile(
    r"(?:\[(?P<address>[0-9a-f]*:[0-9a-f:.]+(?:%[^][\s]+)?)\]|(?P<name>[^][:/?#@\\,\s]+?)\.?)(?::(?P<port>[0-9]{0,5}))?"
)


class Right(IntEnum):
    """What a caller may do, and what a route needs. Each right includes those before it."""

    OPEN = 0  # without a token
    READ = 1  # with `read_token`
    FULL = 2  # with `token`


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRules:
    """The settings of the server about access."""

    hosts: frozenset[str]  # accepted as Host, lower case, without port
    accepts_addresses: bool  # any IP address is accepted as Host
    accepts_any_host: bool
    origins: frozenset[str]  # accepted as Origin, in addition to the Host itself
    token: bytes | None = field(repr=False)
    read_token: bytes | None = field(repr=False)
    previews: tuple[str, ...] = ()  # origins from which pages may show results
    public_hosts: frozenset[str] = frozenset()  # the Host of requests to `public_url`
    base_path: str = ""  # the path of `public_url`, without the last slash

    @classmethod
    def of(cls, settings: Http) -> AccessRules:
        """The rules of these resolved settings."""
        address = settings.address
        public = urlsplit(settings.public_url or "")
        public = public._replace(netloc=ascii_host(public.netloc.lower()))
        public_host = public.hostname or ""
        hosts = {address.host.lower(), *map(ascii_host, settings.hosts), public_host} - {""}
        if address.path or is_loopback(address.host) or address.host in ANY_HOST:
            hosts |= {"localhost", "127.0.0.1", "::1"}
        return cls(
            hosts=frozenset(hosts),
            accepts_addresses=address.host in ANY_HOST,
            accepts_any_host=bool(address.path),  # browsers cannot reach a Unix socket
            origins=frozenset({_origin(public.geturl())} if public_host else ()),
            token=settings.token.reveal().encode() if settings.token else None,
            read_token=settings.read_token.reveal().encode() if settings.read_token else None,
            previews=settings.previews,
            public_hosts=frozenset({public.netloc, public_host} - {""}),  # or without port
            base_path=public.path,
        )

    def base_path_of(self, headers: Mapping[str, str]) -> str:
        """What a browser has in front of the page's paths: the path of `public_url` if the request names its host,
        because then it came through the reverse proxy."""
        return self.base_path if headers.get("host", "").lower() in self.public_hosts else ""

    def right_of(self, headers: Mapping[str, str]) -> Right:
        """What the caller may do according to its bearer token; everything if the settings have no token."""
        if self.token is None:
            return Right.FULL
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return Right.OPEN
        return self.right_of_token(given.strip())

    def right_of_browser(self, headers: Mapping[str, str], now: float) -> Right:
        """What the person at a browser may do, according to their session or a bearer token."""
        right = self.right_of(headers)
        if right is Right.OPEN and self.token is not None:
            if is_session_of(self.token, headers, now):
                return Right.FULL
            if self.read_token is not None and is_session_of(self.read_token, headers, now):
                return Right.READ
        return right

    def right_of_token(self, given: str) -> Right:
        """What a token allows. Compared in constant time."""
        offered = given.encode("utf-8", "surrogateescape")
        if self.token is not None and hmac.compare_digest(offered, self.token):
            return Right.FULL
        if self.read_token is not None and hmac.compare_digest(offered, self.read_token):
            return Right.READ
        return Right.OPEN

    def check_host(self, headers: Mapping[str, str]) -> None:
        """HttpProblem 421 unless the request names this server. This prevents DNS rebinding: a page elsewhere could
        make its own name resolve to this address."""
        given = headers.get("host", "")
        host = _host_name(given)
        if self.accepts_any_host or host in self.hosts or (self.accepts_addresses and parse_address(host)):
            return
        detail = f'"{(host or given)[:100]}" is not a name of this server: add it to http.hosts, or set http.public_url'
        if not given:
            detail = "the request has no Host header: send one with a name of this server"
        raise HttpProblem(HTTPStatus.MISDIRECTED_REQUEST, detail)

    def check_origin(self, headers: Mapping[str, str], path: str) -> None:
        """HttpProblem 403 for a request made by a page of another origin.

        Browsers hide the origin of genbridge's own forms, because the page sends no referrer. Those forms contain a
        signed field.
        """
        given = headers.get("origin")
        if given is None:
            return
        if given == "null" and path.startswith(FORM_PATHS) and headers.get("sec-fetch-site", SAME) == SAME:
            return
        origin = _origin(given)
        if origin not in self.origins and origin.partition("://")[2] != headers.get("host", "").lower():
            raise HttpProblem(HTTPStatus.FORBIDDEN, "requests from pages of other origins are refused")

    def check_right(self, right: Right, needed: Right, *, hint: str = BEARER_HINT) -> None:
        """HttpProblem 401 (with this hint) or 403 if the caller's rights do not include what the route needs."""
        if right >= needed:
            return
        if right is Right.READ:
            raise HttpProblem(HTTPStatus.FORBIDDEN, "read_token may only read; this needs http.token")
        raise HttpProblem(HTTPStatus.UNAUTHORIZED, hint, (), {"WWW-Authenticate": 'Bearer realm="genbridge"'})


class AccessMiddleware:
    """Refuses requests for another host or from another origin before anything else is done."""

    def __init__(self, app: ASGIApp, rules: AccessRules, now: Callable[[], float]) -> None:
        self._app = app
        self.rules = rules  # replaced on reload
        self.now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        safe_send = with_security_headers(send, self.rules.previews)
        try:
            _check_single(scope)
            # Load balancers probe with HTTP/1.0 and no Host. Browsers always send one, so this is no DNS rebinding.
            if scope["path"] not in PROBED or scope["http_version"] != "1.0" or "host" in headers:
                self.rules.check_host(headers)
            self.rules.check_origin(headers, scope["path"])
        except HttpProblem as problem:
            await problem_response(problem)(scope, receive, safe_send)
            return
        await self._app(scope, receive, send if scope["path"].startswith(PASSED_ON) else safe_send)


def check_right(request: Request, needed: Right) -> None:
    """See `AccessRules.check_right`. A browser's session may only read, because pages change things with forms."""
    access: AccessMiddleware = request.app.state.access
    rules, headers = access.rules, request.headers
    is_reading = request.method in READING
    right = rules.right_of_browser(headers, access.now()) if is_reading else rules.right_of(headers)
    rules.check_right(right, needed)


def _check_single(scope: Scope) -> None:
    """HttpProblem 400 if a header that decides about access is repeated: programs disagree about which counts."""
    for name in (b"host", b"authorization", b"origin"):
        if sum(1 for key, _ in scope["headers"] if key == name) > 1:
            raise HttpProblem(HTTPStatus.BAD_REQUEST, f"the header {name.decode().title()} is there twice")


def _host_name(host: str) -> str:
    """The host name in a Host header, without port and brackets; empty if the header is not valid."""
    found = _HOST.fullmatch(host.lower())
    return "" if found is None or int(found["port"] or 0) > MOST_PORT else found["name"] or found["address"]


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return f"{parts.scheme}://{parts.netloc}".lower()


def content_policy(previews: Sequence[str]) -> str:
    """The Content-Security-Policy. Pages may show pictures and play files from these origins and their own."""
    shown = " ".join(("'self'", *previews))
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; "
        f"img-src {shown}; media-src {shown}; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'"
    )


def with_security_headers(send: Send, previews: Sequence[str]) -> Send:
    """A `send` that adds these headers to every answer that does not set them itself."""
    policy = content_policy(previews)

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("Content-Security-Policy", policy)
            for name, value in ALWAYS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers
