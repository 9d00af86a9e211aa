"""Reads the callbacks of one account: finds the ids in a request, and checks its signature.

A callback is only a hint, so a wrong guess costs one poll. Nothing here raises an exception, whatever a request
contains.
"""

from __future__ import annotations

import base64
import math
import re
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

import orjson

from bridge.domain.callback import MAX_IDS, Callback, CallbackProof, CallbackRequest
from bridge.domain.ids import MAX_TASK_ID_CHARS
from bridge.domain.task import Json
from bridge.expressions.answer_budget import ExpressionLimit, answer_budget
from bridge.expressions.json_text import parse_json
from bridge.providers.callback_signatures import CallbackRule, proof, secret_bytes
from bridge.providers.description import Description
from bridge.providers.json_values import as_id, one_line
from bridge.providers.selector import Selector, selected
from bridge.providers.task_rules import listed

MAX_PARSED_BYTES: Final = 1 << 20  # a larger body is not parsed; ids are searched in its first bytes
SEARCHED_BYTES: Final = 64 << 10
SEARCHED_VALUES: Final = 1000  # maximum number of values that are searched in a callback of unknown form
MAX_CHALLENGE_CHARS: Final = 1000
MAX_STATUS_CHARS: Final = 64
QUOTED: Final = re.compile(rb'"((?:[^"\\]|\\.?)*+)(?:"|\Z)', re.DOTALL)  # a whole JSON text, also one that is cut off
MAX_KEYS: Final = 20
FRESH_S: Final = 86_400.0  # keys are fetched once a day ...
AGAIN_S: Final = 300.0  # ... and at most this often after a failure, or if a signature matches none of them

Fetch = Callable[[str], Awaitable[bytes | None]]
"""Returns the body at an address; None if that fails. No redirect is followed."""


class KeySet:
    """The public keys that a provider signs callbacks with, cached: a JSON Web Key Set at one address, which comes from
    the description. `keys` is empty until the first `refresh`."""

    def __init__(self, url: str, *, fetch: Fetch) -> None:
        self._url = url
        self._fetch = fetch
        self._fetched_at = self._tried_at = -math.inf
        self._is_doubted = False
        self.keys: tuple[bytes, ...] = ()

    def doubt(self) -> None:
        """A signature matches no key, so the provider may have new keys."""
        self._is_doubted = True

    def wait_s(self, now: float) -> float:
        """Seconds until `refresh` is due."""
        due_at = self._fetched_at + FRESH_S
        if self._is_doubted or not self.keys:
            due_at = min(due_at, self._tried_at + AGAIN_S)
        return max(0.0, max(due_at, self._tried_at + AGAIN_S) - now)

    async def refresh(self, now: float) -> bool:
        """Fetch the keys. Returns whether that succeeded; if not, the old keys stay."""
        self._tried_at = now
        body = await self._fetch(self._url)
        keys = _parsed_keys(body) if body is not None else ()
        if keys:
            self.keys, self._fetched_at, self._is_doubted = keys, now, False
        return bool(keys)


class DescribedCallbacks:
    """A `CallbackReader` of one account. Without a rule, any id in the JSON counts, and signatures are not checked."""

    def __init__(self, rule: CallbackRule | None, *, keys: Sequence[bytes] = (), key_set: KeySet | None = None) -> None:
        self._rule = rule
        self._keys = tuple(keys)
        self.key_set = key_set

    def read(self, request: CallbackRequest, *, now: float) -> Callback:
        """Read the request. `now` is wall-clock time."""
        value = _parsed(request.body)
        described = self._described(value)
        proved = self._proof(request, described.ids, now)
        ids = described.ids or tuple(dict.fromkeys(islice(_found_ids(value, request.body), MAX_IDS)))
        return replace(described, proof=proved, ids=ids)

    async def refresh(self, now: float) -> bool:
        """See `CallbackReader.refresh`."""
        return self.key_set is None or self.key_set.wait_s(now) > 0 or await self.key_set.refresh(now)

    def _described(self, value: Json) -> Callback:
        rule = self._rule
        if rule is None or not isinstance(value, dict | list):
            return Callback(proof=CallbackProof.UNSIGNED)
        try:
            with answer_budget():
                texts = (each for each in selected(rule.status, value) if isinstance(each, str) and each)
                return Callback(
                    proof=CallbackProof.UNSIGNED,
                    ids=tuple(dict.fromkeys(_ids(rule.id, value)))[:MAX_IDS],
                    status=one_line(next(texts, ""), MAX_STATUS_CHARS),
                    challenge=None if rule.challenge is None else _challenge(rule.challenge(value)),
                )
        except ExpressionLimit:
            return Callback(proof=CallbackProof.UNSIGNED)

    def _proof(self, request: CallbackRequest, ids: Sequence[str], now: float) -> CallbackProof:
        signature = None if self._rule is None else self._rule.signature
        if signature is None:
            return CallbackProof.UNSIGNED
        keys = self._keys if self.key_set is None else self.key_set.keys
        proved = proof(signature, request, ids=ids, keys=keys, now=now)
        if proved is CallbackProof.FORGED and self.key_set is not None:
            self.key_set.doubt()
        is_due = bool(self._keys) and signature.secret == "callback_secret"  # noqa: S105 - the name of a setting
        return CallbackProof.MISSING if proved is CallbackProof.UNSIGNED and is_due else proved


