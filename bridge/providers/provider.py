"""An account that is polled over HTTP according to its description."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final, TypeAlias
from urllib.parse import quote, urlsplit

from bridge import __version__
from bridge.domain.origins import has_origin
from bridge.domain.public_addresses import NO_HOSTS, AllowedHosts
from bridge.domain.secret_headers import header_secrets
from bridge.domain.task import UNDER_WAY, Reading, ReadingKind
from bridge.expressions.answer_budget import answer_budget
from bridge.net.client import NO_HEADERS, Answer, HttpClient, Request, Unanswered
from bridge.ports import BatchKey, ListPage, PageRequest
from bridge.providers.auth import JwtKey, shown, volcengine
from bridge.providers.description import Description
from bridge.providers.json_values import one_line
from bridge.providers.new_tasks import first_pages, read_list
from bridge.providers.reading import code_of, read, read_together, second_value
from bridge.providers.results import PollContext
from bridge.providers.task_requests import TaskRequest, call_request, locate, template, vendor_origins
from bridge.providers.task_rules import PLACEHOLDERS, takes_action

MOST_TEMPLATES: Final = 256  # maximum number of actions that are remembered
LIST_BYTES: Final = 8 << 20  # at least this much of a list's page is read
MOST_DETAIL: Final = 500  # characters
MOST_WORD: Final = 64
MIN_SECRET_BYTES: Final = 8  # a shorter key would too often be part of another text by chance

KeepFiles: TypeAlias = Callable[[str, Reading], Awaitable[Reading]]
"""Stores the files inside the answer about a task, by the task's id. Returns the reading without them."""


async def drop_files(task_id: str, reading: Reading) -> Reading:
    return reading.without_files()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """How a token is sent, and the secrets to remove from answers."""

    token: str
    headers: Mapping[str, str]
    parameter: str  # in the query
    secrets: Sequence[bytes]


def secrets_of(keys: Sequence[str], headers: Mapping[str, str]) -> tuple[bytes, ...]:
    """The secrets to look for in answers: these keys, and those in the account's own headers, the longest first."""
    found = [*keys, *sorted(header_secrets(headers), key=len, reverse=True)]
    secrets = (secret.encode(errors="replace") for secret in found)
    return tuple(secret for secret in secrets if len(secret) >= MIN_SECRET_BYTES)


