from __future__ import annotations

import errno

import httpx
import pytest

from bridge.net.failure_kinds import Failure, explain


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ECONNREFUSED, "x:1 refused the connection"),
        (errno.EHOSTUNREACH, "x:1 cannot be reached"),
        (errno.EMFILE, "no connection to x:1: too many open files (raise the limit, or lower limits.concurrency)"),
        (errno.EIO, "no connection to x:1"),
    ],
)
def test_the_cause_of_a_failed_connection_is_found_in_wrapped_exceptions(number: int, reason: str) -> None:
    error = httpx.ConnectError("All connection attempts failed")
    error.__cause__ = OSError("several")
    error.__cause__.__cause__ = ExceptionGroup("attempts", [OSError(number, "no"), OSError(number, "no")])

    assert explain(error, "x:1") == (Failure.CONNECT, reason)


def test_circular_exception_causes_are_read_once() -> None:
    first, second = httpx.ReadError("a"), OSError("b")
    first.__cause__, second.__context__ = second, first

    assert explain(first, "x:1")[0] is Failure.RESET
