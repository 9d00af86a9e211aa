"""An account that is asked over HTTP, as its description says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from bridge import __version__
from bridge.domain.task import Kind, Reading
from bridge.net.client import Answer, HttpClient, Request, Unanswered
from bridge.providers.addresses import query_url
from bridge.providers.auth import AUTH
from bridge.providers.description import Description
from bridge.providers.reading import Question, read

CAP_BYTES: Final = 1 << 20
MIN_SECRET_BYTES: Final = 8  # a shorter key is too likely to be part of something else


class HttpProvider:
    """`ports.Provider` for one account. `headers` go with every request and win over the description's own."""

    def __init__(
        self,
        description: Description,
        *,
        base_url: str,
        api_key: str,
        client: HttpClient,
        cap_bytes: int = CAP_BYTES,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._description = description
        self._base_url = base_url
        self._client = client
        self._cap_bytes = cap_bytes
        self._own_host = urlsplit(base_url).hostname or ""
        self._secret = api_key.encode(errors="replace")
        own = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": f"genbridge/{__version__}",
            **description.ask.headers,
            **AUTH[description.ask.auth](api_key),
        }
        given = {name.lower() for name in headers or {}}
        self._headers = {name: value for name, value in own.items() if name.lower() not in given} | dict(headers or {})

    async def ask(self, task_id: str, action: str | None) -> Reading:
        """Ask once. Every failure is a Reading; nothing but cancellation is raised."""
        try:
            url = query_url(self._description, base_url=self._base_url, task_id=task_id, action=action)
        except ValueError as error:
            return Reading(kind=Kind.AMBIGUOUS, detail=f"not asked: {error}")
        request = Request(method="GET", url=url, headers=self._headers)
        answer = self._cleaned(await self._client.fetch(request, cap_bytes=self._cap_bytes))
        return read(self._description, answer, Question(task_id=task_id, action=action, own_host=self._own_host))

    def _cleaned(self, answer: Answer | Unanswered) -> Answer | Unanswered:
        """The answer without our key: some servers quote it in their errors, which are stored and shown."""
        if isinstance(answer, Unanswered) or len(self._secret) < MIN_SECRET_BYTES or self._secret not in answer.body:
            return answer
        return replace(answer, body=answer.body.replace(self._secret, b"***"))
