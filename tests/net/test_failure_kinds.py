from __future__ import annotations

import errno
import ssl

import httpx
import pytest

from bridge.net.failure_kinds import Failure, explain


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ECONNREFUSED, "x:1 refused the connection"),
        (errno.EHOSTUNREACH, "x:1 cannot be reached"),
        (errno.EMFILE, "no connection to x:1: too many open files (raise the limit, or lower limits.concurrency)"),
        (errno.EAGAIN, "no connection to x:1: this machine has no free thread"),
        (errno.EIO, "no connection to x:1"),
    ],
)
def test_the_cause_of_a_failed_connection_is_found_in_wrapped_exceptions(number: int, reason: str) -> None:
    kind = Failure.LOCAL if number in {errno.EMFILE, errno.EAGAIN} else Failure.CONNECT
    error = httpx.ConnectError("All connection attempts failed")
    error.__cause__ = OSError("several")
    error.__cause__.__cause__ = ExceptionGroup("attempts", [OSError(number, "no"), OSError(number, "no")])

    assert explain(error, "x:1") == (kind, reason)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("TLSV1_ALERT_PROTOCOL_VERSION", "it does not support TLS 1.2 or later"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "it requires a client certificate, which genbridge does not support"),
        ("NO_SUCH_ALERT", "NO_SUCH_ALERT"),
    ],
)
def test_a_refused_handshake_is_explained_in_plain_words(reason: str, words: str) -> None:
    error = httpx.ConnectError("no connection")
    error.__cause__ = cause = ssl.SSLError(1, "failed")
    cause.reason = reason

    assert explain(error, "https://x:1/") == (Failure.TLS, f"no TLS connection with x:1: {words}")


def test_a_tls_connection_that_is_closed_later_may_have_carried_the_request() -> None:
    error = httpx.ReadError("closed")
    error.__cause__ = ssl.SSLEOFError(8, "unexpected eof")

    assert explain(error, "https://x:1/") == (Failure.RESET, "x:1 closed the connection before it had answered")


def test_circular_exception_causes_are_read_once() -> None:
    first, second = httpx.ReadError("a"), OSError("b")
    first.__cause__, second.__context__ = second, first

    assert explain(first, "x:1")[0] is Failure.RESET
