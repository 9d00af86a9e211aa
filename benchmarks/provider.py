"""The simulated provider, with Kling's answers: `python -m benchmarks.provider [--delay-ms N] [--port P]`.

The id of a task says when it finishes, so nothing needs to be set up. `e1762000060123-7` finishes at that instant (in
ms), and `g2500-7` that many ms after the gate was opened. Any other task never finishes. The answer does not depend on
the client.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import time
from typing import Any, Final

from benchmarks.serving import serve, whole

ACTION: Final = "videos/text2video"
PATH: Final = f"/kling/v1/{ACTION}/"
RUNNING_BYTES: Final = 470


def running_body(task_id: str) -> bytes:
    """The answer for a running task, padded to the size of the documented one."""
    return answer_body(task_id, "processing", None)


def answer_body(task_id: str, status: str, result: Any) -> bytes:
    data: dict[str, Any] = {
        "task_id": task_id,
        "task_status": status,
        "task_status_msg": "",
        "task_info": {"external_task_id": ""},
        "created_at": 1722769557708,
        "updated_at": 1722769557708,
    }
    if result is not None:
        data["task_result"] = result
    answer = {"code": 0, "message": "SUCCEED", "request_id": "", "data": data}
    lacking = RUNNING_BYTES - len(json.dumps(answer))
    answer["request_id"] = ("CjgHWmYxQ0AAAAAAAFz0yw" * 22)[: max(lacking, 22)]
    return json.dumps(answer).encode()


class Provider:
    """Counts requests and connections. Remembers when an answer first showed the end of each task."""

    def __init__(self, *, delay_s: float) -> None:
        self.connections = 0
        self._delay_s = delay_s
        self._requests = 0
        self._first: asyncio.Future[float] | None = None
        self._gate_at = math.inf
        self._answers: dict[str, bytes] = {}
        self._polls: dict[str, int] = {}
        self._told_at: dict[str, float] = {}
        self._after: dict[str, int] = {}
        self._asked_at: dict[str, float] = {}
        self._gaps: list[float] = []  # seconds between two polls of a task, since `gaps` was last read

    def answer(self, method: str, target: str, body: bytes, headers: bytes) -> tuple[bytes, float]:
        self._requests += 1
        if self._first is not None and not self._first.done():
            self._first.set_result(time.monotonic())
        task_id = target.rpartition("/")[2]
        if task_id[0] not in "eg":
            return self._running(task_id), self._delay_s
        self._polls[task_id] = self._polls.get(task_id, 0) + 1
        now = time.monotonic()
        self._gaps.append(now - self._asked_at.get(task_id, now))
        self._asked_at[task_id] = now
        if time.time() * 1000 < self._ends_ms(task_id):
            return self._running(task_id), self._delay_s
        if task_id in self._told_at:
            self._after[task_id] = self._after.get(task_id, 0) + 1
        else:
            self._told_at[task_id] = time.monotonic()
        url = f"https://cdn.example.com/{task_id}.mp4"
        result = {"videos": [{"id": f"{task_id}01", "url": url, "duration": "5.1"}]}
        return whole("200 OK", answer_body(task_id, "succeed", result)), self._delay_s

    def _running(self, task_id: str) -> bytes:
        answer = self._answers.get(task_id)
        if answer is None:
            answer = whole("200 OK", running_body(task_id))
            if len(self._answers) < 20_000:
                self._answers[task_id] = answer
        return answer

    def _ends_ms(self, task_id: str) -> float:
        at_ms = float(task_id[1:].partition("-")[0])
        return self._gate_at * 1000 + at_ms if task_id[0] == "g" else at_ms

    def control(self, name: str) -> Any:
        match name:
            case "counts":
                return {"requests": self._requests, "connections": self.connections, "ended": len(self._told_at)}
            case "ends":
                return {"polls": self._polls, "told_at": self._told_at, "after": self._after}
            case "gaps":
                gaps, self._gaps = self._gaps, []
                return gaps
            case "open":
                self._gate_at = time.time()
                return time.monotonic()
            case "first":  # answered when the first request arrives, so that nobody must ask again and again
                self._first = asyncio.get_running_loop().create_future()
                return self._first
            case _:
                raise ValueError(name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    chosen = parser.parse_args()
    serve(Provider(delay_s=chosen.delay_ms / 1000), port=chosen.port)