def callback_reader(
    description: Description, *, base_url: str, api_key: str, secrets: Sequence[str], fetch: Fetch
) -> DescribedCallbacks:
    """The reader for an account at this base URL, with its API key and the secrets for its callbacks."""
    rule = description.callback
    if rule is None or (signature := rule.signature) is None:
        return DescribedCallbacks(rule)
    if signature.key_set is not None:
        return DescribedCallbacks(rule, key_set=KeySet(signature.key_set, fetch=fetch))
    if not rule.needs_secret:
        # An aggregator's own keys at the vendor differ from its customers' keys at the aggregator.
        is_direct = description.direct is None or description.route(base_url) is description.direct
        return DescribedCallbacks(rule, keys=[api_key.encode()] if is_direct and api_key else [])
    return DescribedCallbacks(rule, keys=[secret_bytes(signature, secret) for secret in secrets])


def _parsed(body: bytes) -> Json:
    """The JSON value of a body; None if it is not JSON, or larger than any that is expected."""
    if len(body) > MAX_PARSED_BYTES:
        return None
    try:
        value: Json = parse_json(body)
    except orjson.JSONDecodeError:
        return None
    return value


def _ids(selectors: tuple[Selector, ...], value: Json) -> Iterator[str]:
    for found in selected(selectors, value):
        yield from filter(None, map(_possible_id, listed(found)))


def _possible_id(value: Json) -> str | None:
    """The id of a task, if the value may be one."""
    task_id = as_id(value)
    return task_id if task_id is not None and len(task_id) <= MAX_TASK_ID_CHARS else None


def _challenge(value: Json) -> Json:
    """A challenge that is safe to repeat: a short text or a number."""
    if isinstance(value, str):
        return value if 0 < len(value) <= MAX_CHALLENGE_CHARS else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _found_ids(value: Json, body: bytes) -> Iterable[str]:
    """Possible ids in a callback of unknown form. Values of keys that end in "id" come first."""
    if value is None:
        texts = (found[1] for found in QUOTED.finditer(body[:SEARCHED_BYTES]))
        return (
            text.replace(b"\\/", b"/").decode(errors="replace") for text in texts if 0 < len(text) <= MAX_TASK_ID_CHARS
        )
    likely: list[str] = []
    others: list[str] = []
    for key, leaf in islice(_leaves(value), SEARCHED_VALUES):
        if (task_id := _possible_id(leaf)) is not None:
            (likely if key.lower().endswith("id") else others).append(task_id)
    return likely + others


def _leaves(value: Json) -> Iterator[tuple[str, Json]]:
    """The scalar values of a JSON document with their keys, the outer ones first. Without recursion, because a sender
    can nest values very deeply."""
    waiting: deque[tuple[str, Json]] = deque([("", value)])
    for _ in range(2 * SEARCHED_VALUES):
        if not waiting:
            return
        key, found = waiting.popleft()
        room = max(0, 2 * SEARCHED_VALUES - len(waiting))
        if isinstance(found, dict):
            waiting.extend(islice(found.items(), room))
        elif isinstance(found, list):
            waiting.extend((key, each) for each in found[:room])
        else:
            yield key, found


def _parsed_keys(body: bytes) -> tuple[bytes, ...]:
    """The ed25519 keys of a JSON Web Key Set (RFC 8037)."""
    answer = _parsed(body)
    keys = answer.get("keys") if isinstance(answer, dict) else None
    found = []
    for key in keys[:MAX_KEYS] if isinstance(keys, list) else ():
        text = key.get("x") if isinstance(key, dict) and key.get("crv", "Ed25519") == "Ed25519" else None
        if isinstance(text, str):
            try:
                found.append(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            except ValueError:
                continue
    return tuple(key for key in found if len(key) == 32)