class HttpProvider:
    """`ports.Provider` for one account. `headers` are sent with every request and replace those of the description.

    The key is sent only to the origin of the base URL, to `origins`, and to `vendor_origins`. An access key with
    its secret key (`pair`) replaces `api_key`. Keys are removed from answers. Results may be at `allowed` private
    hosts. `now` is genbridge's clock: times in answers that are ahead of it are ignored. `keep_files` gets the
    files inside answers before anything else does.
    """

    def __init__(
        self,
        description: Description,
        *,
        base_url: str,
        client: HttpClient,
        api_key: str = "",
        pair: Sequence[str] = (),
        headers: Mapping[str, str] = NO_HEADERS,
        origins: Sequence[str] = (),
        allowed: AllowedHosts = NO_HOSTS,
        now: Callable[[], float] = lambda: math.inf,
        keep_files: KeepFiles = drop_files,
    ) -> None:
        self._description = description
        self._keep_files = keep_files
        self._now = now
        self._allowed = allowed
        self._base_url = base_url
        self._request = partial(call_request, description, base_url=base_url)
        self._client = client
        self._cap_bytes = description.most_bytes
        self._route = description.route(base_url)
        self._takes_action = takes_action(self._route.model_dump())
        self._template = lru_cache(MOST_TEMPLATES)(partial(template, description, base_url=base_url))
        self._shown: Shown | None = None  # not lru_cache: with a method, it would keep a removed account in memory
        self._origins = (base_url, *origins, *vendor_origins(description, base_url))
        self._api_key = api_key
        self._secrets = secrets_of((api_key, *pair), headers)
        self._pair = description.key_pair if pair else None
        self._signing_keys = tuple(pair) if self._pair and self._pair.signs_requests else None
        self._jwt = JwtKey(*pair, now=now) if self._pair and not self._pair.signs_requests else None
        self._fetch = self._exchange if self._jwt is None else self._exchange_renewing
        self._auth = "signed" if self._signing_keys else self._route.auth
        self._account_headers = dict(headers)
        self._given = {name.lower() for name in self._account_headers}
        self._headers = (
            self._ungiven(
                {
                    "Accept": "application/json",
                    "Accept-Encoding": "gzip",
                    "User-Agent": f"genbridge/{__version__}",
                    **{name: text for name, text in self._route.headers.items() if not PLACEHOLDERS.search(text)},
                }
            )
            | self._account_headers
        )

    async def poll(self, task_id: str, action: str | None) -> Reading:
        """Poll once. Every failure is a Reading; nothing is raised except cancellation."""
        plain_id, action = self._task(task_id, action)
        question = self._question(plain_id, action)
        try:
            request = self._template(action).about(plain_id)
        except ValueError as error:
            return _unsent(f"not sent: {error}")
        if (refusal := self._refusal(request)) is not None:
            return refusal
        answer = await self._fetch(request)
        if self._route.second is None:
            reading = read(self._description, answer, question)
        else:
            with answer_budget():  # all answers of this poll share the budget
                reading = await self._read_further(answer, question)
        if reading.kind in UNDER_WAY:  # by far the most frequent case
            return reading
        if reading.kind is ReadingKind.NO_ROUTE:
            return _naming_address(reading, request, action)
        if reading.kind is ReadingKind.NOT_FOUND and (part := self.route(plain_id, action)):
            return reading._replace(detail=f"{reading.detail}; action {part}")  # the task may have another one
        return await self._keep_files(task_id, reading) if _has_files(reading) else reading

    async def _read_further(self, answer: Answer | Unanswered, question: PollContext) -> Reading:
        """The reading of an answer that may need a second request."""
        reading = read(self._description, answer, question)
        second = self._route.second if reading.lacks_result else None
        if second is not None and (value := second_value(self._description, answer, question)) is not None:
            given = {"value": value, "id": question.task_id}
            further = self._request(second, action=question.action, given=given)
            if (refusal := self._refusal(further)) is not None:
                return refusal
            return read(self._description, answer, question, second=await self._fetch(further))
        return reading

    @property
    def is_batched(self) -> bool:
        """Whether many tasks can be polled in one request."""
        return self._route.batch is not None

    def batch_key(self, task_id: str, action: str | None) -> BatchKey | None:
        """Tasks with the same key can be polled in one request; None: this task needs its own request."""
        batch = self._route.batch
        if batch is None or "," in task_id:
            return None
        _, action = self._task(task_id, action)
        if self._takes_action and self._description.task_rules.action_problem(action) is not None:
            return None
        name = self._batch_action(action) if takes_action(batch.model_dump()) else ""
        return BatchKey(name=name, most=batch.most)

    def route(self, task_id: str, action: str | None) -> str:
        """See `ports.Provider.route`: the action, if it is a part of the address."""
        if not self._takes_action:
            return ""
        _, action = self._task(task_id, action)
        return action or self._description.default_action or ""

    async def poll_batch(self, task_ids: Sequence[str], action: str | None) -> Mapping[str, Reading] | Reading:
        """Poll the tasks of one batch key once. Returns a Reading for each, or one Reading if the request as a whole
        failed. Nothing is raised except cancellation."""
        with answer_budget():
            readings = await self._poll_batch(task_ids, action)
        if isinstance(readings, Reading):
            return readings
        return {
            task_id: await self._keep_files(task_id, reading) if _has_files(reading) else reading
            for task_id, reading in readings.items()
        }

    async def _poll_batch(self, task_ids: Sequence[str], action: str | None) -> Mapping[str, Reading] | Reading:
        batch = self._route.batch
        if batch is None:
            return _unsent("not sent: this provider has no request about many tasks")
        own = {task_id: self._task(task_id, action) for task_id in task_ids}
        ids = list(dict.fromkeys(plain for plain, _ in own.values()))
        request = self._request(batch, action=self._batch_action(action), given={"ids": ids})
        if (refusal := self._refusal(request)) is not None:
            return refusal
        answer = await self._fetch(request)
        asked = [self._question(*each) for each in dict(own.values()).items()]
        readings = read_together(self._description, answer, asked)
        return readings if isinstance(readings, Reading) else {each: readings[own[each][0]] for each in task_ids}

    @property
    def has_list(self) -> bool:
        return self._route.discover is not None

    def first_pages(self, action: str | None) -> Sequence[PageRequest]:
        call = self._route.discover
        return () if call is None else first_pages(call, action)

    async def list_page(self, page: PageRequest) -> ListPage | Reading:
        call = self._route.discover
        assert call is not None
        given = {"page": page.number, "offset": page.offset, "since_ms": page.since_ms}
        request = self._request(call, action=page.action, given=given, more=page.more)
        if (refusal := self._refusal(request)) is not None:
            return refusal
        answer = await self._fetch(request, cap_bytes=max(self._cap_bytes, LIST_BYTES))
        return read_list(self._description, call, answer, page)

    def _task(self, task_id: str, action: str | None) -> tuple[str, str | None]:
        """The id and the action of a task. The id may be a query URL of this account."""
        if task_id.startswith(("https://", "http://")):
            found = locate(self._description, self._base_url, task_id)
            if found is not None:
                task_id, action = found.task_id, found.action or action
        return task_id, action or self._description.acting(task_id, action)

    def _question(self, task_id: str, action: str | None) -> PollContext:
        return PollContext(task_id, action, self._base_url, self._now(), self._allowed)

    def key_for(self, url: str) -> dict[str, str]:
        """The headers with the key for a result's URL; empty if the key may not be sent there, or is not sent in a
        header."""
        if self._signing_keys or not has_origin(url, self._origins):
            return {}
        return self._ungiven(shown(self._auth, self._token())[0]) | self._account_headers

    def _token(self) -> str:
        return self._api_key if self._jwt is None else self._jwt.token()

    def _batch_action(self, action: str | None) -> str:
        is_fit = action is not None and self._description.task_rules.action_problem(action) is None
        return (action if is_fit else self._description.default_action) or ""

    def _refusal(self, asked: TaskRequest) -> Reading | None:
        """The reading for a request that is not sent because the key may not be sent there."""
        if not asked.is_elsewhere or has_origin(asked.url, self._origins):
            return None
        host = urlsplit(asked.url).netloc.rpartition("@")[2]
        return _unsent(f"not sent: the key must not be sent to {host}; add https://{host} to the account's origins")

    async def _exchange_renewing(self, asked: TaskRequest, cap_bytes: int | None = None) -> Answer | Unanswered:
        """If a generated token was refused as expired or not yet valid, it is replaced once."""
        assert self._jwt is not None
        assert self._pair is not None
        answer = await self._exchange(asked, cap_bytes)
        if (code := code_of(self._description, answer)) not in (*self._pair.early, *self._pair.expired):
            return answer
        self._jwt.renew(earlier=code in self._pair.early)
        return await self._exchange(asked, cap_bytes)

    async def _exchange(self, asked: TaskRequest, cap_bytes: int | None = None) -> Answer | Unanswered:
        """The answer without secrets."""
        showing = self._showing(self._token())
        url, headers = asked.url, showing.headers
        if showing.parameter:
            url += f"{'&' if '?' in url else '?'}{showing.parameter}"
        if asked.headers:
            headers = {**headers, **self._ungiven(asked.headers)}
        if asked.body is not None:
            headers = {**self._ungiven({"Content-Type": "application/json"}), **headers}
        if self._pair is not None and self._signing_keys:
            signature = volcengine(
                asked.method, url, headers, asked.body or b"", pair=self._pair, keys=self._signing_keys, now=self._now()
            )
            headers = {**headers, **self._ungiven(signature)}
        request = Request(asked.method, url, headers, asked.body)
        return _cleaned(await self._client.fetch(request, cap_bytes=cap_bytes or self._cap_bytes), showing.secrets)

    def _showing(self, token: str) -> Shown:
        """The values that are sent with every request until the token changes."""
        if self._shown is None or token != self._shown.token:
            own, parameter = shown(self._auth, token)
            self._shown = Shown(
                token=token,
                headers=self._ungiven(own) | self._headers,
                parameter="" if parameter is None else f"{parameter[0]}={quote(parameter[1], safe='')}",
                secrets=(*secrets_of((token,), NO_HEADERS), *self._secrets),
            )
        return self._shown

    def _ungiven(self, headers: Mapping[str, str]) -> dict[str, str]:
        """These headers without those that the account's own headers replace."""
        return {name: value for name, value in headers.items() if name.lower() not in self._given}


def _unsent(detail: str) -> Reading:
    return Reading(kind=ReadingKind.AMBIGUOUS, detail=detail, is_unsent=True)


def _has_files(reading: Reading) -> bool:
    return reading.snapshot is not None and bool(reading.snapshot.files)


def _naming_address(reading: Reading, request: TaskRequest, action: str | None) -> Reading:
    """The reading, with the address that the provider does not know."""
    address = f"{request.method} {request.url.partition('?')[0]}"
    detail = one_line(f"no such route at the provider: {address}: {reading.detail}", MOST_DETAIL)
    return reading._replace(detail=detail, unread=f"{reading.unread} {action or ''}".strip()[:MOST_WORD])


def _cleaned(answer: Answer | Unanswered, secrets: Sequence[bytes]) -> Answer | Unanswered:
    """The answer without secrets: some servers quote the key in errors, and those are stored and shown."""
    if isinstance(answer, Unanswered):
        return answer
    body = answer.body
    for secret in secrets:
        if secret in body:
            body = body.replace(secret, b"***")
    return answer if body is answer.body else answer._replace(body=body)
