"""Observes and controls the HTTP requests of Apprise's plugins.

Apprise reduces an answer to True or False and a line in its log. Its plugins use `requests`, so this module replaces
`requests.Session.send`, once per process. Nothing changes for threads that do not record.
"""

from __future__ import annotations

import logging
import re
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from bridge.domain.proxies import ProxyRules
from bridge.net.client import NO_RULES, Answer, trusting, written_ns
from bridge.net.failure_kinds import ProxyUnreached, Unreached, explain, explain_refusal
from bridge.sinks.judging import MOST_ANSWER_BYTES, requested_wait_s

_installing: Final = threading.Lock()
_SAYS_NOTHING: Final = ("Unparseable ", "Could not load ", "Unsupported URL")  # Apprise's words for an unusable URL
_CAUSE: Final = "Socket Exception: "
_thread: Final = threading.local()  # has the attribute `recording` while a thread records


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatNetwork:
    """The proxy and the certificate authorities of one chat endpoint. `proxy` and `environment` are as for
    `HttpClient`. Services that do not use HTTP (mail, MQTT, XMPP, IRC) use no proxy."""

    proxy: str | None = None
    environment: ProxyRules = NO_RULES
    ca_file: str | None = None

    def proxy_for(self, url: str) -> str | None:
        """The proxy for a request to this URL, if any."""
        parts = urlsplit(url)
        return self.environment.with_own(self.proxy).proxy_for(parts.scheme, parts.hostname or "", parts.port)

    def apply(self, session: Any, url: str, options: dict[str, Any]) -> None:
        """Set the options of one call of `Session.send`. Otherwise they would come from the environment."""
        proxy = self.proxy_for(url)
        bundle = options.get("verify", True)  # or the file or folder of $REQUESTS_CA_BUNDLE
        if bundle is True or (bundle and self.ca_file is not None):
            session.mount("https://", _adapter(self.ca_file, "" if bundle is True else str(bundle)))
        options["proxies"] = {} if proxy is None else {"http": proxy, "https": proxy}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request of a plugin, with its answer or failure."""

    method: str
    url: str = field(repr=False)
    answer: Answer | None = None  # with the first `MOST_ANSWER_BYTES` of its body
    was_sent: bool = True  # False: it did not reach the service, for instance because the connection was refused
    problem: str = ""  # why there is no answer

    @property
    def host(self) -> str:
        return (urlsplit(self.url).hostname or "").lower()

    @property
    def is_good(self) -> bool:
        """Whether the answer is 2xx."""
        return self.answer is not None and 200 <= self.answer.status < 300

    @property
    def is_unanswered(self) -> bool:
        """Whether the service may have processed it although no answer arrived."""
        return self.answer is None and self.was_sent and self.method != "GET"

    @property
    def requested_wait_s(self) -> float | None:
        """The wait that an answer other than 2xx asks for."""
        return None if self.answer is None or self.is_good else requested_wait_s(self.answer)

    @property
    def is_limited(self) -> bool:
        """Whether the service accepts no more requests for now, even if it does not say for how long."""
        is_429 = self.answer is not None and self.answer.status == HTTPStatus.TOO_MANY_REQUESTS
        return is_429 or self.requested_wait_s is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """The requests and answers of one thread, and what Apprise logged during that time."""

    exchanges: list[Exchange] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    network: ChatNetwork | None = None


@contextmanager
def recording(network: ChatNetwork | None = None) -> Iterator[Recording]:
    """Record this thread, and send its requests through `network`. Loads `requests`. Apprise's messages do not reach
    genbridge's own log, because they may contain tokens."""
    _install()
    logger = logging.getLogger("apprise")
    logger.addHandler(_log_handler)  # has an effect only once, however often it is called
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    _thread.recording = Recording(network=network)
    try:
        yield _thread.recording
    finally:
        _thread.recording = None


def _current() -> Recording | None:
    return getattr(_thread, "recording", None)


class _LogHandler(logging.Handler):
    """Keeps the reasons of failures that Apprise logs in a thread that records."""

    def emit(self, record: logging.LogRecord) -> None:
        current = _current()
        if current is None:
            return
        if isinstance(record.args, tuple):  # a mail server's words are bytes
            record.args = tuple(
                each.decode(errors="replace") if isinstance(each, bytes) else each for each in record.args
            )
        text = record.getMessage()
        # Apprise logs the cause of a failed connection at debug level, among whole payloads.
        if text.startswith(_SAYS_NOTHING):
            return
        if record.levelno >= logging.WARNING:
            current.log.append(text)
        elif text.startswith(_CAUSE):
            current.log.append(_mail_refusal(sys.exception()) or text.removeprefix(_CAUSE))


def _mail_refusal(error: BaseException | None) -> str:
    """What a mail server said when it refused; "" for any other error. Apprise logs it as tuples and bytes."""
    import smtplib  # here, because it takes 10 ms and only chats need it

    if isinstance(error, smtplib.SMTPResponseException):
        return _reply(error.smtp_code, error.smtp_error)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "; ".join(f"{address}: {_reply(*reply)}" for address, reply in error.recipients.items())
    return ""


