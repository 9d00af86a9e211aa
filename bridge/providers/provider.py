"""An account that is asked over HTTP, as its description says."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

from bridge import __version__
from bridge.domain.task import Kind, Reading
from bridge.net.client import Answer, HttpClient, Request, Unanswered
from bridge.ports import BatchKey
from bridge.providers.addresses import (
    Asking,
    Template,
    action_problem,
    asking_second,
    asking_together,
    locate,
    may_have_key,
    template,
)
from bridge.providers.auth import FixedKey, Key, shown
from bridge.providers.description import Description
from bridge.providers.reading import code_of, read, read_together, second_value
from bridge.providers.results import Question
from bridge.providers.route import KeyPair
from bridge.providers.signing import Signer

MOST_TEMPLATES: Final = 256  # as many actions are remembered
MIN_SECRET_BYTES: Final = 8  # a shorter key is too likely to be part of something else


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """How one token is shown, and what must not be repeated from an answer to it."""

    token: str
    headers: Mapping[str, str]
    parameter: str  # of the query
    secrets: Sequence[bytes]


class HttpProvider:
    """`ports.Provider` for one account. `headers` go with every request and win over the description's own.

    The key goes to the base URL's origin and to `origins` alone. `key` or `signer` (for accounts with a pair of keys)
    stands in place of `api_key`; `secrets` are what must never be repeated from an answer, beside the key.
    """

    def __init__(
        self,
        description: Description,
        *,
        base_url: str,
        client: HttpClient,
        api_key: str = "",
        key: Key | None = None,
        signer: Signer | None = None,
        cap_bytes: int | None = None,
        headers: Mapping[str, str] | None = None,
        origins: Sequence[str] = (),
        secrets: Sequence[str] = (),
    ) -> None:
        self._description = description
        self._base_url = base_url
        self._client = client
        self._cap_bytes = cap_bytes or description.most_bytes
        self._own_host = urlsplit(base_url).hostname or ""
        self._route = description.route(urlsplit(base_url).hostname)
        self._templates: dict[str | None, Template] = {}
        self._shown = Shown(token="", headers={}, parameter="", secrets=())
        self._origins = tuple(origins)
        self._key = key or FixedKey(api_key)
        self._secrets = [secret.encode(errors="replace") for secret in (api_key, *secrets) if secret]
        self._pair = description.key_pair if key is not None else None
        self._signer = signer
        self._auth = "signed" if signer is not None else self._route.auth
        self._given = {name.lower() for name in headers or {}}
        self._headers = self._ungiven(
            {
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                "User-Agent": f"genbridge/{__version__}",
                **self._route.headers,
            }
        ) | dict(headers or {})

    async def ask(self, task_id: str, action: str | None) -> Reading:
        """Ask once. Every failure is a Reading; nothing but cancellation is raised."""
        task_id, action = self._task(task_id, action)
        question = self._question(task_id, action)
        try:
            request = self._template(action).about(task_id)
        except ValueError as error:
            return Reading(kind=Kind.AMBIGUOUS, detail=f"not asked: {error}")
        if (refusal := self._refusal(request)) is not None:
            return refusal
        answer = await self._fetch(request)
        second = None
        if self._route.second and (value := second_value(self._description, answer, question)) is not None:
            further = asking_second(self._route.second, base_url=self._base_url, value=value)
            if (refusal := self._refusal(further)) is not None:
                return refusal
            second = await self._fetch(further)
        reading = read(self._description, answer, question, second=second)
        if self._route.is_batch_of_one and reading.kind is Kind.AMBIGUOUS and reading.snapshot is None:
            listed = read_together(self._description, answer, [question])
            return reading if isinstance(listed, Reading) else listed[task_id]
        return reading

    @property
    def is_batched(self) -> bool:
        """Whether many tasks can be asked about in one request."""
        return self._route.batch is not None

    def batch_key(self, task_id: str, action: str | None) -> BatchKey | None:
        """Which tasks this one can be asked about together with; None: it is asked about alone."""
        batch = self._route.batch
        if batch is None or "," in task_id:
            return None
        _, action = self._task(task_id, action)
        if self._route.takes_action and (action_problem(self._description, action) is not None):
            return None
        takes_action = "{action}" in f"{batch.path}{batch.query}{batch.body}"
        return BatchKey(name=self._batch_action(action) if takes_action else "", most=batch.most)

    async def ask_together(self, task_ids: Sequence[str], action: str | None) -> Mapping[str, Reading] | Reading:
        """Ask once about tasks of one batch key: a Reading each, or one Reading when the whole answer was none.
        Nothing but cancellation is raised."""
        batch = self._route.batch
        if batch is None:
            return Reading(kind=Kind.AMBIGUOUS, detail="not asked: this provider has no request about many tasks")
        own = {task_id: self._task(task_id, action) for task_id in task_ids}
        request = asking_together(
            batch,
            base_url=self._base_url,
            task_ids=list(dict.fromkeys(plain for plain, _ in own.values())),
            action=self._batch_action(action),
        )
        if (refusal := self._refusal(request)) is not None:
            return refusal
        answer = await self._fetch(request)
        asked = [self._question(*each) for each in dict(own.values()).items()]
        readings = read_together(self._description, answer, asked)
        return readings if isinstance(readings, Reading) else {each: readings[own[each][0]] for each in task_ids}

    def _task(self, task_id: str, action: str | None) -> tuple[str, str | None]:
        """The id proper, and its action: an id may be a whole query URL of ours."""
        if not task_id.startswith("https://") and not task_id.startswith("http://"):
            return task_id, action
        found = locate(self._description, self._base_url, task_id)
        return (task_id, action) if found is None else (found[1], found[0] or action)

    def _template(self, action: str | None) -> Template:
        known = self._templates.get(action)
        if known is None:
            if len(self._templates) >= MOST_TEMPLATES:
                self._templates.clear()
            known = self._templates[action] = template(self._description, base_url=self._base_url, action=action)
        return known

    def _question(self, task_id: str, action: str | None) -> Question:
        return Question(task_id, action, self._own_host, self._base_url)

    def _batch_action(self, action: str | None) -> str:
        default = self._description.action.default if self._description.action else None
        is_fit = action is not None and action_problem(self._description, action) is None
        return (action if is_fit else default) or ""

    def _refusal(self, asked: Asking) -> Reading | None:
        """The reading of a request that is not sent, because the key may not go there."""
        if not asked.is_elsewhere or may_have_key(asked.url, base_url=self._base_url, origins=self._origins):
            return None
        host = urlsplit(asked.url).netloc.rpartition("@")[2]
        detail = f"not asked: the key may not go to {host}; list https://{host} in the account's origins"
        return Reading(kind=Kind.AMBIGUOUS, detail=detail)

    def _fetch(self, asked: Asking) -> Awaitable[Answer | Unanswered]:
        """The answer, cleaned. A token of our making that was refused for its age is made anew, once."""
        return self._exchange(asked) if self._pair is None else self._exchange_anew(asked, self._pair)

    async def _exchange_anew(self, asked: Asking, pair: KeyPair) -> Answer | Unanswered:
        answer = await self._exchange(asked)
        if (code := code_of(self._description, answer)) not in (*pair.early, *pair.expired):
            return answer
        self._key.renew(earlier=code in pair.early)
        return await self._exchange(asked)

    async def _exchange(self, asked: Asking) -> Answer | Unanswered:
        showing = self._showing(self._key.token())
        url, headers = asked.url, showing.headers
        if showing.parameter:
            url += f"{'&' if '?' in url else '?'}{showing.parameter}"
        if asked.body is not None:
            headers = {**self._ungiven({"Content-Type": "application/json"}), **headers}
        if self._signer is not None:
            signature = self._signer.signature(asked.method, url, headers, asked.body)
            headers = {**headers, **self._ungiven(signature)}
        request = Request(asked.method, url, headers, asked.body)
        return _cleaned(await self._client.fetch(request, cap_bytes=self._cap_bytes), showing.secrets)

    def _showing(self, token: str) -> Shown:
        """What goes with every request as long as the token is this one."""
        if token != self._shown.token or not self._shown.headers:
            own, parameter = shown(self._auth, token)
            secrets = (token.encode(errors="replace"), *self._secrets)
            self._shown = Shown(
                token=token,
                headers=self._ungiven(own) | self._headers,
                parameter="" if parameter is None else f"{parameter[0]}={quote(parameter[1], safe='')}",
                secrets=tuple(secret for secret in secrets if len(secret) >= MIN_SECRET_BYTES),
            )
        return self._shown

    def _ungiven(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Those of the headers that the account's own do not replace."""
        return {name: value for name, value in headers.items() if name.lower() not in self._given}


def _cleaned(answer: Answer | Unanswered, secrets: Sequence[bytes]) -> Answer | Unanswered:
    """The answer without our key: some servers quote it in their errors, which are stored and shown."""
    if isinstance(answer, Unanswered):
        return answer
    body = answer.body
    for secret in secrets:
        if secret in body:
            body = body.replace(secret, b"***")
    return answer if body is answer.body else answer._replace(body=body)
