"""A provider's callback: a hint that a task has changed, never a result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from bridge.domain.task import Json

MAX_IDS: Final = 200  # maximum number of ids in one callback


class CallbackProof(StrEnum):
    """What the signature of a callback proves."""

    SIGNED = "signed"  # the signature is valid and recent
    UNSIGNED = "unsigned"  # there is none, or nothing to check it with; the secret of the address is the only proof
    MISSING = "missing"  # there is none, although the account has a secret to check it with
    FORGED = "forged"  # the signature is wrong
    STALE = "stale"  # the signature is valid, but too old


REFUSED: Final = frozenset({CallbackProof.MISSING, CallbackProof.FORGED, CallbackProof.STALE})
"""Callbacks that are refused."""


class CallbackOutcome(StrEnum):
    """How a callback was handled. The values are labels of a metric."""

    POLLED = "polled"  # it names a live watch: polled at once
    COALESCED = "coalesced"  # the watch is about to be polled in any case
    FORWARDED = "forwarded"  # another daemon may hold the watch
    UNKNOWN = "unknown"  # its ids belong to no live watch
    CHALLENGE = "challenge"
    UNREADABLE = "unreadable"  # it is not JSON, or holds no id
    DROPPED = "dropped"  # callbacks arrive faster than they are read
    MISSING = "missing"
    FORGED = "forged"
    STALE = "stale"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackRequest:
    """The HTTP request of a callback. Header names are in lower case. `path` is the path of the callback address."""

    headers: Mapping[str, str]
    body: bytes
    path: str = ""
    query: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """The content of a callback. `status` is the provider's status word, for people. `challenge` is the value that the
    response must repeat."""

    proof: CallbackProof
    ids: tuple[str, ...] = ()
    status: str = ""
    challenge: Json = None


class CallbackHeard(NamedTuple):
    """A callback that led to a poll, for `explain`."""

    at: float
    detail: str