def _reply(code: int, said: bytes | str) -> str:
    return f"{code} {said.decode(errors='replace') if isinstance(said, bytes) else said}"


_log_handler: Final = _LogHandler(level=logging.DEBUG)


def _install() -> None:
    import requests

    with _installing:
        send: Callable[..., Any] = requests.Session.send
        if getattr(send, "is_recorded", False):
            return

        def recorded(session: Any, request: Any, **options: Any) -> Any:
            current = _current()
            return send(session, request, **options) if current is None else _send(send, session, request, options)

        recorded.is_recorded = True  # type: ignore[attr-defined]  # so that it is installed once
        requests.Session.send = recorded  # type: ignore[method-assign,assignment]  # Apprise offers no seam of its own


def _send(send: Callable[..., Any], session: Any, request: Any, options: dict[str, Any]) -> Any:
    """`Session.send` in a thread that records."""
    import requests

    current, url = _thread.recording, str(request.url)
    if any(each.is_limited for each in current.exchanges):  # some plugins retry at once
        raise requests.RequestException("the service accepts no more requests for now")
    options["allow_redirects"] = False  # a redirect would forward credentials, and its final page proves nothing
    if current.network is not None:
        current.network.apply(session, url, options)
    try:
        response = send(session, request, **options)
    except requests.RequestException as error:
        failed = Exchange(
            method=str(request.method),
            url=url,
            was_sent=_may_have_arrived(error),
            problem=_problem(error, url, current.network),
        )
        current.exchanges.append(failed)
        raise
    answer = _answer(response, is_read=not options.get("stream"))
    current.exchanges.append(Exchange(method=str(request.method), url=url, answer=answer))
    return response


def _answer(response: Any, *, is_read: bool) -> Answer:
    body = response.content if is_read else b""
    return Answer(
        status=int(response.status_code),
        headers={str(name).lower(): str(value) for name, value in response.headers.items()},
        body=body[:MOST_ANSWER_BYTES],
        complete=True,
        trouble="",
        is_over_cap=len(body) > MOST_ANSWER_BYTES,
    )


def _may_have_arrived(error: Exception) -> bool:
    """Whether the request may have been sent: not if there was no connection."""
    import requests
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError

    if isinstance(error, requests.ReadTimeout):
        return True
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.SSLError):
        return False
    if not isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return False
    cause = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(cause, ProxyError):
        # urllib3 also uses it if a service behind the proxy closes the connection without an answer.
        return isinstance(cause.original_error, ConnectionError | HTTPException)
    return not isinstance(cause, NewConnectionError | ConnectTimeoutError)


def _problem(error: Exception, url: str, network: ChatNetwork | None) -> str:
    """One line about a request without an answer, with the same words as for polls and webhooks; "" for an error that
    is not about the connection."""
    import requests

    proxy = network.proxy_for(url) if network is not None else None
    known: Exception
    was_sent = _may_have_arrived(error)
    if isinstance(error, requests.exceptions.ProxyError) and proxy is not None and not was_sent:
        tunnel = re.search(r"Tunnel connection failed: (\d{3})", str(error))
        if tunnel is not None:
            named, target = urlsplit(proxy).netloc.rpartition("@")[2], urlsplit(url).netloc.rpartition("@")[2]
            return explain_refusal(target, named, int(tunnel[1]))
        known = ProxyUnreached("")
    elif isinstance(error, requests.Timeout):
        known = TimeoutError()
    elif isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        known = ConnectionResetError() if was_sent else Unreached("")
    else:
        return ""
    known.__cause__ = error
    return explain(known, url, proxy)[1]


@lru_cache(maxsize=32)
def _kept_context(ca_file: str | None, _written_ns: int, bundle: str, _bundle_written_ns: int) -> ssl.SSLContext:
    """One context for all chats that trust the same files: it takes more CPU time than the rest of a request. No other
    client uses it, because urllib3 changes the contexts that it is given."""
    context = trusting(ca_file)
    if bundle:
        is_folder = Path(bundle).is_dir()
        context.load_verify_locations(cafile=None if is_folder else bundle, capath=bundle if is_folder else None)
    return context


def _adapter(ca_file: str | None, bundle: str) -> Any:
    """An adapter for the connections of a session. It trusts the certificates in these files."""
    from requests.adapters import HTTPAdapter

    context = _kept_context(ca_file, written_ns(ca_file), bundle, written_ns(bundle))

    class Trusting(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, ssl_context=context, **options)

        def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
            return super().proxy_manager_for(proxy, ssl_context=context, proxy_ssl_context=context, **options)

        def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
            super().cert_verify(conn, url, verify, cert)
            conn.ca_certs = conn.ca_cert_dir = None  # already in the context; saves a load per connection

    return Trusting()
